"""The worst vertices of RUB on convolutional networks, without gradient.

A vertex x +- rho e_m changes one pixel, and before the dense layers only the units that see this
pixel; all others keep the values of the unperturbed pass. So vertices are taken in blocks of
2 x 2 pixels, which the first pooling sees alike, and only the change of both streams is carried,
    ds = s - h,    dm = m + h    (h the unit at x itself, where s = h and m = -h),
on the patch that the block can reach: convolutions become products with small dense matrices,
and the first dense layer uses only the rows of the reached units. Nothing is approximated.

The changes pass through an affine layer as the streams themselves do (`streams`), without bias.

Legend: P networks in the pack, B batch, V vertices of a block, D input features, K classes,
M maps, R x S rows and columns of a patch (after pooling), H units; the 4 members of a pooling
window have a dimension of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from robust.bounds.rub.cnn_patches import Patch, Span, patch_matrix, reach, relative
from robust.bounds.rub.cnn_windows import stage_windows
from robust.bounds.rub.output_layer import output_layer
from robust.layers.streams import halves, through_affine, through_last
from robust.losses import class_differences
from robust.networks.cnn import CNN
from robust.networks.convolution import POOL

# Elements of the widest patch handled at once. On a CPU a chunk should stay in the cache, on a
# GPU it should fill the device.
CHUNK_ELEMENTS = {"cpu": 2**20, "cuda": 2**26}

_BLOCK = 2  # side of a block of pixels: the first pooling's stride
# Examples share the patch matrices, so an unperturbed pass takes as many as a chunk has room for,
# at about this many chunk elements for each input feature.
_UNITS_KEPT = 8
_CACHED_PATCHES = 8  # patch matrices kept: neighbouring blocks use the same few


@dataclass(frozen=True)
class Block:
    """A block of pixels and what it reaches.

    Attributes:
        features: of its pixels, flat indices, [V/2].
        patches: of the input and after each stage.
    """

    features: Tensor
    patches: tuple[Patch, ...]


def blocks(net: CNN, device: torch.device) -> list[Block]:
    """Cut the input into blocks of pixels; those that reach the same last patch are neighbours."""
    height, width, channels = net.input_shape
    kernels = [int(w.shape[1]) for w in net.weights[: net.num_stages]]
    index = torch.arange(net.num_features, device=device).view(height, width, channels)
    found = []
    for row, column in product(range(0, height, _BLOCK), range(0, width, _BLOCK)):
        rows = reach(Span(row, min(row + _BLOCK, height)), height, kernels)
        columns = reach(Span(column, min(column + _BLOCK, width)), width, kernels)
        features = index[rows[0].at, columns[0].at].flatten()
        found.append(Block(features, tuple(map(Patch, rows, columns))))
    return sorted(found, key=lambda block: block.patches[-1])


class PatchSearch:
    """The unperturbed pass at a batch, ready to be changed block by block."""

    def __init__(self, net: CNN, x: Tensor, y: Tensor, radius: Tensor) -> None:
        trace = net.trace(x)
        self.net = net
        self.windows = [stage_windows(net, trace, stage) for stage in range(net.num_stages)]
        self.hidden = [z.unsqueeze(2) for z in trace.hidden]  # [P, B, 1, H]
        self.differences = class_differences(trace.logits, y)
        self.radius = radius
        self.last = output_layer(net, y).weight
        self.dense = [halves(w) for w in list(net.weights)[net.num_stages + 1 : -1]]
        self._patch_halves = lru_cache(_CACHED_PATCHES)(self._make_patch_halves)
        self._entry_halves = lru_cache(1)(self._first_dense_halves)

    def bounds(self, block: Block, examples: slice) -> Tensor:
        """Return the bounds at a block's vertices, first all x + rho e_m, then all x - rho e_m.

        Returns:
            [P, b, V, K-1] for the b examples of the chunk.
        """
        total, gap = self._pooled_change(block, examples)
        layers = [self._entry_halves(block.patches[-1]), *self.dense] if self.hidden else []
        for (half, half_abs), z in zip(layers, self.hidden, strict=True):
            centre, excess = through_affine(total, gap, half, half_abs)
            total, gap = _relu_change(z[:, examples], centre, excess)
        weight = self.last[:, examples]
        if not self.hidden:
            weight = self._rows_of(block.patches[-1], weight.mT).mT
        change = through_last(total, gap, weight)
        return self.differences[:, examples].unsqueeze(2) + change

    def _pooled_change(self, block: Block, examples: slice) -> tuple[Tensor, Tensor]:
        """Return ds + dm and ds - dm after the last pooling, each [P, b, V, R*S*M]."""
        half, _ = self._halves(0, block)
        step = 2 * self.radius[:, examples, None, None] * half.unsqueeze(1)
        centre = torch.cat([step, -step], dim=2)
        total, gap = self.windows[0].change(examples, block.patches[1], centre, None)
        for stage in range(1, self.net.num_stages):
            centre, excess = through_affine(total, gap, *self._halves(stage, block))
            target = block.patches[stage + 1]
            total, gap = self.windows[stage].change(examples, target, centre, excess)
        return total, gap

    def _halves(self, stage: int, block: Block) -> tuple[Tensor, Tensor]:
        """Return W/2 and |W|/2 of a convolution between a block's patches."""
        return self._patch_halves(stage, *relative(*block.patches[stage : stage + 2]))

    def _make_patch_halves(
        self, stage: int, source: Patch, target: Patch
    ) -> tuple[Tensor, Tensor]:
        matrix = patch_matrix(self.net.weights[stage] / 2, source, target)
        return matrix, matrix.abs()

    def _first_dense_halves(self, patch: Patch) -> tuple[Tensor, Tensor]:
        """Return W/2 and |W|/2 of the first dense layer, for the units of a patch."""
        return halves(self._rows_of(patch, self.net.weights[self.net.num_stages]))

    def _rows_of(self, patch: Patch, weight: Tensor) -> Tensor:
        """Return the rows of a patch's units: [..., H, out] -> [..., R*S*M, out]."""
        height, width, maps = self.net.shape_after(self.net.num_stages)
        rows = weight.reshape(*weight.shape[:-2], height, width, maps, -1)
        return rows[..., patch.rows.at, patch.columns.at, :, :].flatten(-4, -2)


