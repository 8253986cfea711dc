"""AutoAttack on the selected networks: the command `strong`.

    robust-sweep strong +experiment=NAME [key=value ...]      # as for `run`

For each data set, network family, defense, norm and radius of `evaluation.strong_grid_radii`, the
network that has the highest validation accuracy under PGD is attacked on test data: from its kept
weights, or where these are gone trained again. Rows `autoattack-<norm>` in the records' schema go
to results/NAME/strong/, one file per trial, apart from the records of the sweep. Running the same
command again attacks only what is missing: the rows of other radii stay, those of the same ball
on another number of samples (`evaluation.strong_samples`) are replaced. Rows that other code than
today's made are counted, and with retrain=changed or all made again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import torch

from robust.evaluate import correct, survivors
from robust.evaluation.attack_batches import AttackedPoints
from robust.evaluation.soundness import CertificateCheck, reports
from robust.networks.linearization import Network
from sweep import datasets, output
from sweep.config import compose
from sweep.cost.calibration import Rates
from sweep.cost.device import local_device
from sweep.driver import plan
from sweep.driver.kept import networks_of
from sweep.driver.recorded import frame_of
from sweep.errors import UserError
from sweep.grid.trial import Trial
from sweep.hashing import canonical
from sweep.pack import assess, autoattack, train
from sweep.pack.run import Job
from sweep.results import fingerprint, identity, schema, store, weights
from sweep.results.provenance import git_commit
from sweep.uri import redacted

Row = dict[str, Any]
_ARM = ("dataset", "scaling", "defense", "seed", "split_seed", "attack_norm", "attack_grid_radius")


def main(argv: Sequence[str]) -> int:
    """Attack what selection picks; the exit code is 1 if any network cannot be recorded."""
    if list(argv[:1]) in (["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    try:
        parts = compose.compose(argv)
        autoattack.require()
        made = plan.make_plan(parts)
        trouble = 0
        for job, picks in _jobs(made):
            for line in _attack_pack(job, picks, made.folder):
                trouble += 1
                print(line, file=sys.stderr)
        return 1 if trouble else 0
    except (UserError, ValueError) as error:
        print(f"error: {redacted(' '.join(str(error).split()))}", file=sys.stderr)
        return 2


def picks_of(records: pl.DataFrame, grid_radii: Sequence[float]) -> pl.DataFrame:
    """Return the test rows, under PGD, of the trials with the highest validation accuracy.

    Ties go to the smaller grid radius, the smaller learning rate, then the trial id.

    Args:
        records: rows of `schema.RECORD_COLUMNS`.
        grid_radii: attack grid radii at which to select.
    """
    norms = records["attack_norm"].unique().to_list()
    under_pgd = records.filter(
        pl.col("attack").is_in([f"pgd-{norm}" for norm in norms])
        & pl.col("attack_grid_radius").is_in(list(grid_radii))
        & (pl.col("status") == "complete")
    ).with_columns(cnn=pl.col("network") == "cnn")
    arm = [*_ARM, "cnn"]
    chosen = (
        under_pgd.filter(pl.col("split") == "validation")
        .sort(
            "accuracy", "grid_radius", "learning_rate", "trial_id", descending=[True] + [False] * 3
        )
        .unique(subset=arm, keep="first", maintain_order=True)
        .select("trial_id", "attack", "attack_grid_radius")
    )
    test = under_pgd.filter(pl.col("split") == "test").drop("cnn")
    return test.join(chosen, on=["trial_id", "attack", "attack_grid_radius"])


def _jobs(made: plan.Plan) -> Iterator[tuple[Job, Mapping[str, list[Row]]]]:
    """Packs of the selected trials with balls to attack, and the rows that picked these."""
    records = _records(made)
    device = local_device(made.config.ray)
    for part in made.parts:
        missing = _missing(part, records, made.folder)
        alone = made.alone(part, missing)
        for task in plan.make_tasks(alone, Rates(), git_commit=git_commit(), device=device):
            yield task.job, missing


def _records(made: plan.Plan) -> pl.DataFrame:
    """The records of the trials that the command asks for.

    Raises:
        UserError: there are none, or none under PGD at any radius of the strong attacks.
    """
    paths = made.folder.record_files()
    if not paths:
        raise UserError(f"{made.folder.path}: no records; run the sweep first")
    # Files from before a column was recorded lack it.
    found = pl.concat([frame_of(path) for path in paths], how="diagonal")
    asked = [trial.trial_id for trial in made.trials]
    records = found.filter(pl.col("trial_id").is_in(asked))
    if records.is_empty():
        raise UserError(f"{made.folder.path}: no records of these trials; run the sweep first")
    radii = made.config.evaluation.strong_grid_radii
    lacking = [radius for radius in radii if picks_of(records, [radius]).is_empty()]
    where = f"evaluation.strong_grid_radii={radii}: no trial is recorded as complete under PGD at"
    if len(lacking) == len(radii):
        known = sorted(set(records["attack_grid_radius"]))
        raise UserError(f"{where} any of them; recorded are {known}")
    if lacking:
        print(f"warning: {where} {lacking}", file=sys.stderr)
    return records


def _missing(part: plan.Part, records: pl.DataFrame, folder: store.Folder) -> dict[str, list[Row]]:
    """The picked rows, by trial, at whose balls strong attacks are still to be made."""
    options = part.config.evaluation
    picked: dict[str, list[Row]] = {}
    for row in picks_of(records, options.strong_grid_radii).to_dicts():
        picked.setdefault(row["trial_id"], []).append(row)
    missing = {}
    stale = 0
    for trial in part.trials:
        samples = min(options.strong_samples, part.info(trial).num_test)
        before = _attacked_before(folder, trial)
        todays = [row for row in before if _is_todays(row, trial)]
        stale += len(before) - len(todays)
        if part.config.retrain != "none":
            before = todays
        rows = missing_picks(picked.get(trial.trial_id, []), before, samples)
        if rows:
            missing[trial.trial_id] = rows
    if stale:
        what = "stay" if part.config.retrain == "none" else "are made again where selection picks"
        output.warn(
            f"{folder.experiment}: other code than today's made {stale:,} rows of strong attacks; "
            f"they {what} (retrain={part.config.retrain}; changed makes them again)"
        )
    return missing


def _is_todays(row: Row, trial: Trial) -> bool:
    """Whether no other code than today's is known to have made a row of a strong attack."""
    today = fingerprint.of_strong(trial.network)
    return row.get("evaluation_fingerprint") in (None, today) or today is None


