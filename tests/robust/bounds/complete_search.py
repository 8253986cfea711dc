"""The largest class difference of a small dense graph over a polytope, by integer programming.

Every ReLU has a 0/1 variable that says whether it is active (Tjeng, Xiao, Tedrake 2019); HiGHS
searches all of them. An independent reference: it shares nothing with the bounds but the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from robust.layers.graph import owned
from robust.networks import GraphNetwork

Array = NDArray[np.float64]


class Program:
    """Variables with bounds, and linear constraints."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.high: list[float] = []
        self.whole: list[int] = []
        self.rows: list[tuple[dict[int, float], float, float]] = []

    def variables(self, count: int, low: float, high: float, whole: bool = False) -> list[int]:
        start = len(self.low)
        self.low += [low] * count
        self.high += [high] * count
        self.whole += [int(whole)] * count
        return list(range(start, start + count))

    def constrain(self, terms: dict[int, float], low: float, high: float) -> None:
        self.rows.append((terms, low, high))

    def largest(self, terms: dict[int, float]) -> float:
        matrix = np.zeros((len(self.rows), len(self.low)))
        for i, (row, _, _) in enumerate(self.rows):
            for at, value in row.items():
                matrix[i, at] += value
        cost = np.zeros(len(self.low))
        for at, value in terms.items():
            cost[at] = -value
        found = milp(
            cost,
            integrality=np.array(self.whole),
            bounds=Bounds(np.array(self.low), np.array(self.high)),
            constraints=LinearConstraint(
                matrix, np.array([r[1] for r in self.rows]), np.array([r[2] for r in self.rows])
            ),
        )
        assert found.success, found.message
        return float(-found.fun)


def largest_differences(
    net: GraphNetwork, p: int, x: Array, label: int, planes: Array, limits: Array, most: float
) -> Array:
    """Return max z_k - z_y over {x + d : planes d <= limits} for every class.

    Args:
        net: float64, of dense layers, ReLUs and sums; p: which of its networks.
        x: [D].
        label: y.
        planes, limits: [N, D] and [N].
        most: no value of the network is larger in magnitude.
    """
    program = Program()
    delta = program.variables(len(x), -most, most)
    for plane, limit in zip(planes, limits, strict=True):
        program.constrain({d: float(a) for d, a in zip(delta, plane, strict=True)}, -np.inf, limit)
    values = [[*program.variables(len(x), -most, most)]]
    for at, d, start in zip(values[0], delta, x, strict=True):
        program.constrain({at: 1.0, d: -1.0}, float(start), float(start))
    for node, own in zip(net.graph.nodes, owned(net), strict=True):
        inputs = [values[at] for at in node.inputs]
        if node.layer.kind == "relu":
            values.append(_rectified(program, inputs[0], most))
            continue
        if node.layer.kind == "add":
            weights, bias = [np.eye(len(inputs[0]))] * 2, np.zeros(len(inputs[0]))
        else:
            assert own is not None
            weights = [own.weight[p].detach().numpy()]
            bias = own.bias[p].detach().numpy()
        values.append(_affine(program, inputs, weights, bias, most))
    logits = values[-1]
    return np.array(
        [
            0.0 if k == label else program.largest({logits[k]: 1.0, logits[label]: -1.0})
            for k in range(len(logits))
        ]
    )


def _affine(
    program: Program,
    inputs: Sequence[list[int]],
    weights: Sequence[Array],
    bias: Array,
    most: float,
) -> list[int]:
    out = program.variables(len(bias), -most, most)
    for j, at in enumerate(out):
        terms = {at: 1.0}
        for units, weight in zip(inputs, weights, strict=True):
            for i, unit in enumerate(units):
                terms[unit] = terms.get(unit, 0.0) - float(weight[i, j])
        program.constrain(terms, float(bias[j]), float(bias[j]))
    return out


def _rectified(program: Program, units: list[int], most: float) -> list[int]:
    out = program.variables(len(units), 0.0, most)
    active = program.variables(len(units), 0.0, 1.0, whole=True)
    for z, h, on in zip(units, out, active, strict=True):
        program.constrain({h: 1.0, z: -1.0}, 0.0, np.inf)  # h >= z
        program.constrain({h: 1.0, z: -1.0, on: most}, -np.inf, most)  # active: h <= z
        program.constrain({h: 1.0, on: -most}, -np.inf, 0.0)  # not active: h <= 0
    return out


def exact_logits(net: GraphNetwork, p: int, x: Sequence[Fraction]) -> list[Fraction]:
    """The logits in rational arithmetic, of dense layers, ReLUs and sums."""
    values = [list(x)]
    for node, own in zip(net.graph.nodes, owned(net), strict=True):
        inputs = [values[at] for at in node.inputs]
        if node.layer.kind == "relu":
            values.append([max(z, Fraction(0)) for z in inputs[0]])
        elif node.layer.kind == "add":
            values.append([a + b for a, b in zip(*inputs, strict=True)])
        else:
            assert own is not None
            weight = [[Fraction(w) for w in row] for row in own.weight[p].tolist()]
            bias = [Fraction(b) for b in own.bias[p].tolist()]
            values.append(
                [
                    sum((h * row[j] for h, row in zip(inputs[0], weight, strict=True)), start=b)
                    for j, b in enumerate(bias)
                ]
            )
    return values[-1]
