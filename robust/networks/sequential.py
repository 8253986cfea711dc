"""Models of torch.nn.Sequential come in as packs; `net.to_sequential(i)` is the way out.

torch.nn keeps W as (out, in) and images as (channels, height, width); packs keep (in, out) and
(height, width, channels). Both ways the same function of the inputs results, up to rounding.

Legend: P networks in the pack, N inputs, D input features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust.networks.cnn import CNN
from robust.networks.convolution import POOL
from robust.networks.mlp import MLP

SUPPORTED = (
    "Flatten, then Linear and ReLU in turn; or Conv2d (odd square kernel, same padding, stride "
    "1), ReLU and MaxPool2d(2) in turn, Flatten, then Linear and ReLU in turn; a BatchNorm after "
    "a Linear or Conv2d; Dropout and Identity anywhere"
)
_LEFT_OUT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass
class _Affine:
    """A Linear or Conv2d, with what was folded into it."""

    weight: Tensor  # (out, in) or (out, in, k, k)
    bias: Tensor  # (out,)


@dataclass(frozen=True)
class _Parts:
    """The affine layers of one model, convolutions first."""

    layers: tuple[_Affine, ...]
    stages: int  # of convolution and pooling


def from_sequential(*models: nn.Sequential, input_shape: Sequence[int] | None = None) -> MLP | CNN:
    """Return models of one shape as a pack of networks; their parameters are copied.

    The result in evaluation mode: dropout is left out and batch normalisation folded in, so
    models that have them must be in it (`model.eval()`).

    Args:
        models: P >= 1 models of one shape. Supported: Flatten, Linear, ReLU, Dropout, Identity,
            BatchNorm1d and BatchNorm2d behind an affine layer, Conv2d with an odd square kernel,
            same padding and stride 1, each followed by ReLU and MaxPool2d(2).
        input_shape: (height, width, channels) of images, for models with convolutions; None:
            square ones, as the first Linear tells.

    Returns:
        The pack. An MLP takes inputs in the order in which the model's first Linear does. A CNN
        takes images flattened as (height, width, channels): images of shape (N, channels, height,
        width), as torch has them, become `images.permute(0, 2, 3, 1).flatten(1)`.

    Raises:
        ValueError: no model, another kind of layer or order, models of different shapes; the
            message names the layer and what is supported.
    """
    if not models:
        raise ValueError("from_sequential needs at least one model")
    parts = [_parts(model) for model in models]
    shapes = [[tuple(layer.weight.shape) for layer in part.layers] for part in parts]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(f"model {number} has layers {shape}, and model 0 has {shapes[0]}")
    stages = parts[0].stages
    weights = [torch.stack(w) for w in zip(*map(_weights, parts), strict=True)]
    biases = [torch.stack(b) for b in zip(*map(_biases, parts), strict=True)]
    if not stages:
        return MLP.from_arrays([w.mT for w in weights], biases)
    shape_of_images = _image_shape(parts[0], input_shape)
    convolutions = [w.permute(0, 3, 4, 2, 1) for w in weights[:stages]]
    first = _in_our_order(weights[stages], shape_of_images, stages, biases[stages - 1].shape[1])
    dense = [first, *(w.mT for w in weights[stages + 1 :])]
    return CNN.from_arrays([*convolutions, *dense], biases, shape_of_images)


def _weights(parts: _Parts) -> Iterator[Tensor]:
    return (layer.weight for layer in parts.layers)


def _biases(parts: _Parts) -> Iterator[Tensor]:
    return (layer.bias for layer in parts.layers)


def _flat(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a model, those of Sequentials within it in their place."""
    for layer in model.children():
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer)
        else:
            yield layer


def _parts(model: nn.Sequential) -> _Parts:
    """Return the affine layers of a model whose layers come in an order that is supported."""
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"expected torch.nn.Sequential, got {type(model).__name__}")
    affine: list[_Affine] = []
    order = ""  # one letter a layer: Linear, Conv2d, ReLU, Pooling, Flatten
    for number, layer in enumerate(_flat(model)):
        name = f"layer {number} ({type(layer).__name__})"
        if layer.training and isinstance(layer, (*_LEFT_OUT[1:], *_NORMS)):
            raise ValueError(f"{name} is in training mode; call model.eval() first")
        if isinstance(layer, _LEFT_OUT):
            continue
        if isinstance(layer, _NORMS):
            if not affine or order[-1] not in "LC":
                raise ValueError(f"{name} follows no Linear or Conv2d; supported: {SUPPORTED}")
            affine[-1] = _folded(affine[-1], layer, name)
            continue
        order += _letter(layer, name)
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            affine.append(_of(layer))
    stages = order.count("C")
    _check_order(order.replace("CPR", "CRP"), stages)
    return _Parts(tuple(affine), stages)