def missing_picks(picks: Sequence[Row], before: Sequence[Row], samples: int) -> list[Row]:
    """Return the picked rows at whose ball no attack is recorded on so many samples.

    Args:
        picks: of one trial.
        before: its rows under strong attacks.
        samples: that an attack is to be made on.
    """
    made = {_ball(row) for row in before if row["num_samples"] == samples}
    return [row for row in picks if _ball(row) not in made]


def _ball(row: Row) -> tuple[str, float]:
    return row["attack_norm"], row["attack_grid_radius"]


def _attacked_before(folder: store.Folder, trial: Trial) -> list[Row]:
    path = _path(folder, trial.trial_id)
    return frame_of(path).to_dicts() if path.exists() else []


def _path(folder: store.Folder, trial_id: str) -> Path:
    return folder.path / "strong" / f"{trial_id}.parquet"


def _attack_pack(job: Job, picks: Mapping[str, list[Row]], folder: store.Folder) -> Iterator[str]:
    """Attack the networks of a pack; yield a line for each that cannot count."""
    pack, settings, first = job.pack, job.settings, job.pack.first
    data = datasets.load(first.dataset, first.scaling, settings.data, first.split_seed)
    net = networks_of(job, data, weights.find(folder.root))
    for index, trial in enumerate(pack.trials):
        rows = [_attacked(job, net.subset([index]), data, row) for row in picks[trial.trial_id]]
        wrong = [row["error"] for row in rows if row["error"] is not None]
        if wrong:
            yield f"{trial.dataset} / {trial.defense} / {trial.trial_id}: {wrong[0]}"
            continue
        new = {_ball(row) for row in rows}
        kept = [row for row in _attacked_before(folder, trial) if _ball(row) not in new]
        path = _path(folder, trial.trial_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        store.write_table(path, pa.Table.from_pylist([*kept, *rows], schema=store.RECORDS))
        for row in rows:
            print(f"{trial.dataset} {trial.defense} {row['attack']} {row['accuracy']:.3f}")


def _attacked(job: Job, net: Network, data: datasets.Dataset, pick: Row) -> Row:
    """Return the record of AutoAttack at the ball of a picked row."""
    device, options = job.settings.device, job.settings.evaluation
    first = job.pack.first
    chosen = assess.sample(len(data.test.y), options.strong_samples, first.dataset_hash, "test")
    x = torch.from_numpy(data.test.x[chosen]).to(device)
    y = torch.from_numpy(data.test.y[chosen]).to(device)
    norm, radius = pick["attack_norm"], pick["attack_radius"]
    x_adv = autoattack.perturb(net, x, y, norm, radius, data.bounds, first.seed)
    keeps = correct(net, x, y) & (net(x_adv).argmax(dim=2) == y)
    problem, flags = None, ""
    if norm == "l1" and options.certify:
        radii = torch.tensor([radius], dtype=torch.float64)
        certified = survivors(net, x, y, attack=schema.CERTIFIED, radii=radii, bounds=data.bounds)
        check = CertificateCheck(net, x, y, radii, certified, f"autoattack-{norm}")
        everything = torch.arange(len(y), device=device).unsqueeze(0)
        check(
            AttackedPoints(
                slice(0, 1), [0], everything, x_adv.view(1, 1, *x.shape), keeps.unsqueeze(1)
            )
        )
        problem = reports(check.found, 1, len(y))[0]
        flags = "certificate-refuted" if bool(check.refuted.any()) else ""
    row = pick | {
        "attack": f"autoattack-{norm}",
        "evaluation_options": canonical(autoattack.evaluation_options(len(y))),
        "accuracy": float(keeps.double().mean()),
        "num_samples": len(y),
        "evaluation_fingerprint": fingerprint.of_strong(first.network),
        "git_commit": job.settings.origin.git_commit,
        "device": train.device_name(device),
        "flags": flags,
        "error": problem,
    }
    return row | {"evaluation_id": identity.evaluation_id(row)}
