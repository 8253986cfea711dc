"""Where the workers' time goes that trains nothing."""

from __future__ import annotations

import pytest

from sweep.driver.overhead import SlotTime


class Clock:
    """A watch that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lost_time_is_split_into_start_packs_and_end(clock: Clock) -> None:
    time = SlotTime(slots=2, packs=3, clock=clock)
    clock.now = 10.0
    time.started("a")
    clock.now = 12.0  # one slot idle for 2 s while packs wait
    time.started("b")
    clock.now = 20.0  # a: 10 s, of which 9 trained
    assert time.finished("a", useful=9.0) == pytest.approx(1.0)
    clock.now = 21.0  # and its slot waits a second for c
    time.started("c")
    clock.now = 22.0  # b: 10 s, all of it useful; nothing is left to start
    assert time.finished("b", useful=10.0) == 0.0
    clock.now = 27.0
    assert time.finished("c", useful=6.0) == pytest.approx(0.0)
    clock.now = 28.0
    assert time.share() == pytest.approx(1 - 25 / 56)
    # 20 slot-seconds before a; 2 + 1 + 1 around packs; 5 beside c and 2 after it.
    assert (time.start, time.around, time.end) == (20.0, 4.0, 7.0)
    assert time.start + time.around + time.end + time.useful == 56.0
    assert time.parts() == "10s to start, 1.3s around each pack, 4s at the end"


def test_idle_time_before_a_pack_ends_is_counted_with_it(clock: Clock) -> None:
    time = SlotTime(slots=2, packs=3, clock=clock)
    time.started("a")
    clock.now = 5.0
    assert time.finished("a", useful=5.0) == 5.0  # the other slot had nothing for 5 s


def test_time_of_a_worker_that_died_is_lost(clock: Clock) -> None:
    time = SlotTime(slots=1, packs=1, clock=clock)
    time.started("a")
    clock.now = 4.0
    time.retried("a")
    clock.now = 5.0
    time.started("a")
    clock.now = 8.0
    time.finished("a", useful=3.0)
    assert (time.around, time.useful, time.share()) == (5.0, 3.0, 5 / 8)


def test_pack_lost_before_it_began_costs_nothing(clock: Clock) -> None:
    time = SlotTime(slots=1, packs=1, clock=clock)
    assert time.finished("a", useful=0.0) == 0.0
    assert time.share() == 0.0


def test_pack_lost_before_it_began_waits_no_longer(clock: Clock) -> None:
    time = SlotTime(slots=1, packs=2, clock=clock)
    time.started("a")
    time.finished("b", useful=0.0)
    time.finished("a", useful=0.0)
    clock.now = 3.0
    assert time.parts() == "0s to start, 0.0s around each pack, 3s at the end"


def test_slots_are_full_when_all_run_or_nothing_waits(clock: Clock) -> None:
    time = SlotTime(slots=2, packs=3, clock=clock)
    assert not time.full()
    time.started("a")
    assert not time.full()
    time.started("b")
    assert time.full()
    time.finished("a", useful=0.0)
    assert not time.full()
    time.started("c")
    time.finished("b", useful=0.0)
    assert time.full()
