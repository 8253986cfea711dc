"""The time that is left of a sweep: right where what is left takes as long as what is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.cost.calibration import Rates
from sweep.driver import progress as progress_module
from sweep.driver.forecast import Forecast, Work, time_left
from sweep.driver.progress import Progress
from sweep.pack.run import Summary
from tests.sweep.helpers import config, jobs

SLOW, FAST = Work("rub", 1e12, 1e10), Work("nominal", 1e12, 1e10)


def test_pack_like_a_finished_one_takes_what_that_took() -> None:
    forecast = Forecast(Rates())
    forecast.learn(SLOW, 40.0, 5.0, 46.0)
    assert forecast.seconds(SLOW) == pytest.approx(46.0)
    twice = Work("rub", 2e12, 2e10)
    assert forecast.seconds(twice) == pytest.approx(91.0)


def test_each_defense_has_a_rate_of_its_own() -> None:
    forecast = Forecast(Rates())
    forecast.learn(SLOW, 100.0, 1.0, 101.0)
    forecast.learn(FAST, 1.0, 1.0, 2.0)
    assert forecast.seconds(SLOW) == pytest.approx(101.0)
    assert forecast.seconds(FAST) == pytest.approx(2.0)


def test_defense_that_did_not_run_keeps_its_calibrated_rate_on_a_slower_day() -> None:
    """RUB was four times as fast per operation as nominal; today all takes three times as long."""
    rates = Rates(training={"rub": 4e10, "nominal": 1e10}, evaluation=1e10, packs=2)
    forecast = Forecast(rates)
    before = forecast.seconds(Work("rub", 4e12, 0.0))
    forecast.learn(Work("nominal", 1e12, 0.0), 300.0, 0.0, 300.0)
    assert before == pytest.approx(100.0)
    assert forecast.seconds(Work("rub", 4e12, 0.0)) == pytest.approx(300.0)


def test_work_without_training_takes_what_evaluation_takes() -> None:
    forecast = Forecast(Rates(evaluation=1e10))
    forecast.learn(Work("rub", 0.0, 1e10), 0.0, 2.0, 2.5)
    assert forecast.seconds(Work("nominal", 0.0, 1e10)) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("waiting", "running", "slots", "left"),
    [
        ([], {}, 2, 0.0),
        ([10], {}, 2, 10.0),  # one pack does not share its work with idle slots
        ([10, 10, 10], {}, 2, 20.0),
        ([], {"a": (10, 4)}, 2, 6.0),
        ([5], {"a": (10, 4)}, 1, 11.0),
        ([5], {"a": (10, 4)}, 2, 6.0),
        ([], {"a": (10, 30)}, 1, 3.0),  # late: a tenth of what it took
    ],
)
def test_time_left_is_that_of_the_last_pack(
    waiting: list[float], running: dict[str, tuple[float, float]], slots: int, left: float
) -> None:
    def work(seconds: float) -> Work:
        return Work("nominal", seconds, 0.0)

    forecast = Forecast(Rates(training={"nominal": 1.0}))
    begun = {pack: (work(seconds), elapsed) for pack, (seconds, elapsed) in running.items()}
    assert time_left(forecast, map(work, waiting), begun, slots) == pytest.approx(left)


def test_progress_is_within_a_factor_of_two_after_the_first_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two packs of equal operations, of which the second is a slower defense's."""
    from sweep.driver.plan import Price, Task

    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    first, second = jobs(config(tmp_path / "results"))
    tasks = [Task(job, Price(1e12, 0.0), 1.0) for job in (first, second)]
    known = {first.pack.first.defense: 1e11, second.pack.first.defense: 1e10}
    progress = Progress("small", tasks, 0, 1, Rates(training=known, packs=2))
    assert progress.seconds_left() == pytest.approx(110.0)
    progress.started(first)
    now[0] = 12.0
    progress.finished(first, summary(first.pack.pack_id, 12.0))
    assert progress.seconds_left() == pytest.approx(120.0)
    progress.started(second)
    now[0] = 72.0
    assert progress.seconds_left() == pytest.approx(60.0)


def test_nothing_is_promised_before_anything_is_known(tmp_path: Path) -> None:
    assert Progress("small", [], 0, 1).seconds_left() is None


def summary(pack: str, seconds: float) -> Summary:
    counts = {"batch_size": 16, "trials": 2, "complete": 2, "diverged": 0, "failed": 0}
    spent = {"train_seconds": seconds, "evaluation_seconds": 0.0, "seconds": seconds}
    return Summary(
        pack,
        "iris",
        "mlp-1x8",
        "nominal",
        device="cpu",
        **counts,
        **spent,  # type: ignore[arg-type]
    )
