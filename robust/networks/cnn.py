"""Packs of convolutional networks with ReLU and max-pooling (Madry et al. 2018).

Stages of convolution (same padding), ReLU and 2x2 max-pooling, then dense layers. Inputs are
flat, (height, width, channels) in this order; so are the units that enter the dense layers.
Inside, all networks' channels stand side by side and one grouped convolution serves the pack.

Legend: P networks in the pack, B batch, C cotangents per example, D input features, K classes,
M maps (channels of one network), R x S rows and columns, H hidden units.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from robust.checks import check_fits, check_parameters, parameters_of
from robust.layers.affine import Affine, affine
from robust.layers.base import Layer
from robust.layers.convolution import Convolution, convolve, convolve_transposed
from robust.layers.flatten import Flatten, ToMaps
from robust.layers.graph import Graph, chain
from robust.layers.max_pool import MaxPool
from robust.layers.relu import ReLU
from robust.networks.convolution import POOL, Pooling, max_pool, unpool
from robust.networks.linearization import Linearization
from robust.networks.mlp import Array, check_sizes
from robust.networks.modules import check_index, convolution, linear


@dataclass(frozen=True)
class Trace:
    """Everything that a forward pass computes.

    Attributes:
        maps: pre-activations of the convolutions, [B, P*M, R, S].
        poolings: one for each convolution.
        hidden: pre-activations of the hidden dense layers, [P, B, H].
        logits: [P, B, K].
    """

    maps: list[Tensor]
    poolings: list[Pooling]
    hidden: list[Tensor]
    logits: Tensor


class CNN(nn.Module):
    """P convolutional networks of one shape (paper, Appendix C).

    h_l = maxpool([W_l * h_{l-1} + b_l]^+) for the convolutions, then an MLP on the last maps.
    """

    def __init__(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor], input_shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.input_shape = _checked_shape(input_shape)
        _check_layers(weights, biases, self.input_shape)
        self.num_stages = sum(w.dim() == 5 for w in weights)
        self.weights = nn.ParameterList([nn.Parameter(w) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b) for b in biases])

    @classmethod
    def from_arrays(
        cls, weights: Sequence[Array], biases: Sequence[Array], input_shape: Sequence[int]
    ) -> CNN:
        """Make a pack from arrays, which are copied.

        The network is float64 if any array is, else float32.

        Args:
            weights: over layers, convolutions first: (k, k, in, out), k odd, or
                (P, k, k, in, out); then dense layers: (in, out) or (P, in, out), the transpose
                of torch.nn.Linear's.
            biases: over layers; (out,) or (P, out).
            input_shape: (height, width, channels); sides divisible by 2 for every convolution.

        Raises:
            ValueError: layers, networks or shapes that do not fit together; no unit, fewer than
                two classes; arrays that are not of finite real numbers or lie on several devices.
        """
        arrays = parameters_of([*weights, *biases])
        ws, bs = arrays[: len(weights)], arrays[len(weights) :]
        net = cls(
            [w.unsqueeze(0) if w.dim() in (2, 4) else w for w in ws],
            [b.unsqueeze(0) if b.dim() == 1 else b for b in bs],
            input_shape,
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
        height, width, channels = self.input_shape
        return height * width * channels

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.weights[-1].shape[2])

    @property
    def graph(self) -> Graph:
        """The architecture, for walks over layers."""
        layers: list[Layer] = [ToMaps(self.input_shape)]
        stages, dense = list(self.weights)[: self.num_stages], self.weights[self.num_stages :]
        for w in stages:
            side = int(w.shape[1])
            maps = Convolution(int(w.shape[4]), (side, side), (1, 1), (side // 2, side // 2))
            layers += [maps, ReLU(), MaxPool((POOL, POOL), (POOL, POOL))]
        layers.append(Flatten())
        for w in dense:
            layers += [Affine(int(w.shape[2])), ReLU()]
        return chain(self.num_features, layers[:-1])

    def to_sequential(self, index: int) -> nn.Sequential:
        """Return one network as a model of torch.nn, with copies of its parameters.

        Args:
            index: which of the networks, 0 to P - 1.

        Returns:
            A model in evaluation mode: images (N, channels, height, width) to logits (N, K).

        Raises:
            ValueError: there is no such network.
        """
        check_index(index, self.num_networks)
        own = [
            (weight[index].detach(), bias[index].detach())
            for weight, bias in zip(self.weights, self.biases, strict=True)
        ]
        layers: list[nn.Module] = []
        for weight, bias in own[: self.num_stages]:
            layers += [convolution(weight, bias), nn.ReLU(), nn.MaxPool2d(POOL)]
        first, *rest = own[self.num_stages :]
        layers += [nn.Flatten(), linear(self._in_torchs_order(first[0]), first[1])]
        for weight, bias in rest:
            layers += [nn.ReLU(), linear(weight, bias)]
        return nn.Sequential(*layers).eval()

    def _in_torchs_order(self, weight: Tensor) -> Tensor:
        """Return the first dense layer with its rows (M R S) in place of (R S M), [in, out]."""
        maps = weight.view(*self.shape_after(self.num_stages), -1)
        return maps.permute(2, 0, 1, 3).reshape(weight.shape)

    def header(self) -> dict[str, str]:
        """Return what a file's header needs beside the parameters."""
        return {"input_shape": json.dumps(list(self.input_shape))}

    @classmethod
    def from_header(
        cls, header: Mapping[str, str], weights: Sequence[Tensor], biases: Sequence[Tensor]
    ) -> CNN:
        """Return the pack that a file's header and parameters describe.

        Raises:
            ValueError, KeyError, TypeError: they do not fit together.
        """
        return cls(weights, biases, json.loads(header["input_shape"]))

    def subset(self, networks: Sequence[int] | Tensor) -> CNN:
        """Return a pack of copies of some of the networks, by index."""
        index = torch.as_tensor(networks, dtype=torch.int64, device=self.weights[0].device)
        return CNN(
            [w.detach().index_select(0, index) for w in self.weights],
            [b.detach().index_select(0, index) for b in self.biases],
            self.input_shape,
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
        h = self.to_maps(x)
        layers = list(zip(self.weights, self.biases, strict=True))
        for weight, bias in layers[: self.num_stages]:
            # ReLU and maximum commute; pooled maps are four times smaller.
            h = torch.relu(max_pool(convolve(h, weight, bias)))
        z = self.to_units(h)
        for weight, bias in layers[self.num_stages : -1]:
            z = torch.relu(affine(z, weight, bias))
        return affine(z, *layers[-1])

    def trace(self, x: Tensor) -> Trace:
        """Return all pre-activations at x, [B, D] or [P, B, D], and what max-pooling chose."""
        maps, poolings, hidden = [], [], []
        h = self.to_maps(x)
        layers = list(zip(self.weights, self.biases, strict=True))
        for weight, bias in layers[: self.num_stages]:
            maps.append(convolve(h, weight, bias))
            top, winner = functional.max_pool2d(maps[-1], POOL, return_indices=True)
            poolings.append(Pooling(winner.flatten(2), (top > 0).to(top.dtype).flatten(2)))
            h = torch.relu(top)
        z = self.to_units(h)
        for weight, bias in layers[self.num_stages : -1]:
            hidden.append(affine(z, weight, bias))
            z = torch.relu(hidden[-1])
        return Trace(maps, poolings, hidden, affine(z, *layers[-1]))

    def linearize(self, x: Tensor) -> Linearization:
        """Return the logits at x and the pullback of the input Jacobian there.

        Args:
            x: [B, D] or [P, B, D].
        """
        trace = self.trace(x)
        masks = [(z > 0).to(z.dtype).unsqueeze(2) for z in trace.hidden]  # [P, B, 1, H]

        def pullback(cotangents: Tensor) -> Tensor:
            networks, (batch, rows) = self.num_networks, cotangents.shape[1:3]
            v = cotangents.expand(networks, -1, -1, -1)
            dense = list(self.weights)[self.num_stages :]
            for weight, mask in zip(reversed(dense), [*reversed(masks), None], strict=True):
                v = torch.bmm(v.reshape(networks, batch * rows, -1), weight.mT)
                if mask is not None:
                    v = (v.view(networks, batch, rows, -1) * mask).flatten(1, 2)
            maps = self._unit_maps(v)  # [B*C, P*M, R, S]
            for weight, z, pooling in zip(
                reversed(list(self.weights)[: self.num_stages]),
                reversed(trace.maps),
                reversed(trace.poolings),
                strict=True,
            ):
                maps = convolve_transposed(unpool(maps, pooling, batch, z), weight)
            flat = maps.view(batch, rows, networks, self.input_shape[2], -1)
            return flat.permute(2, 0, 1, 4, 3).flatten(3)

        return Linearization(trace.logits, pullback)

    def to_maps(self, x: Tensor) -> Tensor:
        """Return flat inputs as maps: [B, D] -> [B, M, R, S], [P, B, D] -> [B, P*M, R, S]."""
        height, width, channels = self.input_shape
        if x.dim() == 2:
            return x.reshape(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
        maps = x.reshape(x.shape[0], -1, height, width, channels).permute(1, 0, 4, 2, 3)
        return maps.flatten(1, 2)

    def to_units(self, maps: Tensor) -> Tensor:
        """Return maps, [B, P*M, R, S], as units of the dense layers, [P, B, R*S*M]."""
        batch, channels, height, width = maps.shape
        networks = self.num_networks
        own = maps.view(batch, networks, channels // networks, height * width)
        return own.permute(1, 0, 3, 2).flatten(2)

    def _unit_maps(self, units: Tensor) -> Tensor:
        """Undo `to_units`: [P, N, R*S*M] -> [N, P*M, R, S]."""
        height, width, channels = self.shape_after(self.num_stages)
        own = units.view(units.shape[0], -1, height, width, channels)
        return own.permute(1, 0, 4, 2, 3).flatten(1, 2)

    def shape_after(self, stage: int) -> tuple[int, int, int]:
        """Return (height, width, channels) after that many stages."""
        height, width, channels = self.input_shape
        if stage:
            channels = int(self.weights[stage - 1].shape[4])
        return height // POOL**stage, width // POOL**stage, channels


def _checked_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3 or any(int(side) != side or side < 1 for side in input_shape):
        raise ValueError(
            "a convolutional network needs input_shape = (height, width, channels), "
            f"got {tuple(input_shape)}"
        )
    height, width, channels = (int(side) for side in input_shape)
    return height, width, channels


def _check_layers(
    weights: Sequence[Tensor], biases: Sequence[Tensor], input_shape: tuple[int, int, int]
) -> None:
    stages = sum(w.dim() == 5 for w in weights)
    if len(weights) != len(biases) or stages < 1 or len(weights) < stages + 1:
        raise ValueError(
            "expected at least one convolution, then at least one dense layer, one bias each, "
            f"got {stages} convolutions, {len(weights)} weights and {len(biases)} biases"
        )
    height, width, previous = input_shape
    if height % POOL**stages or width % POOL**stages:
        raise ValueError(
            f"{stages} max-poolings need sides divisible by {POOL**stages}, got {height} x {width}"
        )
    networks = weights[0].shape[0]
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        convolution = layer <= stages
        if layer == stages + 1:
            previous *= height * width // POOL ** (2 * stages)
        square = not convolution or (w.dim() == 5 and w.shape[1] == w.shape[2] and w.shape[1] % 2)
        dims = 5 if convolution else 3
        fits = w.dim() == dims and tuple(b.shape) == (networks, w.shape[-1])
        if not (square and fits and w.shape[0] == networks and w.shape[-2] == previous):
            form = "(P, k, k, in, out) with k odd" if convolution else "(P, in, out)"
            raise ValueError(
                f"layer {layer}: weight {tuple(w.shape)} and bias {tuple(b.shape)} do not fit "
                f"{form} and (P, out) with P = {networks} and in = {previous}; "
                "dense weights are (in, out), the transpose of torch.nn.Linear's"
            )
        previous = int(w.shape[-1])
    check_sizes(weights)
