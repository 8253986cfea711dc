"""Packs of multi-layer perceptrons: every parameter has a leading dimension P.

Legend: P networks in the pack, B batch, C cotangents per example, D input features (the
paper's M), H hidden units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust.checks import check_fits, check_parameters, parameters_of
from robust.layers.affine import Affine
from robust.layers.affine import affine as affine
from robust.layers.graph import Graph, chain
from robust.layers.relu import ReLU
from robust.networks.linearization import Linearization
from robust.networks.modules import check_index, linear

_VECTOR = 8  # float32 units in an AVX register; a multiple suits tensor cores too

Array = NDArray[Any] | Tensor


def homogeneous(weight: Tensor, bias: Tensor) -> Tensor:
    """Return W, b as one matrix: [h, 1, 0, ...] times it is [h W + b, 1, 0, ...].

    Biases then ride in the products, without a pass over the activations. ReLU keeps the 1.

    Args:
        weight: [P, in, out].
        bias: [P, out].

    Returns:
        [P, padded(in), padded(out)].
    """
    rows, columns = weight.shape[1:]
    matrix = pad_matrix(weight)
    matrix[:, rows, :columns] = bias
    matrix[:, rows, columns] = 1
    return matrix


def pad_matrix(weight: Tensor) -> Tensor:
    """Return W, [P, in, out], with rows and columns of 0 up to those of `pad_units`."""
    return pad_units(pad_units(weight).mT).mT.contiguous()


def pad_units(h: Tensor, last: float = 0.0) -> Tensor:
    """Return [h, last, 0, ...], its last dimension a multiple of 8, as vector units like it."""
    units = h.shape[-1]
    padded = h.new_zeros(*h.shape[:-1], (units // _VECTOR + 1) * _VECTOR)
    padded[..., :units] = h
    padded[..., units] = last
    return padded


class MLP(nn.Module):
    """P fully connected ReLU networks of one shape (paper, section 3).

    z_1 = W_1'x + b_1, z_l = W_l'[z_{l-1}]^+ + b_l; the logits are z_L.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        super().__init__()
        _check_shapes(weights, biases)
        self.weights = nn.ParameterList([nn.Parameter(w) for w in weights])
        self.biases = nn.ParameterList([nn.Parameter(b) for b in biases])

    @classmethod
    def from_arrays(cls, weights: Sequence[Array], biases: Sequence[Array]) -> MLP:
        """Make a pack from arrays, which are copied.

        The network is float64 if any array is, else float32.

        Args:
            weights: over layers; (in, out) for one network or (P, in, out): the transpose of
                torch.nn.Linear's.
            biases: over layers; (out,) or (P, out).

        Raises:
            ValueError: layers, networks or shapes that do not fit together; no unit, fewer than
                two classes; arrays that are not of finite real numbers or lie on several devices.
        """
        arrays = parameters_of([*weights, *biases])
        ws, bs = arrays[: len(weights)], arrays[len(weights) :]
        net = cls(
            [w.unsqueeze(0) if w.dim() == 2 else w for w in ws],
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
        return int(self.weights[0].shape[1])

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.weights[-1].shape[2])

    @property
    def graph(self) -> Graph:
        """The architecture, for walks over layers."""
        return dense_graph(list(self.weights))

    def to_sequential(self, index: int) -> nn.Sequential:
        """Return one network as a model of torch.nn, with copies of its parameters.

        Args:
            index: which of the networks, 0 to P - 1.

        Returns:
            A model in evaluation mode: inputs (N, D) to logits (N, K).

        Raises:
            ValueError: there is no such network.
        """
        check_index(index, self.num_networks)
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            layers += [linear(weight[index].detach(), bias[index].detach()), nn.ReLU()]
        return nn.Sequential(*layers[:-1]).eval()

    def header(self) -> dict[str, str]:
        """Return what a file's header needs beside the parameters: nothing."""
        return {}

    @classmethod
    def from_header(
        cls, header: Mapping[str, str], weights: Sequence[Tensor], biases: Sequence[Tensor]
    ) -> MLP:
        """Return the pack that a file's header and parameters describe.

        Raises:
            ValueError: they do not fit together.
        """
        return cls(weights, biases)

    def subset(self, networks: Sequence[int] | Tensor) -> MLP:
        """Return a pack of copies of some of the networks, by index."""
        index = torch.as_tensor(networks, dtype=torch.int64, device=self.weights[0].device)
        return MLP(
            [w.detach().index_select(0, index) for w in self.weights],
            [b.detach().index_select(0, index) for b in self.biases],
        )

    def pre_activations(self, x: Tensor) -> list[Tensor]:
        """Return z_1 ... z_L at x.

        Args:
            x: [B, D] or [P, B, D].

        Returns:
            L tensors, [P, B, H] and last the logits [P, B, K].
        """
        z = affine(x, self.weights[0], self.biases[0])
        layers = [z]
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            z = affine(torch.relu(z), weight, bias)
            layers.append(z)
        return layers

    def tail(self, h: Tensor) -> Tensor:
        """Return the logits from the first hidden layer's activations, [P, B, H] -> [P, B, K]."""
        for layer, (weight, bias) in enumerate(
            zip(self.weights[1:], self.biases[1:], strict=True)
        ):
            h = affine(h if layer == 0 else torch.relu(h), weight, bias)
        return h

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
        return self.pre_activations(x)[-1]

    def linearize(self, x: Tensor) -> Linearization:
        """Return the logits at x and the pullback of the input Jacobian there.

        Args:
            x: [B, D] or [P, B, D].
        """
        *hidden, logits = self.pre_activations(x)
        masks = [(z > 0).to(z.dtype).unsqueeze(2) for z in hidden]  # [P, B, 1, H]

        def pullback(cotangents: Tensor) -> Tensor:
            batch, rows = cotangents.shape[1:3]
            v = cotangents.expand(self.num_networks, -1, -1, -1)
            for weight, mask in zip(
                reversed(list(self.weights)), [*reversed(masks), None], strict=True
            ):
                v = torch.bmm(v.reshape(self.num_networks, batch * rows, -1), weight.mT)
                v = v.view(self.num_networks, batch, rows, -1)
                if mask is not None:
                    v = v * mask
            return v

        return Linearization(logits, pullback)


