"""A network of any architecture as a torch.nn.Sequential.

Only chains and residual blocks, x + f(x), can be written so.

Legend: P networks in the pack, N inputs, D input features, K classes, M maps, R x S rows and
columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from robust.layers.base import Own
from robust.layers.graph import Layered, owned
from robust.networks.modules import Residual, convolution, linear


def sequential_of(net: Layered, index: int) -> nn.Sequential:
    """Return one network as a model of torch.nn, with copies of its parameters.

    Args:
        net: P networks.
        index: which of them, 0 to P - 1.

    Returns:
        A model in evaluation mode: inputs (N, D), or images (N, channels, height, width), to
        logits (N, K).

    Raises:
        ValueError: the graph is no chain of layers and residual blocks.
    """
    own = [
        each and Own(each.weight[index].detach(), each.bias[index].detach()) for each in owned(net)
    ]
    modules = _between(net, own, 0, len(net.graph.nodes))
    return nn.Sequential(*modules).eval()


def _between(net: Layered, own: list[Own | None], start: int, end: int) -> list[nn.Module]:
    """Return the modules that make one value of another."""
    modules: list[nn.Module] = []
    while end != start:
        if end < start:
            raise ValueError(
                "only chains of layers and residual blocks x + f(x) can leave as a Sequential"
            )
        node = net.graph.nodes[end - 1]
        if node.layer.kind == "add":
            skipped, made = sorted(node.inputs)
            branch = _between(net, own, skipped, made)
            modules.append(Residual(nn.Sequential(*branch)))
            end = skipped
            continue
        modules += _MODULES[node.layer.kind](net, own[end - 1], end)
        (end,) = node.inputs
    return modules[::-1]


def _dense(net: Layered, own: Own | None, value: int) -> list[nn.Module]:
    assert own is not None
    weight = own.weight
    maps = _flattened(net, net.graph.nodes[value - 1].inputs[0])
    if maps is not None:
        rows, columns = maps[1:]
        whole = weight.view(rows, columns, maps[0], -1)
        weight = whole.permute(2, 0, 1, 3).reshape(weight.shape)
    return [linear(weight, own.bias)]


def _flattened(net: Layered, value: int) -> tuple[int, ...] | None:
    """Return the maps (M, R, S) that a dense layer reads flattened; None where it reads none."""
    while value:
        node = net.graph.nodes[value - 1]
        if node.layer.kind == "flatten":
            return net.graph.inputs_of(value - 1)[0]
        if node.layer.has_parameters or len(node.inputs) > 1:
            return None
        (value,) = node.inputs
    return None


def _convolution(net: Layered, own: Own | None, value: int) -> list[nn.Module]:
    assert own is not None
    settings = net.graph.nodes[value - 1].layer.settings
    return [convolution(own.weight, own.bias, settings["stride"], settings["padding"])]


def _pooling(kind: Callable[..., nn.Module]) -> Callable[..., list[nn.Module]]:
    def module(net: Layered, own: Own | None, value: int) -> list[nn.Module]:
        settings = net.graph.nodes[value - 1].layer.settings
        return [kind(settings["kernel"], settings["stride"])]

    return module


def _to_maps(net: Layered, own: Own | None, value: int) -> list[nn.Module]:
    if net.graph.nodes[value - 1].inputs != (0,):
        raise ValueError("only the network's input can become maps in a Sequential")
    return []  # torch's images are maps already


def _unit_wise(kind: Callable[[], nn.Module]) -> Callable[..., list[nn.Module]]:
    return lambda net, own, value: [kind()]


# By kind of layer: (net, its parameters, the value it makes) -> modules.
_MODULES: dict[str, Callable[[Any, Own | None, int], list[nn.Module]]] = {
    "affine": _dense,
    "convolution": _convolution,
    "max-pool": _pooling(nn.MaxPool2d),
    "average-pool": _pooling(nn.AvgPool2d),
    "flatten": _unit_wise(nn.Flatten),
    "relu": _unit_wise(nn.ReLU),
    "to-maps": _to_maps,
}
