"""What a trial's evaluation records: attacks, flags, checks, and what it refuses to record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from robust import attacks, evaluate
from robust.evaluation.certifier import Certifier
from robust.evaluation.subject import AS_RUN, SUBJECTS, Exact
from robust.networks import MLP
from sweep.config.checks import check
from sweep.config.schema import Evaluation, SweepConfig, Training
from sweep.grid.expand import rows_per_trial
from sweep.grid.rows import Row, wanted_rows
from sweep.pack import assess, monitor, run
from sweep.pack.assess import Survivors
from sweep.pack.outcome import Assessment
from sweep.pack.run import Job, run_pack
from sweep.results import schema
from tests.sweep.helpers import config, dataset, one_job, trials

Rows = list[dict[str, Any]]
QUICK = Evaluation(
    attacks=["fgm-l1", "vertex-l1"], attack_grid_radii=[0.0, 0.2, 1.0, 5.0], max_samples=20
)


def quick(tmp_path: Path, **changes: Any) -> SweepConfig:
    return config(tmp_path, evaluation=replace(QUICK, **changes))


def rows_of(job: Job, kind: str = "records") -> Rows:
    path: Callable[[str], Path] = getattr(run.folder(job), kind)
    rows: Rows = pq.read_table(path(job.pack.pack_id)).to_pylist()
    return rows


def test_both_splits_are_attacked_in_one_call_per_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, inner = [], assess.survivors

    def counted(net: Any, x: Tensor, y: Tensor, **options: Any) -> Tensor:
        calls.append((options["attack"], len(y)))
        return inner(net, x, y, **options)

    monkeypatch.setattr(assess, "survivors", counted)
    run_pack(one_job(quick(tmp_path)))
    beside = ("pgd-l1", 40)  # is not asked for: the vertex attack is judged beside it
    asked = [("certified-l1", 40), ("fgm-l1", 40), ("vertex-l1", 40)]
    assert sorted(calls) == sorted([*asked, beside])
    assert calls[0] == ("certified-l1", 40)  # so that every attack's points are compared with it


def test_unsound_bound_fails_the_trials_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Certifier.largest

    def careless(
        self: Certifier, x: Tensor, y: Tensor, radii: Tensor, tight: bool = False
    ) -> Tensor:
        return sound(self, x, y, radii / 1000, tight)

    monkeypatch.setattr(Certifier, "largest", careless)
    job = one_job(quick(tmp_path))
    summary = run_pack(job)
    assert (summary.complete, summary.failed) == (0, 2)
    assert summary.error is not None
    rows = rows_of(job)
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["accuracy"] for row in rows} == {None}
    for row in rows:
        assert "certified <= attacked <= clean does not hold" in row["error"]
        assert "at true radius" in row["error"]
        assert "of 40 examples" in row["error"]
        assert "\n" not in row["error"]


def test_one_unsound_trial_does_not_cost_its_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = assess.survivors

    def biased(net: Any, x: Tensor, y: Tensor, **options: Any) -> Tensor:
        kept = inner(net, x, y, **options)
        if options["attack"] == schema.CERTIFIED:
            kept[1] = True  # also what is misclassified without attack
        return kept

    monkeypatch.setattr(assess, "survivors", biased)
    job = one_job(quick(tmp_path))
    summary = run_pack(job)
    assert (summary.complete, summary.failed) == (1, 1)
    good, bad = (t.trial_id for t in job.pack.trials)
    for row in rows_of(job):
        assert (row["accuracy"] is None) == (row["trial_id"] == bad)
        assert row["status"] == ("complete" if row["trial_id"] == good else "failed")


def test_clean_accuracy_that_is_wrong_fails_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever counts what is correct, the check does not ask him."""

    def everything(net: Any, x: Tensor, y: Tensor, chunk: int | None = None) -> Tensor:
        return torch.ones(net.num_networks, len(y), dtype=torch.bool)

    for module in (evaluate, assess):
        monkeypatch.setattr(module, "correct_of", everything, raising=False)
    job = one_job(quick(tmp_path, attacks=["fgm-l1"], attack_grid_radii=[0.0], certify=False))
    summary = run_pack(job)
    assert (summary.complete, summary.failed) == (0, 2)
    for row in rows_of(job):
        assert "certified <= attacked <= clean does not hold: fgm-l1" in row["error"]
        assert "nan" not in row["error"]


