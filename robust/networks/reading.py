"""The layers of a torch.nn.Sequential, as this project knows them.

Dropout is left out and batch normalisation folded into the layer before it: the model in
evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from robust.layers.add import Add
from robust.layers.affine import Affine
from robust.layers.average_pool import AveragePool
from robust.layers.base import Layer
from robust.layers.convolution import Convolution
from robust.layers.flatten import Flatten
from robust.layers.max_pool import MaxPool
from robust.layers.relu import ReLU
from robust.layers.windows import Pair
from robust.networks.modules import Residual

SUPPORTED = (
    "Linear, Conv2d (any kernel, stride and padding with zeros), ReLU, MaxPool2d and AvgPool2d "
    "without padding, Flatten, Residual; a BatchNorm after a Linear or Conv2d; Dropout and "
    "Identity anywhere"
)
_LEFT_OUT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Step:
    """One layer of a model.

    Attributes:
        layer: what it is here.
        weight: in torch's order, (out, in) or (out, in, k, l); None where there is none.
        bias: (out,).
        branch: the layers whose outputs are added to their own input, for `Add`.
    """

    layer: Layer
    weight: Tensor | None = None
    bias: Tensor | None = None
    branch: tuple[Step, ...] = ()


def steps_of(model: nn.Module) -> tuple[Step, ...]:
    """Return the layers of a model in their order.

    Raises:
        ValueError: no Sequential; a layer that is not supported; the message names it.
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(f"expected torch.nn.Sequential, got {type(model).__name__}")
    _check_forward(model, nn.Sequential, "the model")
    steps: list[Step] = []
    follows = False  # whether the last module was the last step's
    for number, module in enumerate(_flat(model)):
        name = f"layer {number} ({type(module).__name__})"
        if module.training and isinstance(module, (*_LEFT_OUT[1:], *_NORMS)):
            raise ValueError(f"{name} is in training mode; call model.eval() first")
        for kind in (*_LEFT_OUT, *_NORMS, *_READERS):
            if isinstance(module, kind):
                _check_forward(module, kind, name)
        if isinstance(module, _LEFT_OUT):
            continue
        if isinstance(module, _NORMS):
            if not follows or steps[-1].weight is None:
                raise ValueError(f"{name} follows no Linear or Conv2d; supported: {SUPPORTED}")
            steps[-1] = _folded(steps[-1], module, name)
            continue
        steps.append(_step(module, name))
        follows = True
    return tuple(steps)


def parametric(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield the layers that have parameters, those of branches in their place."""
    for step in steps:
        yield from parametric(step.branch)
        if step.weight is not None:
            yield step


def _flat(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a model, those of Sequentials within it in their place."""
    for module in model.children():
        if isinstance(module, nn.Sequential):
            _check_forward(module, nn.Sequential, "a Sequential in the model")
            yield from _flat(module)
        else:
            yield module


def _check_forward(module: nn.Module, kind: type[nn.Module], name: str) -> None:
    """Refuse a module that computes something else than its kind does: its layers do not tell."""
    if getattr(module.forward, "__func__", None) is not kind.forward:
        raise ValueError(
            f"{name} ({type(module).__name__}) has a forward of its own, which cannot be read; "
            f"give a plain {kind.__name__}"
        )


def _step(module: nn.Module, name: str) -> Step:
    for kind, read in _READERS.items():
        if isinstance(module, kind):
            step = read(module)
            if step is not None:
                return step
    raise ValueError(f"{name}: {_shown(module)} is not supported; supported: {SUPPORTED}")


def _shown(module: nn.Module) -> str:
    return " ".join(repr(module).split())


def _linear(module: Any) -> Step:
    return Step(Affine(module.out_features), *_parameters(module))


def _convolution(module: Any) -> Step | None:
    plain = module.dilation == (1, 1) and module.groups == 1 and module.padding_mode == "zeros"
    padding = _padding(module)
    if not plain or padding is None:
        return None
    layer = Convolution(module.out_channels, module.kernel_size, module.stride, padding)
    return Step(layer, *_parameters(module))


def _padding(module: Any) -> Pair | None:
    """Return the zeros on each side; None where the sides differ."""
    if module.padding == "valid":
        return 0, 0
    if module.padding == "same":
        rows, columns = module.kernel_size
        return (rows // 2, columns // 2) if rows % 2 and columns % 2 else None
    rows, columns = module.padding
    return rows, columns


def _parameters(module: Any) -> tuple[Tensor, Tensor]:
    weight = module.weight.detach()
    bias = weight.new_zeros(weight.shape[0]) if module.bias is None else module.bias.detach()
    return weight, bias


def _max_pool(module: Any) -> Step | None:
    plain = _pair(module.padding) == (0, 0) and _pair(module.dilation) == (1, 1)
    if not plain or module.ceil_mode or module.return_indices:
        return None
    return Step(MaxPool(_pair(module.kernel_size), _pair(module.stride)))


def _average_pool(module: Any) -> Step | None:
    plain = _pair(module.padding) == (0, 0) and module.divisor_override is None
    if not plain or module.ceil_mode:
        return None
    return Step(AveragePool(_pair(module.kernel_size), _pair(module.stride)))


def _flatten(module: Any) -> Step | None:
    return Step(Flatten()) if (module.start_dim, module.end_dim) == (1, -1) else None


def _residual(module: Any) -> Step:
    return Step(Add(), branch=steps_of(module.branch))


def _pair(sides: int | tuple[int, ...]) -> Pair:
    return (sides, sides) if isinstance(sides, int) else (sides[0], sides[1])


_READERS: dict[type[nn.Module], Callable[[Any], Step | None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.ReLU: lambda module: Step(ReLU()),
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.Flatten: _flatten,
    Residual: _residual,
}


def _folded(step: Step, norm: nn.BatchNorm1d | nn.BatchNorm2d, name: str) -> Step:
    """Return W, b with g (z - mean) / sqrt(variance + eps) + h folded into them."""
    assert step.weight is not None and step.bias is not None
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"{name} keeps no running statistics and depends on the batch")
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach()
    shift = norm.bias.detach() if norm.affine else torch.zeros_like(scale)
    rows = scale.view(-1, *[1] * (step.weight.dim() - 1))
    bias = (step.bias - norm.running_mean) * scale + shift
    return replace(step, weight=step.weight * rows, bias=bias)
