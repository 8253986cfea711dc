"""The rows that a network is to have: what is measured of it, and by which rules (pure).

A row is one accuracy: a split, an attack or certificate, a radius, and the rules that the number
follows from. It does not depend on the other rows that are asked for with it, so a row that is
recorded is never measured again, whatever is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from robust import attacks
from robust.attacks.base import Attack
from robust.attacks.gradient import GradientAttack
from robust.evaluate import certificate_of
from robust.evaluation.subject import AS_RUN
from robust.registry import is_weighted
from sweep.config.schema import Evaluation
from sweep.datasets import DatasetInfo
from sweep.grid.expand import attack_radii
from sweep.grid.options import attack_norm, evaluated_attacks, plain
from sweep.hashing import canonical
from sweep.results import identity, schema

PACKED, FOOLBOX = "packed", "foolbox"

# Fields of an attack that change no point it finds.
_WITHOUT_EFFECT = ("name", "record", "costs")


@dataclass(frozen=True)
class Row:
    """What one record measures, whatever the network."""

    split: str
    attack: str
    attack_norm: str
    attack_grid_radius: float
    attack_radius: float
    evaluation_options: str  # canonical JSON

    @cached_property
    def evaluation_id(self) -> str:
        """The content hash of what the accuracy of a given network follows from."""
        return identity.evaluation_id(vars(self))


def wanted_rows(evaluation: Evaluation, info: DatasetInfo) -> tuple[Row, ...]:
    """Every row that a trial on a data set is to have, in the order of the records.

    Args:
        evaluation: checked by `sweep.config.checks.check`.
        info: of the data set.
    """
    samples = _max_samples(evaluation, info)
    rows = []
    for split in schema.SPLITS:
        for attack in evaluated_attacks(evaluation):
            norm = attack_norm(attack)
            radii = [r + 0.0 for r in attack_radii(evaluation, norm, info.num_features)]
            for grid_radius, radius in zip(evaluation.attack_grid_radii, radii, strict=True):
                smaller = tuple(sorted({r for r in radii if 0 < r < radius}))
                nested = smaller if evaluation.nested and not certificate_of(attack) else ()
                options = evaluation_options(
                    attack, evaluation.engine, evaluation.restarts, samples, nested
                )
                if is_weighted(attack):  # its ball is another wherever the costs are
                    options["costs"] = info.costs_hash
                where = (split, attack, norm, grid_radius + 0.0, radius)
                rows.append(Row(*where, canonical(options)))
    return tuple(dict.fromkeys(rows))


def evaluation_options(
    attack: str,
    engine: str = PACKED,
    restarts: int | None = None,
    max_samples: int | None = None,
    nested: Sequence[float] = (),
) -> dict[str, object]:
    """The rules that an accuracy follows from, at the values that take effect.

    Args:
        attack: of an attack or certificate.
        engine: packed or foolbox.
        restarts: of attacks that keep the best of several starts; None is their own number.
        max_samples: the bound on samples, None where no split has more.
        nested: the smaller radii at which an example that is broken counts as broken here.
    """
    rules: dict[str, object] = {"version": schema.EVALUATION_VERSION}
    if certificate_of(attack) is not None:
        rules["precision"] = AS_RUN  # rows of before say nothing, and are measured again
    else:
        rules["attack"] = _fields(_as_used(attacks.get(attack), restarts))
        rules["engine"] = engine_of(attack, engine)
        rules["nested"] = list(nested)
    return rules | {"max_samples": max_samples}


def engine_of(attack: str, engine: str) -> str:
    """The engine that runs an attack: foolbox runs those that it has, the others stay ours."""
    if engine != FOOLBOX or certificate_of(attack) is not None or is_weighted(attack):
        return PACKED
    from robust.evaluation.foolbox_engine import FOOLBOX_ATTACKS  # imports foolbox

    return FOOLBOX if attack in FOOLBOX_ATTACKS else PACKED


def _as_used(method: Attack, restarts: int | None) -> Attack:
    """The attack with as many starts as it makes."""
    if restarts is None or not isinstance(method, GradientAttack) or not method.keep_best:
        return method
    return replace(method, restarts=restarts)


def _fields(method: Attack) -> dict[str, object]:
    names = [f.name for f in fields(method) if f.name not in _WITHOUT_EFFECT]
    return {n: plain(getattr(method, n), f"attack {method.name!r}: {n}") for n in names}


def _max_samples(evaluation: Evaluation, info: DatasetInfo) -> int | None:
    """The bound on samples, where a split has more."""
    most = max(info.num_validation, info.num_test)
    limit = evaluation.max_samples
    return limit if limit is not None and limit < most else None
