"""Models of torch.nn.Sequential come in as packs; `net.to_sequential(i)` is the way out.

torch.nn keeps W as (out, in) and images as (channels, height, width); packs keep (in, out) and
(height, width, channels). Both ways the same function of the inputs results, up to rounding.

Legend: P networks in the pack, N inputs, D input features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robust.layers.base import Layer, Shape
from robust.layers.flatten import Flatten, ToMaps
from robust.layers.graph import Graph, Node
from robust.networks.base import AnyPack
from robust.networks.cnn import CNN
from robust.networks.convolution import POOL
from robust.networks.graph import GraphNetwork
from robust.networks.mlp import MLP
from robust.networks.reading import SUPPORTED, Step, parametric, steps_of

LARGEST_SIDE = 512  # of square images whose shape the first Linear tells


def from_sequential(*models: nn.Sequential, input_shape: Sequence[int] | None = None) -> AnyPack:
    """Return models of one shape as a pack of networks; their parameters are copied.

    The result in evaluation mode: dropout is left out and batch normalisation folded in, so
    models that have them must be in it (`model.eval()`).

    Args:
        models: P >= 1 models of one shape, which end in a Linear. Supported: Linear, ReLU,
            Flatten, Conv2d of any kernel, stride and zero padding, MaxPool2d and AvgPool2d without
            padding, `robust.networks.Residual`, Dropout, Identity, and BatchNorm1d and
            BatchNorm2d behind a Linear or Conv2d.
        input_shape: (height, width, channels) of images, for models with convolutions or pooling;
            None: square ones, as the first Linear tells.

    Returns:
        The pack: an `MLP` or `CNN` where the layers are theirs, else a `GraphNetwork`. Without
        convolutions and pooling it takes inputs in the order in which the model's first Linear
        does. Else it takes images flattened as (height, width, channels): images of shape
        (N, channels, height, width), as torch has them, become
        `images.permute(0, 2, 3, 1).flatten(1)`.

    Raises:
        ValueError: no model, another kind of layer or order, models of different shapes; the
            message names the layer and what is supported.
    """
    if not models:
        raise ValueError("from_sequential needs at least one model")
    steps = [steps_of(model) for model in models]
    shapes = [[tuple(w.shape) for w in _weights(own)] for own in steps]
    for number, own in enumerate(steps):
        if shapes[number] != shapes[0] or _layers(own) != _layers(steps[0]):
            raise ValueError(
                f"model {number} has layers {shapes[number]}, and model 0 has {shapes[0]}"
            )
    first = steps[0]
    _check_ends(first)
    weights = [torch.stack(w) for w in zip(*map(_weights, steps), strict=True)]
    biases = [torch.stack(b) for b in zip(*map(_biases, steps), strict=True)]
    if _is_mlp(first):
        return MLP.from_arrays([_in_our_order(w, None) for w in weights], biases)
    shape = _image_shape(first, input_shape)
    if shape is not None and _is_cnn(first, shape):
        turned = [_in_our_order(w, None) for w in weights]
        stages = sum(w.dim() == 5 for w in weights)
        maps = biases[stages - 1].shape[1], *(side // POOL**stages for side in shape[:2])
        turned[stages] = _in_our_order(weights[stages], maps)
        return CNN.from_arrays(turned, biases, shape)
    graph, orders = _assembled(first, shape)
    turned = [_in_our_order(w, order) for w, order in zip(weights, orders, strict=True)]
    return GraphNetwork.from_arrays(graph, turned, biases)


def _weights(steps: Sequence[Step]) -> list[Tensor]:
    return [step.weight for step in parametric(steps) if step.weight is not None]


def _biases(steps: Sequence[Step]) -> list[Tensor]:
    return [step.bias for step in parametric(steps) if step.bias is not None]


def _layers(steps: Sequence[Step]) -> list[object]:
    return [(step.layer, _layers(step.branch)) for step in steps]


def _check_ends(steps: Sequence[Step]) -> None:
    if not steps or steps[-1].layer.kind != "affine":
        found = ", ".join(step.layer.kind for step in steps) or "nothing"
        raise ValueError(
            f"layers in the order {found} are not supported: a model must end in Linear; "
            f"supported: {SUPPORTED}"
        )


def _is_mlp(steps: Sequence[Step]) -> bool:
    """Return whether the layers are a Flatten or none, then Linear and ReLU in turn."""
    kinds = [step.layer.kind for step in steps]
    dense = kinds[1:] if kinds[0] == "flatten" else kinds
    return len(dense) > 1 and dense == [*["affine", "relu"] * (len(dense) // 2), "affine"]


def _is_cnn(steps: Sequence[Step], shape: Sequence[int]) -> bool:
    """Return whether the layers are those of `CNN`, on images that it takes."""
    kinds = [step.layer.kind for step in steps]
    stages = kinds.count("convolution")
    front, rest = kinds[: 3 * stages], list(steps[3 * stages + 1 :])
    triples = [front[i : i + 3] for i in range(0, len(front), 3)]
    both = ["convolution", "relu", "max-pool"], ["convolution", "max-pool", "relu"]
    if not stages or any(triple not in both for triple in triples):
        return False
    if kinds[3 * stages] != "flatten" or not (_is_mlp(rest) or len(rest) == 1):
        return False
    if any(side % POOL**stages for side in shape[:2]):
        return False
    return all(map(_is_of_a_stage, (step.layer for step in steps[: 3 * stages])))


def _is_of_a_stage(layer: Layer) -> bool:
    settings = layer.settings
    if layer.kind == "max-pool":
        return bool(settings["kernel"] == settings["stride"] == (POOL, POOL))
    if layer.kind != "convolution":
        return True
    rows, columns = settings["kernel"]
    same = settings["stride"] == (1, 1) and settings["padding"] == (rows // 2, columns // 2)
    return bool(rows == columns and rows % 2 == 1 and same)


def _image_shape(
    steps: Sequence[Step], input_shape: Sequence[int] | None
) -> tuple[int, int, int] | None:
    """Return (height, width, channels), which the first Linear must fit; None for flat inputs."""
    convolutions = [w for w in _weights(steps) if w.dim() == 4]
    if not convolutions:
        if any(step.layer.kind in ("max-pool", "average-pool") for step in steps):
            raise ValueError(f"pooling without a Conv2d is not supported; supported: {SUPPORTED}")
        return None
    channels = int(convolutions[0].shape[1])
    if input_shape is not None:
        shape = tuple(int(side) for side in input_shape)
        if len(shape) == 3 and shape[2] == channels and _fits(steps, shape):
            return shape[0], shape[1], shape[2]
        raise ValueError(
            f"input_shape={tuple(input_shape)} does not fit: {_wanted(steps, channels)}; give "
            "input_shape=(height, width, channels)"
        )
    sides = [n for n in range(1, LARGEST_SIDE + 1) if _fits(steps, (n, n, channels))]
    if len(sides) > 1:  # a model is seldom made so that pooling leaves rows out
        sides = [n for n in sides if _fits(steps, (n, n, channels), whole=True)] or sides
    if len(sides) != 1:
        found = f"those of {', '.join(map(str, sides))} do" if sides else "none does"
        raise ValueError(
            f"the first Linear tells no one side of square images ({found}): "
            f"{_wanted(steps, channels)}; give input_shape=(height, width, channels)"
        )
    return sides[0], sides[0], channels


def _wanted(steps: Sequence[Step], channels: int) -> str:
    dense = next(w for w in _weights(steps) if w.dim() == 2)
    return f"the first Linear has {dense.shape[1]} inputs and the first Conv2d {channels} channels"


def _fits(steps: Sequence[Step], shape: Sequence[int], whole: bool = False) -> bool:
    """Return whether images of a shape give the first Linear as many inputs as it has.

    Args:
        steps: of the model.
        shape: (height, width, channels).
        whole: only where pooling leaves no row or column out.
    """
    try:
        found: Shape = ToMaps((shape[0], shape[1], shape[2])).output_shape((math.prod(shape),))
        for step in steps:
            if step.layer.kind == "affine":
                assert step.weight is not None
                return math.prod(found) == step.weight.shape[1] and len(found) == 1
            if whole and step.layer.kind.endswith("pool") and _leaves_out(step.layer, found):
                return False
            if step.layer.kind != "add":  # keeps its shape
                found = step.layer.output_shape(found)
    except ValueError:
        return False
    return False


def _leaves_out(pool: Layer, shape: Shape) -> bool:
    """Return whether rows or columns of maps lie beyond the last window."""
    kernel, stride = pool.settings["kernel"], pool.settings["stride"]
    sides = zip(shape[1:], kernel, stride, strict=True)
    return any((side - k) % step for side, k, step in sides)


def _assembled(
    steps: Sequence[Step], shape: tuple[int, int, int] | None
) -> tuple[Graph, list[Shape | None]]:
    """Return the graph of a model, and for each weight the maps that it reads flattened."""
    nodes: list[Node] = []
    orders: list[Shape | None] = []
    if shape is None:
        features = _weights(steps)[0].shape[1]
        steps = steps[1:] if steps[0].layer.kind == "flatten" else steps
    else:
        features = math.prod(shape)
        nodes.append(Node(ToMaps(shape), (0,)))
    _append(nodes, orders, steps, features)
    return Graph(int(features), tuple(nodes)), orders


def _append(
    nodes: list[Node], orders: list[Shape | None], steps: Sequence[Step], features: int
) -> None:
    """Append a chain of layers, and those of its branches, to the nodes."""
    flattened: Shape | None = None  # the maps whose order the next Linear's rows have
    for step in steps:
        here = len(nodes)
        if step.branch:
            if flattened is not None:
                raise ValueError("a Residual between Flatten and Linear is not supported")
            _append(nodes, orders, step.branch, features)
            nodes.append(Node(step.layer, (here, len(nodes))))
            continue
        if isinstance(step.layer, Flatten):
            flattened = _shape_of(nodes, features)
        if step.weight is not None:
            orders.append(flattened if step.weight.dim() == 2 else None)
            flattened = None if step.weight.dim() == 2 else flattened
        nodes.append(Node(step.layer, (here,)))


def _shape_of(nodes: Sequence[Node], features: int) -> Shape:
    """Return the shape of the last value that was made."""
    shapes: list[Shape] = [(features,)]
    for node in nodes:
        shapes.append(node.layer.output_shape(*(shapes[at] for at in node.inputs)))
    return shapes[-1]


def _in_our_order(weight: Tensor, maps: Sequence[int] | None) -> Tensor:
    """Return packed weights of torch in our order.

    They are laid out so: as views they would round otherwise than when read from a file.

    Args:
        weight: [P, out, in] or [P, out, in, k, l].
        maps: (M, R, S) of the maps that a dense layer reads flattened; None where it reads none.

    Returns:
        [P, in, out], the rows (R S M) in place of (M R S); or [P, k, l, in, out].
    """
    if weight.dim() == 5:
        return weight.permute(0, 3, 4, 2, 1).contiguous()
    if maps is None:
        return weight.mT.contiguous()
    whole = weight.view(*weight.shape[:2], *maps)
    return whole.permute(0, 3, 4, 2, 1).flatten(1, 3).contiguous()
