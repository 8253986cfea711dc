"""Packs of networks of any architecture: a graph of layers for P networks.

`MLP` and `CNN` are two architectures with faster searches of their own; whatever else there is, is
one of these. Inputs are flat, images as (height, width, channels) in this order.

Legend: P networks in the pack, B batch, C cotangents per example, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from robust.checks import check_fits, check_parameters, parameters_of
from robust.layers import walk
from robust.layers.graph import Graph, owned
from robust.networks.leaving import sequential_of
from robust.networks.linearization import Linearization
from robust.networks.mlp import Array
from robust.networks.modules import check_index
from robust.networks.size import NetworkSize


class GraphNetwork(nn.Module):
    """P networks of one architecture."""

    def __init__(self, graph: Graph, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        super().__init__()
        _check_parameters(graph, weights, biases)
        self.graph = graph
        self.weights = nn.ParameterList([nn.Parameter(w) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b) for b in biases])

    @classmethod
    def from_arrays(cls, graph: Graph, weights: Sequence[Array], biases: Sequence[Array]) -> Self:
        """Make a pack from arrays, which are copied.

        The network is float64 if any array is, else float32.

        Args:
            graph: the architecture.
            weights: of the layers that have parameters, in the order of the graph's nodes: dense
                (in, out), the transpose of torch.nn.Linear's, or convolution (k, l, in, out); or
                with a leading P.
            biases: of the same layers; (out,) or (P, out).

        Raises:
            ValueError: layers, networks or shapes that do not fit together; arrays that are not
                of finite real numbers or lie on several devices.
        """
        arrays = parameters_of([*weights, *biases])
        ws, bs = arrays[: len(weights)], arrays[len(weights) :]
        net = cls(
            graph,
            [w.unsqueeze(0) if w.dim() in (2, 4) else w for w in ws],
            [b.unsqueeze(0) if b.dim() == 1 else b for b in bs],
        )
        check_parameters(net.parameters())
        return net

    @property
    def num_networks(self) -> int:
        """P."""
        return int(self.weights[0].shape[0])

    @property
    def num_features(self) -> int:
        """D."""
        return self.graph.num_features

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.weights[-1].shape[2])

    @property
    def input_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) of the images that come in; None where inputs are flat."""
        return self.graph.image_shape

    def to_sequential(self, index: int) -> nn.Sequential:
        """Return one network as a model of torch.nn, with copies of its parameters.

        Args:
            index: which of the networks, 0 to P - 1.

        Returns:
            A model in evaluation mode: inputs (N, D), or images (N, channels, height, width), to
            logits (N, K). Residual blocks are `robust.networks.Residual`.

        Raises:
            ValueError: there is no such network, or it is no chain of layers and such blocks.
        """
        check_index(index, self.num_networks)
        return sequential_of(self, index)

    def subset(self, networks: Sequence[int] | Tensor) -> Self:
        """Return a pack of copies of some of the networks, by index."""
        index = torch.as_tensor(networks, dtype=torch.int64, device=self.weights[0].device)
        return type(self)(
            self.graph,
            [w.detach().index_select(0, index) for w in self.weights],
            [b.detach().index_select(0, index) for b in self.biases],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Args:
            x: [B, D] or [P, B, D].

        Returns:
            [P, B, K].

        Raises:
            ValueError: x is of another shape or type.
        """
        check_fits(self, x)
        return walk.forward(self, x)

    def linearize(self, x: Tensor) -> Linearization:
        """Return the logits at x and the pullback of the input Jacobian there.

        Args:
            x: [B, D] or [P, B, D].
        """
        values = walk.values_at(self, x)
        lines, own = walk.tangents(self.graph, values), owned(self)

        def pullback(cotangents: Tensor) -> Tensor:
            forms = cotangents.expand(self.num_networks, -1, -1, -1)
            return walk.carried_back(self.graph, own, lines, len(lines), forms)[0]

        return Linearization(values[-1], pullback)

    def header(self) -> dict[str, str]:
        """Return what a file's header needs to make this network again."""
        return {"graph": self.graph.to_json()}

    @classmethod
    def from_header(
        cls, header: Mapping[str, str], weights: Sequence[Tensor], biases: Sequence[Tensor]
    ) -> Self:
        """Return the pack that a file's header and parameters describe.

        Raises:
            ValueError, KeyError, TypeError: they do not fit together.
        """
        return cls(Graph.from_json(header["graph"]), weights, biases)


def _check_parameters(graph: Graph, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
    if not len(weights) == len(biases) == len(graph.parametric):
        raise ValueError(
            f"expected {len(graph.parametric)} weights and as many biases, "
            f"got {len(weights)} and {len(biases)}"
        )
    networks = len(weights[0])
    if not networks:
        raise ValueError("a pack needs at least one network")
    for number, weight, bias in zip(graph.parametric, weights, biases, strict=True):
        node, (source,) = graph.nodes[number], graph.inputs_of(number)
        kernel = getattr(node.layer, "kernel", ())
        out = graph.shapes[number + 1][0]
        wanted = (networks, *kernel, source[0], out)
        if tuple(weight.shape) != wanted or tuple(bias.shape) != (networks, out):
            raise ValueError(
                f"layer {number} ({node.layer.kind}): weight {tuple(weight.shape)} and bias "
                f"{tuple(bias.shape)} must be {wanted} and {(networks, out)}"
            )


def size_of(graph: Graph) -> NetworkSize:
    """Return how large one network of an architecture is."""
    products, parameters, kept = [], 0, 0
    for number, node in enumerate(graph.nodes):
        shapes = graph.inputs_of(number), graph.shapes[number + 1]
        products.append(node.layer.products(*shapes))
        parameters += node.layer.num_parameters(*shapes)
        kept += _count(shapes[1]) if node.layer.keeps_outputs else 0
    first = sum(products[value - 1] for value in graph.affine_values if value)
    last = products[-1] if len(graph.nodes) not in graph.affine_values else 0
    # A step of training is priced as three passes; here a form and its negative take four each,
    # as they are carried again for the gradient (`robust.bounds.crown_walk`).
    return NetworkSize(
        num_features=graph.num_features,
        num_classes=graph.shapes[-1][0],
        parameters=parameters,
        products=sum(products),
        first_layer=first,
        last_layer=last,
        units=kept,
        dual=sum(_dual_products(graph, products, value) for value in _bounded(graph)) * 8 // 3,
    )


def _bounded(graph: Graph) -> set[int]:
    """Return the values whose units a bound carries back: those that ReLU and maximum read."""
    read = {at for node in graph.nodes if not node.layer.is_linear for at in node.inputs}
    return read - graph.affine_values


def _dual_products(graph: Graph, products: Sequence[int], value: int) -> int:
    """Return the multiply-adds of carrying every unit of a value back to the input.

    All examples share the way through the layers behind the last one that is not linear.
    """
    before = sum(products[number] for number in graph.ancestors(value)) - products[value - 1]
    return _count(graph.shapes[value]) * before


def _count(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
