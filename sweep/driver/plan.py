"""What a sweep consists of, what of it is finished, and what the rest costs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robust import networks
from robust.supports import supports
from sweep import datasets
from sweep.config.checks import AUTO
from sweep.config.schema import SweepConfig, data_options
from sweep.cost import calibration, memory, model
from sweep.cost.calibration import Rates
from sweep.cost.check import check_memory
from sweep.cost.device import local_device
from sweep.cost.memory import Memory
from sweep.datasets import DatasetInfo
from sweep.grid import expand
from sweep.grid.options import evaluated_attacks
from sweep.grid.packing import Pack, make_packs
from sweep.grid.rows import wanted_rows
from sweep.grid.trial import Trial
from sweep.pack import checkpoints
from sweep.pack.records import Origin
from sweep.pack.run import Job
from sweep.pack.train import Settings, device_name
from sweep.results import schema, store

UNBOUNDED = Memory()

_ROW_BYTES = 3.0  # of a record on disk: 1.6 in simulated packs of 77; small packs take more


@dataclass(frozen=True)
class Part:
    """The trials of one configuration; a sweep that includes experiments has several."""

    config: SweepConfig
    infos: expand.Infos
    trials: tuple[Trial, ...]

    def info(self, trial: Trial) -> DatasetInfo:
        """The facts of a trial's data set."""
        return self.infos[trial.dataset, trial.split_seed]


@dataclass(frozen=True)
class Plan:
    """A whole sweep."""

    name: str
    parts: tuple[Part, ...]
    finished: dict[str, str]  # trial id -> status, of this sweep's trials

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
        """All trials, finished or not."""
        return [trial for part in self.parts for trial in part.trials]

    def alone(self, part: Part, trial_ids: Container[str]) -> Plan:
        """Some trials of a part, whether finished or not, as a plan of their own."""
        trials = tuple(trial for trial in part.trials if trial.trial_id in trial_ids)
        return Plan(self.name, (Part(part.config, part.infos, trials),), {})

    def missing(self, part: Part) -> list[Trial]:
        """The trials of a part that are to be trained."""
        return [trial for trial in part.trials if trial.trial_id not in self.finished]


def make_plan(parts: Sequence[SweepConfig]) -> Plan:
    """Expand the grids and look up what is finished.

    Nothing is downloaded for a dry run or a simulation.

    Raises:
        ValueError: a data set cannot be had, or lacks a scaling.
        SchemaError: records on disk have another schema version.
    """
    name = parts[0].name
    assert name is not None
    done = store.finished(Path(parts[0].paths.results))
    seen: set[str] = set()
    made = []
    for given in parts:
        config = _taking_effect(given)
        infos = _infos(config)
        check_memory(config, infos)
        fresh = [t for t in expand.expand(config, infos) if t.trial_id not in seen]
        seen.update(trial.trial_id for trial in fresh)
        made.append(Part(with_certificates(config, infos), infos, tuple(fresh)))
    return Plan(name, tuple(made), {trial: done[trial] for trial in seen if trial in done})


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
    chosen: list[str] = [n for n in schema.CERTIFIED_BEST if n in {*made.certificates, *cheap}]
    return replace(config, evaluation=replace(made, certificates=chosen))


def _taking_effect(config: SweepConfig) -> SweepConfig:
    """The configuration without what does nothing where its packs are known to run.

    A CPU has no TF32: networks trained there are the same with it and without.
    """
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


def price(config: SweepConfig, info: DatasetInfo, trial: Trial) -> Price:
    """The operations that one trial takes."""
    size = networks.size(trial.network, info.num_features, info.num_classes, info.input_shape)
    evaluation = config.evaluation
    limit = evaluation.max_samples
    samples = sum(
        count if limit is None else min(limit, count)
        for count in (info.num_validation, info.num_test)
    )
    return Price(
        model.training_flops(trial.defense, size, trial.batch_size, trial.steps, info.num_train),
        model.evaluation_flops(
            size, evaluated_attacks(evaluation), len(evaluation.attack_grid_radii), samples
        ),
    )


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
    tasks = []
    begun = checkpoints.begun(plan.folder)
    for part in plan.parts:
        for pack in _packs(plan, part, rates, capacity, begun):
            info = part.info(pack.first)
            total = price(part.config, info, pack.first).times(len(pack))
            seconds = rates.seconds(pack.first.defense, total.train_flops, total.evaluation_flops)
            settings = _settings(plan, part.config, git_commit, device)
            rows = wanted_rows(part.config.evaluation, info)
            tasks.append(Task(Job(pack, info, settings, rows), total, seconds))
    return sorted(tasks, key=lambda task: -task.seconds)


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
    plan: Plan, part: Part, rates: Rates, capacity: Memory, begun: Sequence[Sequence[str]]
) -> list[Pack]:
    packing = part.config.packing

    def seconds(trial: Trial) -> float:
        total = price(part.config, part.info(trial), trial)
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
    )


def record_bytes(parts: Iterable[tuple[SweepConfig, int]]) -> float:
    """The disk space that the records of so many trials of each configuration take."""
    return sum(expand.rows_per_trial(c.evaluation) * count * _ROW_BYTES for c, count in parts)
