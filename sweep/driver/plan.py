"""What a sweep consists of, what of it is finished, and what the rest costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from robust import networks
from robust.registry import CATALOG, weighted
from robust.supports import supports
from sweep import datasets
from sweep.config.checks import AUTO
from sweep.config.schema import SweepConfig, data_options, in_balls
from sweep.cost import calibration, memory, model
from sweep.cost.calibration import Rates
from sweep.cost.check import check_memory
from sweep.cost.device import local_device
from sweep.cost.memory import Memory
from sweep.datasets import DatasetInfo
from sweep.driver.missing import Known, Todo, grouped, todo
from sweep.grid import expand
from sweep.grid.options import evaluated_attacks
from sweep.grid.packing import Pack, make_packs
from sweep.grid.rows import Row, wanted_rows
from sweep.grid.trial import Trial
from sweep.pack import checkpoints
from sweep.pack.records import Origin
from sweep.pack.run import Job
from sweep.pack.train import Settings, device_name
from sweep.results import fingerprint, schema, store, weights
from sweep.results.replaced import NOTHING, Unwanted

UNBOUNDED = Memory()

_BEST_L1 = schema.CERTIFIED_BEST[0]
_PARAMETER_BYTES = 4  # float32
_ROW_BYTES = 3.0  # of a record on disk: 1.6 in simulated packs of 77; small packs take more


@dataclass(frozen=True)
class Part:
    """The trials of one configuration; a sweep that includes experiments has several.

    Attributes:
        config: of the part.
        infos: the facts of its data sets.
        trials: all of them, each with the rows that `wanted` gives its data set.
        wanted: by (data set, split seed).
        todo: what of the part is missing.
    """

    config: SweepConfig
    infos: expand.Infos
    trials: tuple[Trial, ...]
    wanted: Mapping[tuple[str, int], tuple[Row, ...]]
    todo: Todo

    def info(self, trial: Trial) -> DatasetInfo:
        """The facts of a trial's data set."""
        return self.infos[trial.dataset, trial.split_seed]

    def rows(self, trial: Trial) -> tuple[Row, ...]:
        """Every row that a trial is to have."""
        return self.wanted[trial.dataset, trial.split_seed]


@dataclass(frozen=True)
class Plan:
    """A whole sweep.

    Attributes:
        name: of the experiment.
        parts: one or several.
        finished: trial id -> status, of this sweep's trials that lack nothing.
        known: what is recorded of this sweep's trials, and in which file.
        weights: where kept networks lie.
        stale: how many of the finished networks other code than today's trained.
    """

    name: str
    parts: tuple[Part, ...]
    finished: Mapping[str, str]
    known: Known = field(default_factory=dict)
    weights: weights.Index = field(default_factory=dict)
    stale: int = 0

    @property
    def config(self) -> SweepConfig:
        """The configuration that all parts share outside of grid, training and evaluation."""
        return self.parts[0].config

    @property
    def folder(self) -> store.Folder:
        """Where the sweep's records go."""
        return store.Folder(Path(self.config.paths.results).absolute(), self.name)

    @property
    def trials(self) -> list[Trial]:
        """All trials, finished or not, each once."""
        return list({t.trial_id: t for part in self.parts for t in part.trials}.values())

    def alone(self, part: Part, trial_ids: Container[str]) -> Plan:
        """Some trials of a part as a plan of their own, in which none is trained yet."""
        trials = tuple(trial for trial in part.trials if trial.trial_id in trial_ids)
        return Plan(self.name, (replace(part, trials=trials, todo=Todo(train=trials)),), {})

    def missing(self, part: Part) -> Sequence[Trial]:
        """The trials of a part that are to be trained."""
        return part.todo.train