# z_0 = [x + 1e8]^+ - 1e8 and z_1 = 6: float32 rounds z_0 to a multiple of 8.
CANCELLING = MLP.from_arrays(
    [torch.ones(1, 1), torch.tensor([[1.0, 0.0]])],
    [torch.tensor([1e8]), torch.tensor([-1e8, 6.0])],
)


@dataclass(frozen=True)
class Assessed:
    """What one network's evaluation gave, by split and attack, in the order of the radii."""

    problem: str | None
    accuracy: dict[tuple[str, str], list[float]]
    flags: dict[tuple[str, str], list[str]]

    @property
    def raised(self) -> set[str]:
        return {f for own in self.flags.values() for text in own for f in text.split()}


def assess_line(
    net: MLP, split: tuple[list[float], list[int]], **changes: Any
) -> tuple[Assessed, ...]:
    """Evaluate networks of one feature on that split for both."""
    small = config(evaluation=replace(QUICK, max_samples=None, **changes))
    data = dataset(small)
    x, y = split
    part = replace(data.test, x=np.array(x, np.float32).reshape(-1, 1), y=np.array(y))
    facts = replace(data.info, num_features=1, num_classes=2, input_shape=(1,))
    one = replace(data, info=facts, validation=part, test=part)
    healthy: list[int | None] = [None] * net.num_networks
    rows = wanted_rows(small.evaluation, facts)
    found = assess.assess(net, trials()[0], one, small.evaluation, rows, "cpu", healthy)
    return tuple(in_words(own, rows) for own in found)


def in_words(found: Assessment, rows: Sequence[Row]) -> Assessed:
    accuracy: dict[tuple[str, str], list[float]] = {}
    flags: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        at = row.split, row.attack
        accuracy.setdefault(at, []).append(found.accuracy[row.evaluation_id])
        flags.setdefault(at, []).append(found.flags[row.evaluation_id])
    return Assessed(found.problem, accuracy, flags)


@pytest.mark.parametrize("attack", ["vertex-l1", "fgm-l1", "fgsm-linf", "fgm-l2"])
def test_record_certifies_nothing_that_rounding_may_break(attack: str) -> None:
    """At 3.9 the truth is certified up to 2.1, and float32 changes class at 4.

    At -200 rounding is far from explaining another class. The rows are the same with the attack
    and without.
    """
    split = [3.9, -200.0, 4.5], [1, 1, 1]
    options = {"attack_grid_radii": [0.0, 0.05, 0.2, 1.0, 5.0], "certify_tight": True}
    found = assess_line(CANCELLING, split, attacks=[attack], **options)[0]
    assert found.problem is None and "certificate-refuted" not in found.raised
    alone = assess_line(CANCELLING, split, attacks=[], **options)[0]
    for name in schema.SPLITS:
        attacked = found.accuracy[name, attack]
        assert attacked == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3])
        for certificate in (schema.CERTIFIED, schema.CERTIFIED_TIGHT):
            assert found.accuracy[name, certificate] == pytest.approx([1 / 3] * 5)
            assert alone.accuracy[name, certificate] == found.accuracy[name, certificate]