def dense_graph(weights: Sequence[Tensor]) -> Graph:
    """Return the architecture of dense layers with a ReLU between them; weights [P, in, out]."""
    dense = [Affine(int(w.shape[2])) for w in weights]
    hidden = [layer for affine in dense[:-1] for layer in (affine, ReLU())]
    return chain(int(weights[0].shape[1]), [*hidden, dense[-1]])


def _check_shapes(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
    if len(weights) != len(biases) or len(weights) < 2:
        raise ValueError(
            "expected one bias per weight and at least two layers, "
            f"got {len(weights)} weights and {len(biases)} biases"
        )
    previous: int | None = None
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        fits = w.dim() == 3 and tuple(b.shape) == (w.shape[0], w.shape[2])
        if not fits or w.shape[0] != weights[0].shape[0] or previous not in (None, w.shape[1]):
            raise ValueError(
                f"layer {layer}: weight {tuple(w.shape)} and bias {tuple(b.shape)} do not fit "
                f"(P, in, out) and (P, out) with P = {weights[0].shape[0]} and "
                f"in = {'any' if previous is None else previous}; weights are (in, out), the "
                "transpose of torch.nn.Linear's"
            )
        previous = int(w.shape[2])
    check_sizes(weights)


def check_sizes(weights: Sequence[Tensor]) -> None:
    """Refuse packs of no network, layers of no units, and networks that decide nothing.

    Raises:
        ValueError: a weight, [P, ..., in, out], with a dimension of 0; K < 2.
    """
    for layer, w in enumerate(weights, start=1):
        if not w.numel():
            raise ValueError(
                f"layer {layer}: weight {tuple(w.shape)}: at least one network, one input and "
                "one unit are needed"
            )
    if weights[-1].shape[-1] < 2:
        raise ValueError(f"a network needs at least two classes, got {int(weights[-1].shape[-1])}")
