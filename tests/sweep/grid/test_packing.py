from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sweep.grid.packing import make_packs, pack_key
from sweep.grid.trial import Trial
from tests.sweep.helpers import config, trials

CONFIG = config()
TRIALS = trials(
    grid=replace(
        CONFIG.grid,
        dataset=["iris", "wine"],
        defense=["nominal", "rub", "pgd-linf"],
        grid_radius=[0.1, 0.2, 0.3],
        learning_rate=[1e-2, 1e-3],
        batch_size=[16, 32],
        seed=[0, 1],
    )
)


def cost(trial: Trial) -> float:
    return {"nominal": 1.0, "rub": 30.0, "pgd-linf": 10.0}[trial.defense]


@given(
    chosen=st.sets(st.sampled_from(TRIALS), min_size=1),
    max_trials=st.integers(1, 10),
    fitting=st.integers(0, 10),
)
def test_packs_hold_every_trial_once_within_bounds(
    chosen: set[Trial], max_trials: int, fitting: int
) -> None:
    packs = make_packs(chosen, max_trials=max_trials, cost=cost, fitting=lambda _: fitting)
    packed = [trial for pack in packs for trial in pack.trials]
    assert sorted(t.trial_id for t in packed) == sorted(t.trial_id for t in chosen)
    assert all(len(pack) <= max(1, min(max_trials, fitting)) for pack in packs)
    assert all(len({pack_key(trial) for trial in pack.trials}) == 1 for pack in packs)
    assert len({pack.pack_id for pack in packs}) == len(packs)


@given(max_trials=st.integers(1, 10))
def test_packs_come_longest_first(max_trials: int) -> None:
    packs = make_packs(TRIALS, max_trials=max_trials, cost=cost)
    costs = [cost(pack.first) * len(pack) for pack in packs]
    assert costs == sorted(costs, reverse=True)


@given(max_trials=st.integers(1, 10))
def test_packs_of_a_group_differ_by_at_most_one_trial(max_trials: int) -> None:
    sizes: dict[object, list[int]] = {}
    for pack in make_packs(TRIALS, max_trials=max_trials, cost=cost):
        sizes.setdefault(pack_key(pack.first), []).append(len(pack))
    assert all(max(group) - min(group) <= 1 for group in sizes.values())


def test_packs_are_the_same_each_time() -> None:
    once, again = (
        [pack.pack_id for pack in make_packs(TRIALS, max_trials=4, cost=cost)] for _ in range(2)
    )
    assert once == again
