"""The options that enter a trial's id, at the values that take effect.

Two configurations that give a trial the same records give it the same options, whatever was
written: an option is left out where it is at its default, or where it changes nothing for this
data set, these attacks, so many steps. A new option, off by default, so renames no trial; a
default that is changed here renames none either, so `NUMERICS_VERSION` must then be raised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from robust import attacks
from robust.attacks.gradient import GradientAttack
from sweep.config.schema import Evaluation, SweepConfig, Training
from sweep.datasets import DatasetInfo
from sweep.results import schema

BOUND_CHECKS: Final = "bound_checks"  # the one option that trials of a pack may differ in

_CERTIFIED_NORMS = {schema.CERTIFIED: "l1", schema.CERTIFIED_TIGHT: "l1"}


def evaluated_attacks(evaluation: Evaluation) -> tuple[str, ...]:
    """Every value of the column `attack`, in order."""
    certificates = {
        schema.CERTIFIED: evaluation.certify,
        schema.CERTIFIED_TIGHT: evaluation.certify_tight,
    }
    return (*evaluation.attacks, *(name for name, asked in certificates.items() if asked))


def attack_norm(attack: str) -> str:
    """The norm of an attack's ball."""
    known = _CERTIFIED_NORMS.get(attack)
    return known if known is not None else str(attacks.get(attack).norm)


def options_of(config: SweepConfig, info: DatasetInfo) -> dict[str, object]:
    """The options that change the records of trials on a data set and are no axis of the grid.

    Args:
        config: checked by `sweep.config.checks.check`.
        info: of the data set.

    Returns:
        Those that differ from what a configuration without any options comes to.
    """
    plain = replace(
        config,
        training=Training(steps=config.training.steps),
        evaluation=Evaluation(),
        data=replace(config.data, keep_target_column=False),
        simulate=False,
    )
    usual = _effective(plain, info)
    return {key: v for key, v in _effective(config, info).items() if v != usual[key]}


def _effective(config: SweepConfig, info: DatasetInfo) -> dict[str, object]:
    training, evaluation = config.training, config.evaluation
    return {
        "loss": training.loss,
        "attacks": sorted(set(evaluation.attacks)),
        "attack_grid_radii": _radii(evaluation),
        "unscaled_radii": _unscaled(evaluation, info.num_features),
        "certify": evaluation.certify,
        "certify_tight": evaluation.certify_tight,
        "nested": evaluation.nested and sum(r > 0 for r in _radii(evaluation)) > 1,
        "engine": _engine(evaluation),
        "restarts": _restarts(evaluation),
        "max_samples": _max_samples(evaluation, info),
        "keep_target_column": config.data.keep_target_column,
        # The curve has a point at the last step in any case, a trace has not.
        "curve_every": min(training.curve_every, training.steps),
        "trace_every": training.trace_every if training.trace_every <= training.steps else 0,
        "tf32": training.tf32,
        "simulate": config.simulate,
    }


def _radii(evaluation: Evaluation) -> list[float]:
    return sorted({float(radius) + 0.0 for radius in evaluation.attack_grid_radii})  # -0.0 is 0


def _unscaled(evaluation: Evaluation, num_features: int) -> bool:
    """Whether radii are taken as they are where they would otherwise be scaled."""
    scaled = any(attack_norm(name) != "linf" for name in evaluated_attacks(evaluation))
    some = any(radius > 0 for radius in evaluation.attack_grid_radii)
    return not evaluation.scale_radii and scaled and some and num_features > 1


def _engine(evaluation: Evaluation) -> str:
    """The engine, of attacks that it has."""
    usual = Evaluation().engine
    if evaluation.engine == usual:
        return usual
    from robust.evaluation.foolbox_engine import FOOLBOX_ATTACKS  # imports foolbox

    return evaluation.engine if set(evaluation.attacks) & set(FOOLBOX_ATTACKS) else usual


def _restarts(evaluation: Evaluation) -> int | None:
    """The starts of attacks that keep the best of several, where not their own number."""
    methods = [attacks.get(name) for name in evaluation.attacks]
    own = {m.restarts for m in methods if isinstance(m, GradientAttack) and m.keep_best}
    return None if own <= {evaluation.restarts} else evaluation.restarts


def _max_samples(evaluation: Evaluation, info: DatasetInfo) -> int | None:
    """The bound on samples, where a split has more."""
    most = max(info.num_validation, info.num_test)
    limit = evaluation.max_samples
    return limit if limit is not None and limit < most else None