def make_plan(parts: Sequence[SweepConfig], unwanted: Unwanted = NOTHING) -> Plan:
    """Expand the grids and look up what is recorded, and which networks are kept.

    Nothing is downloaded for a dry run or a simulation.

    Args:
        parts: the configuration, one or several.
        unwanted: what counts as not recorded, though it is.

    Raises:
        ValueError: a data set cannot be had, or lacks a scaling.
        SchemaError: records on disk have another schema version.
    """
    name, root = parts[0].name, Path(parts[0].paths.results).absolute()
    assert name is not None
    known, kept = _wanted(store.known(root), unwanted), _wanted(weights.find(root), unwanted)
    asked: set[str] = set()
    training: set[str] = set()
    made = []
    for given in parts:
        config = _taking_effect(given)
        infos = _infos(config)
        check_memory(config, infos)
        trials = list({t.trial_id: t for t in expand.expand(config, infos)}.values())
        config = with_certificates(config, infos)
        wanted = {key: wanted_rows(config.evaluation, info) for key, info in infos.items()}
        known |= _without_rows(known, trials, wanted, unwanted)
        missing = todo(
            ((t, wanted[t.dataset, t.split_seed]) for t in trials),
            known,
            kept,
            trained_elsewhere=training,
            needs_weights=not config.simulate,
        )
        asked.update(trial.trial_id for trial in trials)
        training.update(trial.trial_id for trial in missing.train)
        made.append(Part(config, infos, tuple(trials), wanted, missing))
    own = {trial: known[trial] for trial in asked if trial in known}
    finished = {trial: found.status for trial, (found, _) in own.items()}
    for part in made:
        for trial in (*part.todo.train, *(t for t, _ in part.todo.evaluate)):
            finished.pop(trial.trial_id, None)
    return Plan(name, tuple(made), finished, own, kept)


Found = TypeVar("Found")


def _wanted(found: dict[str, Found], unwanted: Unwanted) -> dict[str, Found]:
    """What is there of trials that are not to be made again."""
    if not unwanted.trials:
        return found
    return {trial: value for trial, value in found.items() if trial not in unwanted.trials}


def _without_rows(
    known: Known,
    trials: Iterable[Trial],
    wanted: Mapping[tuple[str, int], tuple[Row, ...]],
    unwanted: Unwanted,
) -> dict[str, tuple[store.Recorded, Path]]:
    """What is recorded of the trials of which some rows are to be measured again."""
    some = frozenset[str]().union(*unwanted.rows.values())
    found: dict[str, tuple[store.Recorded, Path]] = {}
    for trial in trials if some else ():
        if trial.trial_id in some and trial.trial_id in known:
            again = frozenset(
                row.evaluation_id
                for row in wanted[trial.dataset, trial.split_seed]
                if trial.trial_id in unwanted.rows.get(row.attack, ())
            )
            recorded, path = known[trial.trial_id]
            found[trial.trial_id] = replace(recorded, rows=recorded.rows - again), path
    return found


def with_certificates(config: SweepConfig, infos: expand.Infos) -> SweepConfig:
    """The configuration with `auto` replaced by the certificates that are cheap for every trial.

    They are made for the network, and cost little beside the attacks: what they take is counted,
    not measured, so the rows of a trial depend on no machine.
    """
    asked = config.evaluation.certificates
    if AUTO not in asked:
        return config
    made = replace(config.evaluation, certificates=[name for name in asked if name != AUTO])
    cheap: list[str] = list(schema.CERTIFIED_BEST)
    for network in config.grid.network:
        cheap = [name for name in cheap if supports(network, name)]
        for info in infos.values():
            size = networks.size(network, info.num_features, info.num_classes, info.input_shape)
            radii = len(made.attack_grid_radii)
            cheap = model.affordable(cheap, size, evaluated_attacks(made), radii)
            if CATALOG in made.costs:
                cheap = [n for n in cheap if n != _BEST_L1 or supports(network, weighted(n))]
    chosen: list[str] = [n for n in schema.CERTIFIED_BEST if n in {*made.certificates, *cheap}]
    return replace(config, evaluation=replace(made, certificates=chosen))


def _taking_effect(config: SweepConfig) -> SweepConfig:
    """The configuration without what does nothing where its packs are known to run.

    A CPU has no TF32: networks trained there are the same with it and without.
    """
    config = replace(config, evaluation=in_balls(config.evaluation, config.grid))
    rounds = config.ray.address is not None or local_device(config.ray) != "cpu"
    if rounds or not config.training.tf32:
        return config
    return replace(config, training=replace(config.training, tf32=False))


