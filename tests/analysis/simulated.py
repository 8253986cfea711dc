"""Made-up records of sweeps of conf's experiments, without Ray and MLflow."""

from __future__ import annotations

from pathlib import Path

from sweep.config import compose
from sweep.cost.calibration import Rates
from sweep.driver.plan import make_plan, make_tasks
from sweep.pack.run import run_pack

# A quickstart-sized grid: four tabular sets with two seeds, and MNIST, dense and convolutional.
_RADII = ("grid.grid_radius=[0.01,0.1,1]", "grid.learning_rate=[1e-2,1e-3]")
_ATTACKED = ("evaluation.attack_grid_radii=[0,0.001,0.01,0.1,0.3,1,5]",)
_EVALUATED = (*_ATTACKED, "evaluation.certify_tight=true")
_IMAGES = ("grid.dataset=[MNIST]", "grid.batch_size=[32]", "training.steps=5000")
SMALL = (
    (
        *("+experiment=quickstart", "grid.seed=[0,1]", "grid.batch_size=[256]"),
        *("training.steps=5000", "training.curve_every=500", "training.bound_checks=1"),
        *("evaluation.max_samples=null", *_RADII, *_EVALUATED),
        "evaluation.attacks=[pgd-l1,pgd-l2,pgd-linf,fgm-l1,fgm-l2,fgsm-linf,vertex-l1]",
    ),
    ("+experiment=vision_full", *_IMAGES, "training.trace_every=500", *_RADII, *_EVALUATED),
    ("+experiment=cnn_full", *_IMAGES, "grid.scaling=[standardized]", *_RADII),
)


def simulate(results: Path, *arguments: str) -> None:
    """Write the records of a sweep with these arguments, as `simulate=true` makes them up."""
    given = [*arguments, "simulate=true", "tracking.enabled=false", f"paths.results={results}"]
    plan = make_plan(compose.read(given))
    for task in make_tasks(plan, Rates(), git_commit="0" * 40, device="cpu"):
        summary = run_pack(task.job)
        assert summary.error is None, summary.error


def simulate_small(results: Path) -> None:
    """Write `simulated_small`: 364 trials."""
    for arguments in SMALL:
        simulate(results, *arguments, "name=simulated_small")