def _check_order(order: str, stages: int) -> None:
    dense = "L" + "RL" * (order.count("L") - 1)
    whole = "CRP" * stages + "F" + dense if stages else dense
    if order.count("L") < 1 + (stages == 0) or order not in (whole, "F" * (stages == 0) + whole):
        names = {"L": "Linear", "C": "Conv2d", "R": "ReLU", "P": "MaxPool2d", "F": "Flatten"}
        found = ", ".join(names[letter] for letter in order) or "nothing"
        raise ValueError(f"layers in the order {found} are not supported; supported: {SUPPORTED}")


def _letter(layer: nn.Module, name: str) -> str:
    """Return the letter of a layer.

    Raises:
        ValueError: it is of another kind, or has settings that are not supported.
    """
    if isinstance(layer, nn.Linear):
        return "L"
    if isinstance(layer, nn.ReLU):
        return "R"
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
        return "F"
    if isinstance(layer, nn.MaxPool2d) and _is_ours(layer):
        return "P"
    if isinstance(layer, nn.Conv2d) and _is_same(layer):
        return "C"
    raise ValueError(f"{name}: {layer} is not supported; supported: {SUPPORTED}")


def _is_ours(pool: nn.MaxPool2d) -> bool:
    both = [pool.kernel_size, pool.stride]
    sides = {side for sides in both for side in (sides if isinstance(sides, tuple) else (sides,))}
    plain = pool.padding in (0, (0, 0)) and pool.dilation in (1, (1, 1))
    return sides == {POOL} and plain and not pool.ceil_mode and not pool.return_indices


def _is_same(layer: nn.Conv2d) -> bool:
    height, width = layer.kernel_size
    same = layer.padding in ("same", (height // 2, width // 2))
    plain = layer.stride == (1, 1) and layer.dilation == (1, 1) and layer.groups == 1
    return height == width and height % 2 == 1 and same and plain and layer.padding_mode == "zeros"


def _of(layer: nn.Linear | nn.Conv2d) -> _Affine:
    weight = layer.weight.detach()
    bias = weight.new_zeros(weight.shape[0]) if layer.bias is None else layer.bias.detach()
    return _Affine(weight, bias)


def _folded(affine: _Affine, norm: nn.BatchNorm1d | nn.BatchNorm2d, name: str) -> _Affine:
    """Return W, b with g (z - mean) / sqrt(variance + eps) + h folded into them."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"{name} keeps no running statistics and depends on the batch")
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach()
    shift = norm.bias.detach() if norm.affine else torch.zeros_like(scale)
    rows = scale.view(-1, *[1] * (affine.weight.dim() - 1))
    bias = (affine.bias - norm.running_mean) * scale + shift
    return _Affine(affine.weight * rows, bias)


def _image_shape(parts: _Parts, input_shape: Sequence[int] | None) -> tuple[int, ...]:
    """Return (height, width, channels), which the first Linear must fit."""
    channels = int(parts.layers[0].weight.shape[1])
    maps = int(parts.layers[parts.stages - 1].weight.shape[0])
    rows = int(parts.layers[parts.stages].weight.shape[1])
    if input_shape is None:
        side = math.isqrt(rows // maps) * POOL**parts.stages
        input_shape = (side, side, channels)
    pixels = math.prod(int(side) // POOL**parts.stages for side in tuple(input_shape)[:2])
    if len(input_shape) != 3 or input_shape[2] != channels or pixels * maps != rows:
        raise ValueError(
            f"input_shape={tuple(input_shape)} does not fit: the first Linear has {rows} inputs, "
            f"the last Conv2d {maps} maps and the first {channels} channels; give "
            "input_shape=(height, width, channels)"
        )
    return tuple(int(side) for side in input_shape)


def _in_our_order(weight: Tensor, shape: Sequence[int], stages: int, maps: int) -> Tensor:
    """Return the first dense layer behind maps, [P, out, M R S] -> [P, R S M, out]."""
    height, width = (side // POOL**stages for side in shape[:2])
    networks, out = weight.shape[:2]
    whole = weight.view(networks, out, maps, height, width)
    return whole.permute(0, 3, 4, 2, 1).reshape(networks, -1, out)