def test_certificate_that_rounding_refutes_raises_the_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A margin of nothing stands for a bug: certificates are then those of exact arithmetic."""
    monkeypatch.setitem(SUBJECTS, AS_RUN, lambda net, order, costs: Exact())
    pack = MLP(
        [torch.cat([w, w]) for w in CANCELLING.weights],
        [torch.cat([b, b]) for b in CANCELLING.biases],
    )
    with torch.no_grad():
        pack.biases[0][1] = 100.0
        pack.biases[1][1, 0] = -100.0
    found = assess_line(pack, ([3.9], [1]))
    assert ["certificate-refuted" in own.raised for own in found] == [True, False]
    assert [own.problem for own in found] == [None, None]


@pytest.mark.parametrize("bug", [False, True])
def test_records_are_the_same_with_the_skip_and_without(
    monkeypatch: pytest.MonkeyPatch, bug: bool
) -> None:
    """Accuracies, flags and contradictions; a certificate that proves everything has some."""
    if bug:
        monkeypatch.setattr(
            Certifier, "largest", lambda self, x, y, radii, tight=False: y * 0 + len(radii) - 1
        )
    generator = torch.Generator().manual_seed(3)
    sizes = [torch.randn(3, *shape, generator=generator) for shape in ((1, 9), (9, 2), (9,), (2,))]
    pack = MLP(sizes[:2], sizes[2:])
    x = torch.linspace(-3, 3, 40)
    split = x.tolist(), pack(x.unsqueeze(1))[0].argmax(dim=1).tolist()
    names = [name for name in attacks.names() if "best" not in name]
    radii = [0.0, 0.001, 0.01, 0.1, 0.5, 2.0]
    options = {"attacks": names, "attack_grid_radii": radii, "certificates": ["certified-l2"]}
    less, full = (assess_line(pack, split, skip=skip, **options) for skip in (True, False))
    assert less == full
    assert any(found.problem for found in full) == bug


def test_certified_attacked_and_clean_are_in_order_in_the_records(tmp_path: Path) -> None:
    small = quick(tmp_path, certify_tight=True)
    longer = replace(small, training=replace(small.training, steps=60))
    job = one_job(longer)
    run_pack(job)
    of = {
        (r["trial_id"], r["split"], r["attack_grid_radius"], r["attack"]): r["accuracy"]
        for r in rows_of(job)
    }
    for trial, split, radius, _ in of:
        here = {attack: of[trial, split, radius, attack] for *_, attack in of}
        assert here["certified-l1"] <= here["certified-l1-tight"] <= here["vertex-l1"]
        assert here["certified-l1-tight"] <= here["fgm-l1"] <= of[trial, split, 0.0, "fgm-l1"]
    assert any(0 < value < 1 for value in of.values())
    assert len(of) == 2 * rows_per_trial(longer.evaluation)


def test_diverged_trials_are_not_attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, inner = set(), assess.survivors

    def counted(net: Any, x: Tensor, y: Tensor, **options: Any) -> Tensor:
        seen.add(net.num_networks)
        return inner(net, x, y, **options)

    monkeypatch.setattr(assess, "survivors", counted)
    small = quick(tmp_path)
    wild = replace(
        small,
        grid=replace(small.grid, defense=["nominal"], learning_rate=[1e30, 1e-3, 1e-2]),
        training=replace(small.training, steps=20),
    )
    summary = run_pack(one_job(wild, "nominal"))
    assert (summary.complete, summary.diverged) == (2, 1)
    assert seen == {2}


def kept(*counts: int) -> Survivors:
    """The first `count` of 100 samples survive, at radii 1, 2 ... of one network."""
    survive = torch.stack([torch.arange(100) < count for count in counts]).unsqueeze(0)
    return Survivors(tuple(float(i + 1) for i in range(len(counts))), survive)


def test_attacks_that_rows_are_judged_beside_are_made_with_them() -> None:
    asked = {"vertex-l1": {1.0, 2.0}, "pgd-l2": {3.0}, "certified-l1": {4.0}}
    assert assess.with_companions(asked) == {
        "vertex-l1": (1.0, 2.0),
        "fgm-l1": (1.0, 2.0),
        "pgd-l1": (1.0, 2.0),
        "pgd-l2": (3.0,),
        "fgm-l2": (3.0,),
        "certified-l1": (4.0,),
    }


@pytest.mark.parametrize(
    ("survivors", "flags"),
    [
        ({"pgd-l2": kept(90, 50), "fgm-l2": kept(90, 52)}, set()),
        (
            {"pgd-l2": kept(90, 70), "fgm-l2": kept(90, 50)},
            {("pgd-l2", 2.0, "weaker-than-fgm")},
        ),
        ({"pgd-l2": kept(90, 70), "fgm-l1": kept(90, 50)}, set()),
        (
            {"fgm-l1": kept(90, 60), "vertex-l1": kept(90, 30)},
            {("vertex-l1", 2.0, "gradient-masking")},
        ),
        ({"fgm-l1": kept(90, 30), "vertex-l1": kept(90, 60)}, set()),
        (
            {"fgm-l1": kept(90, 90), "pgd-l1": kept(90, 30), "vertex-l1": kept(90, 29)},
            set(),
        ),
        ({"fgm-l1": kept(90), "vertex-l1": kept(90, 30)}, set()),  # not made at that radius
        ({"certified-l1": kept(10, 50)}, set()),
    ],
)
def test_survivors_raise_the_flags_they_deserve(
    survivors: dict[str, Survivors], flags: set[tuple[str, float, str]]
) -> None:
    raised = {
        (attack, radius, name)
        for attack, own in survivors.items()
        for radius in own.radii
        for name, flag in assess.row_flags(survivors, {}, attack, radius).items()
        if flag.item()
    }
    assert raised == flags


def test_network_with_saturated_softmax_is_flagged(tmp_path: Path) -> None:
    """A rate of 100 makes logits so far apart that the loss has no gradient; 0.01 does not."""
    small = quick(tmp_path)
    wild = replace(
        small,
        grid=replace(small.grid, defense=["nominal"], learning_rate=[100.0, 0.01]),
        training=replace(small.training, steps=60),
    )
    job = one_job(wild, "nominal")
    run_pack(job)
    flags = {row["learning_rate"]: row["flags"].split() for row in rows_of(job)}  # of the last
    assert "no-gradient" in flags[100.0]
    assert "no-gradient" not in flags[0.01]
    assert set(flags[100.0] + flags[0.01]) <= set(schema.FLAGS)


def test_bound_checks_and_traces_are_recorded_with_their_grid_radii(tmp_path: Path) -> None:
    training = Training(steps=4, curve_every=2, bound_checks=1.0, trace_every=3)
    job = one_job(replace(quick(tmp_path), training=training))
    run_pack(job)
    rows = rows_of(job, "curves")
    checks = [row for row in rows if row["quantity"] == "bound_holds"]
    wanted = {(n, r) for n in ("l1", "linf") for r in monitor.CHECKED_GRID_RADII}
    for trial in job.pack.trials:
        own = [row for row in checks if row["trial_id"] == trial.trial_id]
        assert {(row["norm"], row["radius"]) for row in own if row["step"] == 2} == wanted
        assert len(own) == 2 * len(wanted)
    assert {row["value"] for row in checks} <= {0.0, 1.0}
    traces = [row for row in rows if row["quantity"] in ("objective", "adversarial_loss")]
    assert len(traces) == 4
    assert {(row["step"], row["norm"], row["radius"]) for row in traces} == {(3, "linf", 0.1)}


def test_last_point_of_the_curve_is_the_recorded_clean_accuracy(tmp_path: Path) -> None:
    small = quick(tmp_path, max_samples=None)
    job = one_job(replace(small, training=Training(steps=30, curve_every=20)))
    run_pack(job)
    points = {row["trial_id"]: row["value"] for row in rows_of(job, "curves") if row["step"] == 30}
    clean = {
        row["trial_id"]: row["accuracy"]
        for row in rows_of(job)
        if (row["split"], row["attack_radius"]) == ("validation", 0.0)
    }
    assert points == pytest.approx(clean)


def test_vertex_attack_is_on_by_default() -> None:
    assert "vertex-l1" in Evaluation().attacks


@pytest.mark.parametrize(
    ("small", "message"),
    [
        (config(evaluation=replace(QUICK, engine="fool")), "unknown engine 'fool'.*foolbox"),
        (config(evaluation=replace(QUICK, restarts=0)), "evaluation.restarts=0: must be"),
        (config(training=Training(bound_checks=1.5)), "training.bound_checks=1.5: must be"),
        (config(training=Training(trace_every=-1)), "training.trace_every=-1: must be"),
        (
            config(
                evaluation=replace(QUICK, certify_tight=True),
                grid=replace(config().grid, network=["cnn"]),
            ),
            "evaluation.certify_tight=true: is not made for network 'cnn'",
        ),
    ],
)
def test_bad_option_is_refused_in_one_line(small: SweepConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        check(small)
    assert "\n" not in str(error.value)
