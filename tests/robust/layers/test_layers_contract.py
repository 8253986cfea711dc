"""What every kind of layer promises; a new one is tested by an example of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robust.layers import LAYERS, Box, Streams
from robust.layers.base import Own
from robust.layers.relu import SLOPES
from tests.robust.layers.examples import BATCH, EXAMPLES, PACK, Example, drawn, within

POINTS = 200


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


def test_every_kind_of_layer_has_an_example() -> None:
    assert {example.layer.kind for example in EXAMPLES.values()} == set(LAYERS.names())


def one(own: Own | None, p: int) -> tuple[Tensor, Tensor] | None:
    """One network's parameters as torch's functions want them."""
    if own is None:
        return None
    weight, bias = own.weight[p], own.bias[p]
    order = (3, 2, 0, 1) if weight.dim() == 4 else (1, 0)
    return weight.permute(*order), bias


REFERENCE: dict[str, Callable[..., Tensor]] = {
    "affine": lambda layer, own, h: functional.linear(h, *own),
    "convolution": lambda layer, own, h: functional.conv2d(
        h, *own, stride=layer.stride, padding=layer.padding
    ),
    "relu": lambda layer, own, h: h.clamp_min(0),
    "max-pool": lambda layer, own, h: functional.max_pool2d(h, layer.kernel, layer.stride),
    "average-pool": lambda layer, own, h: functional.avg_pool2d(h, layer.kernel, layer.stride),
    "to-maps": lambda layer, own, h: h.view(-1, *layer.image_shape).permute(0, 3, 1, 2),
    "flatten": lambda layer, own, h: h.permute(0, 2, 3, 1).flatten(1),
    "add": lambda layer, own, h, g: h + g,
}


def test_forward_is_torchs_own_function(example: Example) -> None:
    own, inputs = example.own(), example.inputs()
    found = example.layer.forward(own, *inputs)
    assert found.shape == (PACK, BATCH, *example.layer.output_shape(*example.shapes))
    for p in range(PACK):
        expected = REFERENCE[example.layer.kind](
            example.layer, one(own, p), *(h[p] for h in inputs)
        )
        torch.testing.assert_close(found[p], expected)


def boxes(example: Example, width: float, seed: int = 5) -> list[Box]:
    """Boxes around the inputs, some of width 0."""
    found = []
    for i, h in enumerate(example.inputs()):
        half = width * drawn(*h.shape, seed=seed + i).abs()
        half = half * (drawn(*h.shape, seed=seed + 9 + i) > -0.8)
        found.append(Box(h - half, h + half))
    return found


@pytest.mark.parametrize("width", [0.0, 0.3, 3.0])
def test_box_holds_every_output(example: Example, width: float) -> None:
    own, around = example.own(), boxes(example, width)
    low, high = example.layer.interval(own, *around)
    assert (low <= high).all()
    lows, highs = [box.low for box in around], [box.high for box in around]
    for seed in range(POINTS // 4):
        out = example.layer.forward(own, *within(lows, highs, seed))
        assert (out >= low - 1e-12).all()
        assert (out <= high + 1e-12).all()


def test_box_is_as_small_as_can_be(example: Example) -> None:
    """Each end is attained: these layers are monotone in each input of a single output."""
    own, around = example.own(), boxes(example, 1.0)
    low, high = example.layer.interval(own, *around)
    ends = [torch.stack(box) for box in around]
    for index in range(low[0, 0].numel()):
        slope = slopes(example, own, [(box.low + box.high) / 2 for box in around], index)
        best = [torch.where(s >= 0, e[1], e[0]) for s, e in zip(slope, ends, strict=True)]
        worst = [torch.where(s >= 0, e[0], e[1]) for s, e in zip(slope, ends, strict=True)]
        top = example.layer.forward(own, *best).flatten(2)[..., index]
        bottom = example.layer.forward(own, *worst).flatten(2)[..., index]
        torch.testing.assert_close(top, high.flatten(2)[..., index])
        torch.testing.assert_close(bottom, low.flatten(2)[..., index])


def slopes(
    example: Example, own: Own | None, inputs: Sequence[Tensor], index: int
) -> list[Tensor]:
    """The sign of an output's change in each input; ReLU and maximum never decrease."""
    leaves = [h.clone().requires_grad_() for h in inputs]
    out = example.layer.forward(own, *leaves).flatten(2)[..., index].sum()
    return [g.sign() for g in torch.autograd.grad(out, leaves)]