def _infos(config: SweepConfig) -> expand.Infos:
    look_up = datasets.planned if config.dry_run or config.simulate else datasets.describe
    options = data_options(config)
    return {
        (name, seed): look_up(name, options, seed)
        for name in config.grid.dataset
        for seed in config.grid.split_seed
    }


@dataclass(frozen=True)
class Price:
    """What a trial or a pack costs."""

    train_flops: float = 0.0
    evaluation_flops: float = 0.0

    @property
    def flops(self) -> float:
        """All of them."""
        return self.train_flops + self.evaluation_flops

    def times(self, count: int) -> Price:
        """The price of `count` of them."""
        return Price(self.train_flops * count, self.evaluation_flops * count)


def price_of_training(info: DatasetInfo, trial: Trial) -> Price:
    """The operations that training one trial takes."""
    size = networks.size(trial.network, info.num_features, info.num_classes, info.input_shape)
    steps = trial.batch_size, trial.steps, info.num_train
    return Price(model.training_flops(trial.defense, size, *steps), 0.0)


def price_of_rows(
    config: SweepConfig, info: DatasetInfo, trial: Trial, rows: Iterable[Row]
) -> Price:
    """The operations that measuring some rows of one trial takes."""
    size = networks.size(trial.network, info.num_features, info.num_classes, info.input_shape)
    limit = config.evaluation.max_samples
    samples = sum(
        count if limit is None else min(limit, count)
        for count in (info.num_validation, info.num_test)
    )
    radii: dict[str, set[float]] = {}
    for row in rows:  # both splits are attacked together
        radii.setdefault(row.attack, set()).add(row.attack_radius)
    flops = sum(
        model.evaluation_flops(size, [attack], len(own), samples) for attack, own in radii.items()
    )
    return Price(0.0, flops)


