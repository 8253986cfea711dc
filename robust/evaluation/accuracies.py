"""Accuracies of a pack as a tensor that prints as a table.

Legend: P networks in the pack, R radii, N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

_MANY = 8  # networks: more do not stand side by side


class Accuracies(Tensor):
    """Accuracy of every network at every radius, [P, R], float64 in [0, 1].

    A tensor in every respect, of which whatever is computed is a plain tensor; printed, it is a
    table, and `rows()` are its rows for a data frame.

    Attributes:
        attack: name of the attack or certificate.
        radii: true radii, [R].
        count: N.
    """

    attack: str
    radii: list[float]
    count: int
    _plain: Tensor

    @staticmethod
    def of(values: Tensor, attack: str, radii: Sequence[float], count: int) -> Accuracies:
        """Return values, [P, R], with what they are of."""
        made = values.as_subclass(Accuracies)
        made.attack, made.radii, made.count, made._plain = attack, list(radii), count, values
        return made

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute with the plain tensors."""
        return func(*map(_plain, args), **{k: _plain(v) for k, v in (kwargs or {}).items()})

    def rows(self) -> list[dict[str, float | int | str]]:
        """Return one mapping per network and radius: network, attack, radius, accuracy."""
        return [
            {"network": p, "attack": self.attack, "radius": radius, "accuracy": accuracy}
            for p, own in enumerate(self._plain.tolist())
            for radius, accuracy in zip(self.radii, own, strict=True)
        ]

    def __repr__(self) -> str:  # type: ignore[override]
        """Return the table: a line per radius and a column per network; of many, a line each."""
        values = self._plain.tolist()
        names = [f"network {p}" for p in range(len(values))]
        radii = [f"{radius:g}" for radius in self.radii]
        shares = [[f"{value:.4f}" for value in own] for own in values]
        if len(names) > _MANY:
            named = ([name, *own] for name, own in zip(names, shares, strict=True))
            table = [["radius", *radii], *named]
        else:
            table = [["radius", *names], *map(list, zip(radii, *shares, strict=True))]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.rjust, line, widths)) for line in table]
        kind = "" if self.attack.startswith("certified") else "under "
        return "\n".join([f"accuracy {kind}{self.attack}, {self.count:,} examples", *lines])

    def __str__(self) -> str:
        """Return the table."""
        return repr(self)

    def __format__(self, spec: str) -> str:
        """Return the table, where nothing else is asked for."""
        return format(self._plain, spec) if spec else repr(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy and pickle with what the values are of."""
        return Accuracies.of, (self._plain, self.attack, self.radii, self.count)

    def __deepcopy__(self, memo: dict[int, Any]) -> Accuracies:
        """Return a copy."""
        return Accuracies.of(self._plain.clone(), self.attack, self.radii, self.count)


def _plain(value: Any) -> Any:
    """Return an argument with the plain tensors of accuracies in it, also in lists."""
    if isinstance(value, Accuracies):
        return value._plain
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value