def _relu_change(z: Tensor, centre: Tensor, excess: Tensor) -> tuple[Tensor, Tensor]:
    """Return ds + dm and ds - dm of a dense layer's units, each [P, b, V, H].

    Args:
        z: pre-activations of the unperturbed pass, [P, b, 1, H].
        centre: (du - dv)/2, [P, b, V, H]; overwritten.
        excess: (du + dv)/2, the same shape.
    """
    dm = (excess - centre).mul_((z > 0).to(z.dtype))
    ds = torch.relu_(centre.add_(excess).add_(z)).sub_(torch.relu(z))
    return ds + dm, ds - dm


@torch.no_grad()
def worst_vertices(
    net: CNN, x: Tensor, y: Tensor, radius: Tensor, chunk_elements: int | None = None
) -> tuple[Tensor, Tensor]:
    """Find the vertex at which the bound of each class difference is largest.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, B].
        chunk_elements: units of one patch held at once; None chooses by device.

    Returns:
        The bounds and the vertices, each [P, B, K-1]; vertex v < D is x + rho e_v, vertex
        v >= D is x - rho e_{v-D}.
    """
    budget = chunk_elements or CHUNK_ELEMENTS.get(x.device.type, 2**20)
    size = max(1, budget // (_UNITS_KEPT * net.num_networks * net.num_features))
    plan = blocks(net, x.device)
    parts = [
        _worst_of_chunk(net, plan, x[..., at, :], y[at], radius[:, at], budget)
        for at in (slice(i, i + size) for i in range(0, len(y), size))
    ]
    values, vertices = zip(*parts, strict=True)
    return torch.cat(values, dim=1), torch.cat(vertices, dim=1)


def _worst_of_chunk(
    net: CNN, plan: list[Block], x: Tensor, y: Tensor, radius: Tensor, budget: int
) -> tuple[Tensor, Tensor]:
    search = PatchSearch(net, x, y, radius)
    values = torch.full_like(search.differences, -float("inf"))
    vertices = torch.zeros_like(values, dtype=torch.int64)
    for block in plan:
        names = torch.cat([block.features, block.features + net.num_features])
        for examples in _chunks(net, block, len(y), budget):
            best, index = search.bounds(block, examples).max(dim=2)
            better = best.isnan() | (best > values[:, examples])
            better &= ~values[:, examples].isnan()  # what overflowed once is not forgotten
            values[:, examples] = torch.where(better, best, values[:, examples])
            vertices[:, examples] = torch.where(better, names[index], vertices[:, examples])
    return values, vertices


def _chunks(net: CNN, block: Block, batch: int, budget: int) -> Iterator[slice]:
    """Cut the examples so that the widest patch has at most `budget` units (or one example)."""
    patches = [
        POOL**2 * patch.rows.size * patch.columns.size * int(weight.shape[4])
        for patch, weight in zip(block.patches[1:], net.weights, strict=False)
    ]
    per_example = max(patches) * 2 * len(block.features) * net.num_networks
    size = max(1, budget // per_example)
    for start in range(0, batch, size):
        yield slice(start, min(start + size, batch))