class _WholePrices:
    """The operations that each trial takes, to train and to measure all of its rows.

    Thousands of trials differ in nothing that counts, and rows are hundreds.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self._known: dict[tuple[object, ...], Price] = {}

    def of(self, trial: Trial) -> Price:
        """The price of one trial."""
        data = trial.dataset, trial.split_seed
        key = (*data, trial.network, trial.defense, trial.batch_size, trial.steps)
        if key not in self._known:
            info = self.part.info(trial)
            rows = price_of_rows(self.part.config, info, trial, self.part.rows(trial))
            training = price_of_training(info, trial)
            self._known[key] = replace(training, evaluation_flops=rows.evaluation_flops)
        return self._known[key]


@dataclass(frozen=True)
class Task:
    """A pack to run, and what it should cost."""

    job: Job
    price: Price
    seconds: float  # predicted, on one pack's share of the device


def make_tasks(
    plan: Plan, rates: Rates, capacity: Memory = UNBOUNDED, *, git_commit: str, device: str
) -> list[Task]:
    """Pack what is missing, the longest packs first."""
    begun = checkpoints.begun(plan.folder)
    tasks: list[Task] = []
    for part in plan.parts:
        settings = _settings(plan, part.config, git_commit, device)
        tasks += _training_tasks(plan, part, settings, rates, capacity, begun)
        tasks += _evaluation_tasks(plan, part, settings, rates)
    return sorted(tasks, key=lambda task: -task.seconds)


def _training_tasks(
    plan: Plan,
    part: Part,
    settings: Settings,
    rates: Rates,
    capacity: Memory,
    begun: Sequence[Sequence[str]],
) -> Iterator[Task]:
    """Packs of networks to train, with all of their rows."""
    prices = _WholePrices(part)
    for pack in _packs(plan, part, rates, capacity, begun, prices):
        first = pack.first
        total = prices.of(first).times(len(pack))
        again = {t.trial_id: plan.known[t.trial_id][1] for t in pack.trials
                 if t.trial_id in part.todo.again}  # fmt: skip
        rows = part.rows(first)
        made = _made_by_todays_source(settings, part, pack)
        job = Job(pack, part.info(first), made, rows, recorded=again)
        seconds = rates.seconds(first.defense, total.train_flops, total.evaluation_flops)
        yield Task(job, total, seconds)


def _evaluation_tasks(plan: Plan, part: Part, settings: Settings, rates: Rates) -> Iterator[Task]:
    """Packs of kept networks, with the rows that they lack."""
    for trials, rows in grouped(part.todo.evaluate, part.config.packing.max_trials):
        pack, first = Pack(trials), trials[0]
        recorded = {t.trial_id: plan.known[t.trial_id][1] for t in trials}
        kept = {t: plan.weights[t] for t in recorded if t in plan.weights}
        made = _made_by_todays_source(settings, part, pack)
        job = Job(pack, part.info(first), made, rows, recorded=recorded, weights=kept)
        total = price_of_rows(part.config, part.info(first), first, rows).times(len(pack))
        yield Task(job, total, rates.seconds(first.defense, 0.0, total.evaluation_flops))


def _made_by_todays_source(settings: Settings, part: Part, pack: Pack) -> Settings:
    """The settings of a pack, whose records say which source makes them."""
    first = pack.first
    found = {
        attack: fingerprint.of_evaluation(attack, first.network)
        for attack in evaluated_attacks(part.config.evaluation)
    }
    origin = replace(
        settings.origin,
        source_fingerprint=fingerprint.of_training(first.defense, first.network),
        evaluation_fingerprints={attack: own for attack, own in found.items() if own is not None},
    )
    return replace(settings, origin=origin)


def learn_memory(plan: Plan, device: str, *, probe: bool) -> Memory:
    """What is known of the memory of the plan's packs.

    Args:
        plan: what is to be trained.
        device: where.
        probe: measure packs that may not fit and were not measured; takes seconds for each.
    """
    name, root = device_name(device), plan.folder.root
    before = memory.read(root, name)
    limit = memory.share(plan.config, device)
    known = Memory(limit, before, calibration.splits(root, name))
    if not probe or plan.config.simulate:
        return known
    most = plan.config.packing.max_trials
    missing = ((t, part.info(t)) for part in plan.parts for t in plan.missing(part))
    shapes = memory.to_measure(known, missing, most)
    if not shapes:
        return known
    print(f"{plan.name}: measuring the memory of {len(shapes)} kinds of packs", flush=True)
    lines = before | memory.measured(shapes, device)
    memory.write(root, name, lines)
    return Memory(limit, lines, known.split)


def _packs(
    plan: Plan,
    part: Part,
    rates: Rates,
    capacity: Memory,
    begun: Sequence[Sequence[str]],
    prices: _WholePrices,
) -> list[Pack]:
    packing = part.config.packing

    def seconds(trial: Trial) -> float:
        total = prices.of(trial)
        return rates.seconds(trial.defense, total.train_flops, total.evaluation_flops)

    def fitting(trial: Trial) -> int:
        known = capacity.fitting(trial, part.info(trial))
        return known if known is not None else packing.max_trials

    return make_packs(
        plan.missing(part),
        max_trials=packing.max_trials,
        cost=seconds,
        fitting=fitting,
        begun=begun,
    )


def _settings(plan: Plan, config: SweepConfig, git_commit: str, device: str) -> Settings:
    return Settings(
        results=str(plan.folder.root),
        origin=Origin(plan.name, git_commit, config.simulate),
        data=data_options(config),
        evaluation=config.evaluation,
        training=config.training,
        device=device,
        threads=config.ray.cpus_per_pack,
        checkpoint_seconds=config.checkpoint.every_seconds,
        keep_networks=keeps_networks(config),
    )


def record_bytes(tasks: Iterable[Task]) -> float:
    """The disk space that the records of packs take."""
    return sum(len(task.job.pack) * len(task.job.rows) * _ROW_BYTES for task in tasks)


def keeps_networks(config: SweepConfig) -> bool:
    """Whether networks are kept as they are trained; made-up ones have no weights."""
    return config.keep.networks != "none" and not config.simulate


def network_bytes(part: Part, trials: Iterable[Trial]) -> int:
    """The disk space that the weights of trials take while a sweep runs."""
    if not keeps_networks(part.config):
        return 0
    count = Counter((trial.network, trial.dataset, trial.split_seed) for trial in trials)
    total = 0
    for (network, dataset, split_seed), times in count.items():
        info = part.infos[dataset, split_seed]
        size = networks.size(network, info.num_features, info.num_classes, info.input_shape)
        total += times * size.parameters * _PARAMETER_BYTES
    return total
