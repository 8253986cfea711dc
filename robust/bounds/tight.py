"""RUB with t optimised for every class difference of every example, for MLPs.

Theorem 11 holds for every t in [0, 1]; the paper fixes t = [sign(z(x))]^+. Here
    min_{0 <= t <= 1} max_m max(g_{L,k,m}(t, rho), g_{L,k,m}(t, -rho))
is approached by projected gradient steps on t, from the paper's t. As every t gives a valid
bound and the best one is kept, the result is never above RUB. A round evaluates all 2D vertices
once, adds the highest to a working set, and takes steps on a smooth maximum over that set.

Legend: N pairs of an example and a class, V vertices, D input features, H hidden units,
K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.bounds.rub.mlp_search import chunk_elements
from robust.layers.streams import halves, through_last, through_relu
from robust.losses import other_classes
from robust.networks.linearization import Network
from robust.networks.mlp import MLP

ROUNDS = 5
STEPS = 10  # on the working set, in each round
STEP_SIZE = 0.1  # of t, in the first round
DECAY = 0.7  # of step size and temperature, from round to round
TEMPERATURE = 0.02  # of the smooth maximum, relative to what the bound exceeds z_k - z_y by
NEW_VERTICES = 8  # added to the working set in a round
WORKING_SET = 32
PAIRS = {"cpu": 64, "cuda": 2**12}  # optimised together
MOMENTUM, SQUARES = 0.7, 0.9  # averages of the gradient and of its square


@dataclass(frozen=True)
class Pairs:
    """Examples and the class difference z_k - z_y that is bounded for each, in one network.

    Attributes:
        layers: (W/2, |W|/2, b) of the affine layers between hidden layers.
        first: z_1 at the examples, [N, H].
        corners: W_1 and -W_1 below each other, [2D, H].
        radius: true L1 radius, [N].
        weight: c_k'W_L, [N, H].
        bias: c_k'b_L, [N].
        start: t = [sign(z(x))]^+ of each hidden layer, [N, H].
        nominal: z_k - z_y at the examples, [N].
    """

    layers: Sequence[tuple[Tensor, Tensor, Tensor]]
    first: Tensor
    corners: Tensor
    radius: Tensor
    weight: Tensor
    bias: Tensor
    start: Sequence[Tensor]
    nominal: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, net: MLP, network: int, x: Tensor, y: Tensor, k: Tensor, radius: Tensor) -> Pairs:
        """Prepare pairs for one network of a pack.

        Args:
            net: P networks.
            network: which of them.
            x: [N, D].
            y: labels, [N].
            k: classes k != y, [N].
            radius: [N].
        """
        weights = [w[network] for w in net.weights]
        biases = [b[network] for b in net.biases]
        z = [x @ weights[0] + biases[0]]
        for w, b in zip(weights[1:], biases[1:], strict=True):
            z.append(torch.relu(z[-1]) @ w + b)
        rows = weights[-1].mT
        return cls(
            [(*halves(w), b) for w, b in zip(weights[1:-1], biases[1:-1], strict=True)],
            z[0],
            torch.cat([weights[0], -weights[0]]),
            radius,
            rows[k] - rows[y],
            biases[-1][k] - biases[-1][y],
            [(h > 0).to(x.dtype) for h in z[:-1]],
            (z[-1].gather(1, k[:, None]) - z[-1].gather(1, y[:, None])).squeeze(1),
        )

    def some(self, at: slice) -> Pairs:
        """The same for some of the pairs."""
        return replace(
            self,
            first=self.first[at],
            radius=self.radius[at],
            weight=self.weight[at],
            bias=self.bias[at],
            start=[t[at] for t in self.start],
            nominal=self.nominal[at],
        )

    def centres(self, vertices: Tensor | None = None) -> Tensor:
        """Return z_1 at all vertices or at those given, [N, V] -> [N, V, H]."""
        corners = self.corners if vertices is None else self.corners[vertices]
        return self.first.unsqueeze(1) + self.radius.view(-1, 1, 1) * corners

    def bounds(self, centre: Tensor, t: Sequence[Tensor]) -> Tensor:
        """Return g_{L,k} of each pair at vertices with pre-activations `centre`, [N, V].

        Args:
            centre: [N, V, H].
            t: of each hidden layer, [N, H], in [0, 1].
        """
        excess: Tensor | None = None  # 0 at the first layer
        for (half, half_abs, bias), mask in zip(self.layers, t[:-1], strict=True):
            total, gap = through_relu(centre, excess, mask.unsqueeze(1))
            centre, excess = gap @ half + bias, total @ half_abs
        total, gap = through_relu(centre, excess, t[-1].unsqueeze(1))
        bounds = through_last(total, gap, self.weight.unsqueeze(1)).squeeze(2)
        return bounds + self.bias.unsqueeze(1)


@torch.no_grad()
def bounds_of(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Tensor,
    wanted: Tensor,
    rounds: int = ROUNDS,
    exact: MLP | None = None,
) -> Tensor:
    """Return the bound at the best t found, of those class differences that are wanted.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius, [P, B].
        wanted: which class differences, [P, B, K-1].
        rounds: of the optimisation.
        exact: the same networks in float64; if given, the bound at the t found is computed
            there.

    Returns:
        [P, B, K-1], infinite where it is not wanted.

    Raises:
        ValueError: not a multi-layer perceptron.
    """
    if not isinstance(net, MLP):
        raise ValueError(f"t can be optimised for MLP only, got {type(net).__name__}")
    final = exact or net
    points = x.expand(net.num_networks, *x.shape[-2:])
    classes = other_classes(y, net.num_classes)
    bounds = torch.full(wanted.shape, float("inf"), dtype=final.weights[0].dtype).to(x.device)
    size = PAIRS.get(x.device.type, PAIRS["cpu"])
    for p in range(net.num_networks):
        examples, columns = wanted[p].nonzero(as_tuple=True)
        for i in range(0, len(examples), size):
            b, column = examples[i : i + size], columns[i : i + size]
            labels = y[b], classes[b, column]
            t, values = tighten(Pairs.of(net, p, points[p, b], *labels, radius[p, b]), rounds)
            if exact is not None:
                at = points[p, b].to(bounds), *labels, radius[p, b].to(bounds)
                wide = [h.to(bounds) for h in t]
                values = highest(Pairs.of(exact, p, *at), wide)[0][:, 0]
            bounds[p, b, column] = values
    return bounds


@torch.no_grad()
def highest(pairs: Pairs, t: Sequence[Tensor], count: int = 1) -> tuple[Tensor, Tensor]:
    """Return the bound of each pair at its highest vertices, all 2D of them tried.

    Args:
        pairs: N pairs.
        t: of each hidden layer, [N, H].
        count: V.

    Returns:
        Bounds in decreasing order and the vertices, each [N, V].
    """
    width = pairs.corners.shape[0] * max(t_l.shape[1] for t_l in t)
    size = max(1, chunk_elements(pairs.first.device.type) // width)
    parts = []
    for i in range(0, len(pairs.first), size):
        some = pairs.some(slice(i, i + size))
        bounds = some.bounds(some.centres(), [h[i : i + size] for h in t])
        parts.append(bounds.topk(min(count, bounds.shape[1]), dim=1))
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


def tighten(pairs: Pairs, rounds: int = ROUNDS) -> tuple[list[Tensor], Tensor]:
    """Return the best t found for each pair, and its bound.

    Args:
        pairs: N >= 1 pairs.
        rounds: of one evaluation of all vertices and `STEPS` steps each.

    Returns:
        t of each hidden layer, [N, H], and the bound at it, [N]: at most that at `pairs.start`.
    """
    best_t = list(pairs.start)
    values, working = highest(pairs, best_t, NEW_VERTICES)
    best = values[:, 0]
    for number in range(rounds):
        t = _descend(pairs, best_t, working, DECAY**number)
        values, vertices = highest(pairs, t, NEW_VERTICES)
        better = values[:, 0] < best
        best = torch.where(better, values[:, 0], best)
        best_t = [
            torch.where(better.unsqueeze(1), new, h) for new, h in zip(t, best_t, strict=True)
        ]
        working = torch.cat([working, vertices], dim=1)[:, -WORKING_SET:]
    return best_t, best


def _descend(pairs: Pairs, start: Sequence[Tensor], working: Tensor, scale: float) -> list[Tensor]:
    """Take projected steps on a smooth maximum over the working set of vertices, [N, V]."""
    centre = pairs.centres(working)
    t = list(start)
    mean = [torch.zeros_like(h) for h in t]
    square = [torch.zeros_like(h) for h in t]
    for _ in range(STEPS):
        with torch.enable_grad():
            leaves = [h.requires_grad_() for h in t]
            bounds = pairs.bounds(centre, leaves)
            excess = bounds.detach().amax(dim=1) - pairs.nominal
            temperature = (TEMPERATURE * scale * excess).clamp_min(1e-6).unsqueeze(1)
            smooth = torch.logsumexp(bounds / temperature, dim=1) * temperature.squeeze(1)
            gradients = torch.autograd.grad(smooth.sum(), leaves)
        for i, g in enumerate(gradients):
            mean[i].lerp_(g, 1 - MOMENTUM)
            square[i].mul_(SQUARES).addcmul_(g, g, value=1 - SQUARES)
            step = mean[i] / (square[i].sqrt() + torch.finfo(g.dtype).tiny)
            t[i] = (leaves[i].detach() - STEP_SIZE * scale * step).clamp(0, 1)
    return t
