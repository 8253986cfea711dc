"""The forms of RUB's recurrence that are made for speed, against the plain one."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from robust.bounds.rub import cnn_search, mlp_search
from robust.bounds.rub.mlp import sum_and_difference, vertex_steps
from robust.layers.streams import (
    halves,
    sides,
    through_affine,
    through_last,
    through_relu,
)
from tests.robust.helpers import random_batch, random_pack


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("first_layer", [True, False])
def test_written_out_gradient_is_that_of_the_plain_form(first_layer: bool) -> None:
    centre = drawn(2, 3, 4, 5).requires_grad_()
    excess = None if first_layer else drawn(2, 3, 4, 5, seed=1).abs().requires_grad_()
    t = (drawn(2, 3, 1, 5, seed=2) > 0).double()
    weights = drawn(2, 3, 4, 5, seed=3), drawn(2, 3, 4, 5, seed=4)
    leaves = [centre] if excess is None else [centre, excess]
    results = []
    for streams in (through_relu(centre, excess, t), sum_and_difference(centre, excess, 2 * t)):
        loss = sum((w * stream).sum() for w, stream in zip(weights, streams, strict=True))
        results.append([*streams, *torch.autograd.grad(loss, leaves)])
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain)


def test_affine_layer_equals_the_split_into_positive_and_negative_weights() -> None:
    s, m, weight, bias = drawn(2, 6, 5).abs(), drawn(2, 6, 5, seed=1), drawn(2, 5, 3), drawn(2, 3)
    up, down = sides(*through_affine(s + m, s - m, *halves(weight), bias))
    plus, minus = weight.clamp_min(0), (-weight).clamp_min(0)
    torch.testing.assert_close(up, s @ plus + m @ minus + bias.unsqueeze(1))
    torch.testing.assert_close(down, s @ minus + m @ plus - bias.unsqueeze(1))
    without = sides(*through_affine(s + m, s - m, *halves(weight)))
    torch.testing.assert_close(without[0], s @ plus + m @ minus)


@torch.no_grad()
def test_search_in_place_equals_the_plain_form_at_every_vertex() -> None:
    net, (x, y) = random_pack((4, 7, 6, 5, 3), 2, seed=3), random_batch(5, 4, 3, seed=3)
    radius = torch.full((2, 5), 0.4, dtype=torch.float64)
    around = mlp_search.unperturbed_pass(net, x, y)
    every = torch.arange(8).expand(2, 5, 8)
    centre = around.hidden[0].unsqueeze(2) + vertex_steps(net, every, radius)
    total, gap = through_relu(centre, None, around.twice[0] / 2)
    for layer, twice in zip(mlp_search.halved_layers(net), around.twice[1:], strict=True):
        total, gap = through_relu(*through_affine(total, gap, *layer), twice / 2)
    expected = through_last(total, gap, around.last.weight) + around.last.bias.unsqueeze(2)
    found = mlp_search.bounds_at(net, around, radius, every)
    torch.testing.assert_close(found, expected)


def test_change_at_a_relu_is_the_difference_of_the_streams() -> None:
    z, change, widening = drawn(2, 3, 1, 5), drawn(2, 3, 4, 5, seed=1), drawn(2, 3, 4, 5, seed=2)
    t = (z > 0).double()
    perturbed = through_relu(z + change, widening.abs(), t)
    itself = through_relu(z, None, t)
    changes = cnn_search._relu_change(z, change.clone(), widening.abs())
    for found, after, before in zip(changes, perturbed, itself, strict=True):
        torch.testing.assert_close(found, after - before)


def test_bound_of_a_unit_grows_with_the_perturbation_that_is_allowed() -> None:
    centre, t = drawn(1, 1, 1, 6), (drawn(1, 1, 1, 6, seed=1) > 0).double()
    weight = drawn(1, 1, 2, 6, seed=2)
    widths = [torch.full_like(centre, width) for width in (0.0, 0.1, 1.0)]
    bounds = [through_last(*through_relu(centre, width, t), weight) for width in widths]
    assert all((smaller <= larger).all() for smaller, larger in pairwise(bounds))