def test_tangent_is_the_derivative(example: Example) -> None:
    own = example.own()
    leaves = [h.requires_grad_() for h in example.inputs()]
    forms = drawn(PACK, BATCH, 2, *example.layer.output_shape(*example.shapes), seed=3)
    out = example.layer.forward(own, *leaves)
    lines = example.layer.tangent(*(h.detach() for h in leaves))
    back, _ = example.layer.back(own, lines, example.shapes, forms)
    for u in range(2):
        expected = torch.autograd.grad((out * forms[:, :, u]).sum(), leaves, retain_graph=True)
        for found, wanted in zip(back, expected, strict=True):
            torch.testing.assert_close(found[:, :, u], wanted)


def paired(forms: Tensor, values: Tensor) -> Tensor:
    return (forms.flatten(3) * values.flatten(2).unsqueeze(2)).sum(dim=3)


@pytest.mark.parametrize("slope", SLOPES.names())
@pytest.mark.parametrize("width", [0.0, 0.3, 3.0])
def test_lines_bound_forms_of_the_outputs_on_the_box(
    example: Example, width: float, slope: str
) -> None:
    own, around = example.own(), boxes(example, width)
    forms = drawn(PACK, BATCH, 4, *example.layer.output_shape(*example.shapes), seed=3)
    lines = example.layer.relaxed(slope, *around)
    back, added = example.layer.back(own, lines, example.shapes, forms)
    lows, highs = [box.low for box in around], [box.high for box in around]
    for seed in range(POINTS // 4):
        points = within(lows, highs, seed)
        exact = paired(forms, example.layer.forward(own, *points))
        bound = sum(paired(b, h) for b, h in zip(back, points, strict=True)) + added
        assert (exact <= bound + 1e-11).all()
        if lines is None or width == 0:
            torch.testing.assert_close(bound, exact)


def test_forms_that_all_examples_share_are_carried_as_each_ones_own(example: Example) -> None:
    own, around = example.own(), boxes(example, 1.0)
    shared = drawn(PACK, 1, 4, *example.layer.output_shape(*example.shapes), seed=3)
    lines = example.layer.relaxed("adaptive", *around)
    once = example.layer.back(own, lines, example.shapes, shared)
    every = shared.expand(-1, BATCH, *[-1] * (shared.dim() - 2)).contiguous()
    each = example.layer.back(own, lines, example.shapes, every)
    for a, b in zip(once[0], each[0], strict=True):
        torch.testing.assert_close(a.expand_as(b), b)
    added = [torch.as_tensor(part, dtype=shared.dtype) for part in (once[1], each[1])]
    torch.testing.assert_close(*torch.broadcast_tensors(*added))


def test_streams_hold_and_are_exact_at_x(example: Example) -> None:
    """u >= h and v >= -h for every input that lies between u and -v of the inputs."""
    own, at = example.own(), [h.unsqueeze(2) for h in example.inputs()]
    wide = [drawn(PACK, BATCH, 3, *s, seed=20 + i).abs() for i, s in enumerate(example.shapes)]
    moved = [
        h + drawn(*w.shape, seed=30 + i) for i, (h, w) in enumerate(zip(at, wide, strict=True))
    ]
    found = example.layer.streams(own, at, *map(Streams, moved, wide))
    assert found.excess is not None
    for seed in range(POINTS // 4):
        low = [c - e for c, e in zip(moved, wide, strict=True)]
        high = [c + e for c, e in zip(moved, wide, strict=True)]
        points = within(low, high, seed)
        out = example.layer.forward(own, *(h.flatten(1, 2) for h in points)).view_as(found.centre)
        assert (out <= found.centre + found.excess + 1e-12).all()
        assert (-out <= found.excess - found.centre + 1e-12).all()
    centre, excess = example.layer.streams(own, at, *(Streams(h, None) for h in at))
    exact = example.layer.forward(own, *(h.squeeze(2) for h in at)).unsqueeze(2)
    torch.testing.assert_close(centre, exact)
    assert excess is None or excess.abs().max() < 1e-12


def test_streams_are_convex_along_lines(example: Example) -> None:
    own, at = example.own(), [h.unsqueeze(2) for h in example.inputs()]
    steps = [drawn(*h.shape, seed=40 + i) for i, h in enumerate(at)]

    def sides(t: float) -> tuple[Tensor, Tensor]:
        moved = [h + t * step for h, step in zip(at, steps, strict=True)]
        centre, excess = example.layer.streams(own, at, *(Streams(h, None) for h in moved))
        wide = torch.zeros_like(centre) if excess is None else excess
        return centre + wide, wide - centre

    for left, right in ((-2.0, 1.0), (0.0, 3.0), (-1.0, 1.0)):
        for middle, a, b in zip(sides((left + right) / 2), sides(left), sides(right), strict=True):
            assert (middle <= (a + b) / 2 + 1e-12).all()


def test_nan_in_a_box_is_not_hidden(example: Example) -> None:
    own, around = example.own(), boxes(example, 1.0)
    spoiled = [Box(torch.full_like(box.low, float("nan")), box.high) for box in around]
    lines = example.layer.relaxed("adaptive", *spoiled)
    forms = drawn(PACK, BATCH, 4, *example.layer.output_shape(*example.shapes), seed=3)
    low, high = example.layer.interval(own, *spoiled)
    assert low.isnan().all()
    if lines is not None:
        back, added = example.layer.back(own, lines, example.shapes, forms)
        total = sum(part.flatten(3).sum(dim=3) for part in back) + added
        assert total.isnan().all()


def test_settings_make_the_layer_again(example: Example) -> None:
    settings = json.loads(json.dumps(example.layer.settings))
    assert LAYERS.get(example.layer.kind)(**settings) == example.layer


def test_parameters_and_products_are_counted(example: Example) -> None:
    own, out = example.own(), example.layer.output_shape(*example.shapes)
    counted = example.layer.num_parameters(example.shapes, out)
    assert counted == (0 if own is None else own.weight[0].numel() + own.bias[0].numel())
    products = example.layer.products(example.shapes, out)
    if own is None:
        assert products == 0
        return
    per_output = own.weight[0].numel() // own.bias.shape[1]
    assert products == per_output * math.prod(out)
    assert example.layer.roundings(own) > per_output


WRONG = {
    "affine": [((2, 3, 3),), ((3,), (3,))],
    "convolution": [((5,),), ((2, 1, 1),)],
    "relu": [((3,), (3,))],
    "max-pool": [((5,),), ((2, 1, 4),)],
    "average-pool": [((5,),), ((2, 4, 1),)],
    "to-maps": [((5,),), ((2, 3, 2),)],
    "flatten": [((5,),)],
    "add": [((5,),), ((5,), (4,))],
}


@pytest.mark.parametrize("name", WRONG)
def test_inputs_that_do_not_fit_are_refused_in_one_line(name: str) -> None:
    layer = EXAMPLES["convolution without padding" if name == "convolution" else name].layer
    for shapes in WRONG[name]:
        with pytest.raises(ValueError) as error:
            layer.output_shape(*shapes)
        assert "\n" not in str(error.value)
