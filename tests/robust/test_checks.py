"""The public edge: what is taken as users expect, and what ends in one line before any work.

Every function that takes inputs is tested alike; a new one is one entry of `EDGES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robust import attacks, certify, checks, defenses, networks
from robust.evaluate import correct, evaluate, survivors
from robust.networks import CNN, MLP
from robust.train import minibatches, train
from sweep.datasets.scaling import VISION
from tests.robust.helpers import random_batch, random_pack

FEATURES, CLASSES, NETWORKS, BATCH = 4, 3, 2, 6


def trained(net: MLP, x: Any, y: Any, **options: Any) -> Tensor:
    """Train for three steps; return all parameters in one tensor."""
    settings: dict[str, Any] = {
        "defense": "pgd-linf",
        "radius": 0.1,
        "learning_rate": 0.01,
        "batch_size": 4,
        "steps": 3,
        "seed": 0,
    }
    train(net, x, y, **{**settings, **options})
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def evaluated(net: MLP, x: Any, y: Any, attack: str = "pgd-l2", **options: Any) -> Tensor:
    return evaluate(net, x, y, attack=attack, **{"radii": torch.tensor([0.1, 0.4]), **options})


EDGES: dict[str, Callable[..., Tensor]] = {
    "loss": lambda net, x, y: defenses.get("rub").loss(net, x, y, 0.1),
    "pgd": lambda net, x, y: attacks.get("pgd-linf")(net, x, y, 0.1, random_start=False),
    "vertex": lambda net, x, y: attacks.get("vertex-l1")(net, x, y, 0.3),
    "worst": lambda net, x, y: certify.worst_case_differences(net, x, y, 0.1),
    "worst tight": lambda net, x, y: certify.worst_case_differences_tight(net, x, y, 0.1),
    "certified": lambda net, x, y: certify.certified(net, x, y, 0.1),
    "certified tight": lambda net, x, y: certify.certified_tight(net, x, y, 0.1),
    "certified radius": lambda net, x, y: certify.certified_radius(net, x, y),
    "train": trained,
    "validation": lambda net, x, y: trained(net, *batch(), validation=(x, y)),
    "correct": lambda net, x, y: correct(net, x, y),
    "evaluate": evaluated,
    "certified accuracy": lambda net, x, y: evaluated(net, x, y, "certified-l1"),
}
WHOLE_SETS = ("train", "validation", "correct", "evaluate", "certified accuracy")
CLIPPED: dict[str, Callable[..., Tensor]] = {
    "pgd": lambda net, x, y, b: attacks.get("pgd-linf")(net, x, y, 0.1, bounds=b),
    "vertex": lambda net, x, y, b: attacks.get("vertex-l1")(net, x, y, 0.1, bounds=b),
    "train": lambda net, x, y, b: trained(net, x, y, bounds=b),
    "evaluate": lambda net, x, y, b: evaluated(net, x, y, bounds=b),
}


def pack(dtype: torch.dtype = torch.float32) -> MLP:
    return random_pack((FEATURES, 6, CLASSES), NETWORKS, seed=3, dtype=dtype)


def batch() -> tuple[Tensor, Tensor]:
    """Inputs that every floating-point and signed integer type holds exactly."""
    x, y = random_batch(BATCH, FEATURES, CLASSES, seed=3, dtype=torch.float32)
    return (2 * x).round(), y


@pytest.fixture(params=EDGES)
def edge(request: pytest.FixtureRequest) -> Callable[..., Tensor]:
    return EDGES[request.param]


def refused(message: str, call: Callable[..., Any], *given: Any, **options: Any) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call(*given, **options)
    assert "\n" not in str(error.value)


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "float64 tensor": lambda x: x.double(),
    "half tensor": lambda x: x.half(),
    "bfloat16 tensor": lambda x: x.bfloat16(),
    "int64 tensor": lambda x: x.long(),
    "int8 tensor": lambda x: x.to(torch.int8),
    "float64 array": lambda x: x.double().numpy(),
    "int32 array": lambda x: x.int().numpy(),
    "array read backwards": lambda x: np.ascontiguousarray(x.numpy()[::-1])[::-1],
    "array in Fortran's order": lambda x: np.asfortranarray(x.numpy()),
    "big-endian array": lambda x: x.numpy().astype(">f8"),
    "lists": lambda x: x.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_inputs_of_every_type_are_those_of_the_networks_type(
    edge: Callable[..., Tensor], form: str
) -> None:
    x, y = batch()
    expected = edge(pack(), x, y)
    found = edge(pack(), FORMS[form](x), y)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


def test_float32_inputs_of_a_float64_network_give_float64(edge: Callable[..., Tensor]) -> None:
    x, y = batch()
    expected = edge(pack(torch.float64), x.double(), y)
    found = edge(pack(torch.float64), x, y)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


def test_vertex_attack_moves_integer_inputs() -> None:
    x, y = torch.zeros(1, FEATURES, dtype=torch.int64), torch.tensor([0])
    x_adv = attacks.get("vertex-l1")(pack(), x, y, 0.4)
    torch.testing.assert_close(x_adv.abs().sum(dim=2), torch.full((NETWORKS, 1), 0.4))


def test_read_only_arrays_are_taken_without_a_warning(edge: Callable[..., Tensor]) -> None:
    x, y = batch()
    arrays = x.numpy().copy(), y.numpy().copy()
    for array in arrays:
        array.flags.writeable = False
    assert torch.equal(edge(pack(), *arrays), edge(pack(), x, y))


LABELS: dict[str, Callable[[Tensor], Any]] = {
    "int32 tensor": lambda y: y.int(),
    "uint8 tensor": lambda y: y.to(torch.uint8),
    "uint16 tensor": lambda y: y.to(torch.uint16),
    "uint64 tensor": lambda y: y.to(torch.uint64),
    "int32 array": lambda y: y.int().numpy(),
    "uint64 array": lambda y: y.numpy().astype(np.uint64),
    "list": lambda y: y.tolist(),
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_every_integer_type_are_taken(edge: Callable[..., Tensor], form: str) -> None:
    x, y = batch()
    assert torch.equal(edge(pack(), x, LABELS[form](y)), edge(pack(), x, y))


def test_boolean_labels_are_classes_0_and_1(edge: Callable[..., Tensor]) -> None:
    x, y = batch()
    two = y > 0
    assert torch.equal(edge(pack(), x, two), edge(pack(), x, two.long()))
    assert torch.equal(edge(pack(), x, two.numpy()), edge(pack(), x, two.long()))


BAD_BATCHES: dict[str, tuple[Callable[[Tensor, Tensor], tuple[Any, Any]], str]] = {
    "float labels": (lambda x, y: (x, y.float()), r"y must be integers.*torch\.float32"),
    "float label array": (lambda x, y: (x, y.double().numpy()), "y must be integers.*float64"),
    "labels in a column": (
        lambda x, y: (x, y.unsqueeze(1)),
        r"y must .*\(6,\), got .* of shape \(6, 1\)",
    ),
    "one label": (lambda x, y: (x, 1), r"y must .*\(6,\), got .* of shape \(\)"),
    "a label missing": (lambda x, y: (x, y[1:]), r"y must .*\(6,\), got .* of shape \(5,\)"),
    "negative label": (lambda x, y: (x, y - 3), r"labels must lie in 0\.\.2, got -3"),
    "label too large": (lambda x, y: (x, y + 3), r"labels must lie in 0\.\.2, got 5"),
    "huge label": (
        lambda x, y: (x, np.full(BATCH, 2**64 - 1, dtype=np.uint64)),
        "labels must lie in 0..2, got 18446744073709551615",
    ),
    "huge label tensor": (
        lambda x, y: (x, torch.full((BATCH,), 2**64 - 1, dtype=torch.uint64)),
        "labels must lie in 0..2, got 18446744073709551615",
    ),
    "labels of text": (lambda x, y: (x, ["a"] * BATCH), "y must be integers"),
    "NaN": (
        lambda x, y: (x * math.nan, y),
        r"x must be finite in torch\.float32, got 24 NaN or infinite",
    ),
    "infinity in an array": (lambda x, y: ((x / 0).numpy(), y), "x must be finite"),
    "too large for float32": (
        lambda x, y: (x.double() + 1e39, y),
        r"x must be finite in torch\.float32",
    ),
    "complex": (lambda x, y: (x + 1j, y), r"x must be real numbers, got torch\.complex64"),
    "text": (lambda x, y: (np.full((BATCH, FEATURES), "a"), y), "x must be real numbers, got <U1"),
    "nothing": (lambda x, y: (None, y), "x must be real numbers"),
    "ragged lists": (lambda x, y: ([[1.0], [1.0, 2.0]], y), "x must be"),
    "no inputs": (lambda x, y: (x[:0], y[:0]), r"x must hold at least one input, got \(0, 4\)"),
    "one input without a batch": (lambda x, y: (x[0], y[:1]), r"x must have shape .*\(4,\)"),
    "a feature missing": (lambda x, y: (x[:, 1:], y), r"x must have shape .*\(6, 3\)"),
    "inputs elsewhere": (lambda x, y: (x.to("meta"), y), "x is on meta, .* on cpu"),
    "labels elsewhere": (lambda x, y: (x, y.to("meta")), "y is on meta, .* on cpu"),
    "sparse": (lambda x, y: (x.to_sparse(), y), "x must be a dense tensor"),
}


@pytest.mark.parametrize("mistake", BAD_BATCHES)
def test_bad_batch_is_refused_in_one_line(edge: Callable[..., Tensor], mistake: str) -> None:
    spoil, message = BAD_BATCHES[mistake]
    refused(message, edge, pack(), *spoil(*batch()))


def test_refused_training_leaves_the_networks_alone() -> None:
    net = pack()
    x, y = batch()
    refused("validation x", trained, net, x, y, validation=(x[:, 1:], y))
    assert all(map(torch.equal, net.parameters(), pack().parameters()))


@pytest.mark.parametrize("name", WHOLE_SETS)
@pytest.mark.parametrize("rows", [NETWORKS, BATCH])
def test_inputs_for_each_network_are_refused_where_a_set_is_cut_up(name: str, rows: int) -> None:
    """Also where N = P, which no count of labels would give away."""
    x, y = batch()
    own = x[:rows].expand(NETWORKS, -1, -1)
    refused(
        rf"x must have shape \(N, 4\), got \(2, {rows}, 4\)", EDGES[name], pack(), own, y[:rows]
    )


@pytest.mark.parametrize("clipped", CLIPPED.values(), ids=list(CLIPPED))
def test_input_outside_the_bounds_is_refused_with_its_value(
    clipped: Callable[..., Tensor],
) -> None:
    x, y = torch.full((2, FEATURES), 0.5), torch.tensor([0, 1])
    clipped(pack(), x, y, (0.5, 1.0))
    x[1, 2] = 1.25
    refused(r"x must lie in the bounds \[0.0, 1.0\], got 1.25", clipped, pack(), x, y, (0, 1))
    x[1, 2] = -3.0
    refused(
        r"x must lie in the bounds \[0.0, inf\], got -3.0", clipped, pack(), x, y, (0, math.inf)
    )


def test_loss_of_a_defense_with_bounds_refuses_inputs_outside() -> None:
    method = replace(defenses.get("pgd-linf"), bounds=(0.0, 1.0))
    refused("x must lie in the bounds", method.loss, pack(), *batch(), 0.1)


def test_bounds_are_compared_in_the_precision_of_the_inputs() -> None:
    """0.7 in float32 is below 0.7, 0.1 above 0.1: as pixels these are the bounds."""
    for value in (0.1, 0.7):
        x, y = torch.full((2, FEATURES), value), torch.tensor([0, 1])
        for bounds in ((value, 1.0), (0.0, value)):
            x_adv = attacks.get("fgsm-linf")(pack(), x, y, 0.05, bounds=bounds)
            assert x_adv.min() >= torch.tensor(bounds[0])
            assert x_adv.max() <= torch.tensor(bounds[1])


def test_bounds_beyond_the_numbers_of_the_inputs_are_none() -> None:
    free = attacks.get("fgsm-linf")(pack(), *batch(), 0.1)
    wide = attacks.get("fgsm-linf")(pack(), *batch(), 0.1, bounds=(-1e300, 1e300))
    assert torch.equal(wide, free)


def test_scaled_pixels_lie_in_their_bounds() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(64, 2, 2, 1)
    x = VISION["unit"].scale(images, np.arange(64))
    y = torch.zeros(64, dtype=torch.int64)
    x_adv = attacks.get("fgsm-linf")(pack(), x, y, 0.1, bounds=VISION["unit"].bounds)
    assert (x_adv - torch.from_numpy(x)).abs().max() <= 0.1 + 1e-7


BAD_BOUNDS = {
    "three": (0.0, 1.0, 2.0),
    "one": (0.0,),
    "a number": 1.0,
    "text": ("a", "b"),
    "too large": (0, 10**400),
    "one for each feature": (torch.zeros(3, FEATURES), torch.ones(3, FEATURES)),
    "NaN": (math.nan, 1.0),
    "reversed": (1.0, 0.0),
    "equal in float32": (1.0, 1.0 + 1e-12),
}


@pytest.mark.parametrize("bounds", BAD_BOUNDS.values(), ids=list(BAD_BOUNDS))
def test_bad_bounds_are_refused(bounds: Any) -> None:
    for clipped in CLIPPED.values():
        refused("bounds must", clipped, pack(), *batch(), bounds)


BAD_NUMBERS: dict[str, Any] = {
    "NaN": math.nan,
    "infinite": math.inf,
    "negative": -0.1,
    "too large for float32": 1e39,
    "too large for float64": 10**400,
    "text": "a",
    "nothing": None,
    "complex": 1j,
    "one too many": [0.1] * (NETWORKS + 1),
    "none": [],
    "one NaN": np.array([0.1, math.nan]),
    "in a row": torch.full((1, NETWORKS), 0.1),
}


@pytest.mark.parametrize("value", BAD_NUMBERS.values(), ids=list(BAD_NUMBERS))
def test_bad_radius_or_rate_is_refused(value: Any) -> None:
    x, y = batch()
    for call in (
        defenses.get("nominal").loss,
        attacks.get("fgm-l2"),
        attacks.get("vertex-l1"),
        certify.worst_case_differences,
    ):
        refused("radius must", call, pack(), x, y, value)
    refused("radius must", trained, pack(), x, y, radius=value)
    refused("learning_rate must", trained, pack(), x, y, learning_rate=value)


def test_radius_and_rate_may_be_numbers_arrays_or_lists() -> None:
    expected = trained(pack(), *batch(), radius=torch.full((2,), 0.1))
    for form in (np.array([0.1, 0.1]), [0.1, 0.1], np.float64(0.1), torch.tensor(0.1).double()):
        assert torch.equal(trained(pack(), *batch(), radius=form), expected)
    for rate in (torch.full((2,), 0.01), np.array([0.01, 0.01]), np.float32(0.01), [0.01, 0.01]):
        assert torch.equal(trained(pack(), *batch(), learning_rate=rate), expected)


def test_rate_that_is_0_in_the_networks_precision_is_refused() -> None:
    refused("learning_rate must be positive", trained, pack(), *batch(), learning_rate=1e-60)
    refused("learning_rate must be positive", trained, pack(), *batch(), learning_rate=0)
    trained(pack(torch.float64), *batch(), learning_rate=1e-60)


BAD_COUNTS: dict[str, Any] = {
    "zero": 0,
    "negative": -1,
    "half": 1.5,
    "whole but a float": 2.0,
    "NaN": math.nan,
    "text": "3",
    "nothing": None,
    "a table": np.ones((3, 3)),
}


@pytest.mark.parametrize("value", BAD_COUNTS.values(), ids=list(BAD_COUNTS))
@pytest.mark.parametrize("name", ["batch_size", "steps", "curve_every"])
def test_bad_count_of_a_training_is_refused(name: str, value: Any) -> None:
    refused(f"{name} must be", trained, pack(), *batch(), **{name: value})


def test_counts_may_be_numpy_integers() -> None:
    counts = {"batch_size": np.int32(4), "steps": np.int64(3), "seed": np.int64(0)}
    assert torch.equal(trained(pack(), *batch(), **counts), trained(pack(), *batch()))


def test_minibatches_of_nothing_are_refused() -> None:
    refused("num_examples must be", minibatches, 0, 4, 3, 0)


BAD_SEEDS: dict[str, Any] = {
    "negative": -1,
    "over 64 bit": 2**64,
    "a fraction": 0.5,
    "text": "0",
    "nothing": None,
}


@pytest.mark.parametrize("seed", BAD_SEEDS.values(), ids=list(BAD_SEEDS))
def test_bad_seed_is_refused(seed: Any) -> None:
    refused("seed must be", trained, pack(), *batch(), seed=seed)
    refused("seed must be", evaluated, pack(), *batch(), seed=seed)
    refused("seed must be", networks.build, "mlp-1x4", 4, 3, 1, seed)


def test_largest_seed_is_taken() -> None:
    trained(networks.build("mlp-1x4", 4, 3, 2, 2**64 - 1), *batch(), seed=2**64 - 1)
    evaluated(pack(), *batch(), seed=2**64 - 1)


BAD_RADII: dict[str, Any] = {
    "none": [],
    "one number": 0.1,
    "a table": [[0.1], [0.2]],
    "equal": [0.1, 0.1],
    "NaN": [0.1, math.nan],
    "too large for float32": [0.1, 1e39],
    "text": ["a"],
}


@pytest.mark.parametrize("radii", BAD_RADII.values(), ids=list(BAD_RADII))
def test_bad_radii_of_an_evaluation_are_refused(radii: Any) -> None:
    for attack in ("pgd-linf", "vertex-l1", "certified-l1"):
        refused("radii must", evaluated, pack(), *batch(), attack, radii=radii)


def test_radii_of_an_evaluation_may_be_a_list_or_an_array() -> None:
    expected = evaluated(pack(), *batch(), radii=torch.tensor([0.1, 0.4], dtype=torch.float64))
    for form in ([0.1, 0.4], np.array([0.1, 0.4])):
        assert torch.equal(evaluated(pack(), *batch(), radii=form), expected)


def test_bad_chunk_or_restarts_are_refused() -> None:
    for value in (0, -1, 1.5):
        refused("chunk must be", evaluated, pack(), *batch(), chunk=value)
        refused("restarts must be", restarted, value)


def restarted(count: Any) -> Tensor:
    x, y = batch()
    options: dict[str, Any] = {"attack": "pgd-l2-best", "radii": [0.1], "restarts": count}
    return survivors(pack(), x, y, **options)


def test_generator_elsewhere_is_refused() -> None:
    class Elsewhere(torch.Generator):
        device = torch.device("meta")

    for name in ("pgd-linf", "fgm-l2"):
        refused(
            "generator is on meta", attacks.get(name), pack(), *batch(), 0.1, (-9, 9), Elsewhere()
        )
    refused(
        "generator is on meta", defenses.get("pgd-l1").loss, pack(), *batch(), 0.1, Elsewhere()
    )


@pytest.mark.parametrize("name", ["mlp-1x4", "cnn"])
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0, 3, 1), "num_features must be"),
        ((-4, 3, 1), "num_features must be"),
        ((16, 1, 1), "num_classes must be at least 2, got 1"),
        ((16, 0, 1), "num_classes must be"),
        ((16, 3, 0), "num_networks must be"),
        ((16, 3, 1.5), "num_networks must be"),
    ],
)
def test_network_of_nothing_is_not_built(name: str, counts: tuple[Any, ...], message: str) -> None:
    refused(message, networks.build, name, *counts, 0, input_shape=(4, 4, 1))


def layers(
    *sizes: int, dtype: Any = np.float32
) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    return [np.ones(p, dtype) for p in pairs], [np.ones(p[1], dtype) for p in pairs]


def test_arrays_of_nothing_are_no_network() -> None:
    refused("at least two classes", MLP.from_arrays, *layers(4, 3, 1))
    refused("at least one", MLP.from_arrays, *layers(0, 3, 2))
    refused("at least one", MLP.from_arrays, *layers(4, 0, 2))
    refused(
        "at least one",
        MLP.from_arrays,
        [np.ones((0, 4, 3)), np.ones((0, 3, 2))],
        [np.ones((0, 3)), np.ones((0, 2))],
    )
    kernel, dense = np.ones((3, 3, 1, 2)), np.ones((2, 1))
    refused(
        "at least two classes",
        CNN.from_arrays,
        [kernel, dense],
        [np.ones(2), np.ones(1)],
        (2, 2, 1),
    )
    refused("input_shape", CNN.from_arrays, [kernel, np.ones((2, 2))], [np.ones(2)] * 2, (2, 0, 1))


def test_transposed_weights_are_refused_with_the_convention() -> None:
    weights, biases = layers(4, 6, 3)
    turned = [w.T for w in weights]
    refused(r"\(in, out\).*transpose", MLP.from_arrays, turned, biases)
    dense = [np.ones((3, 3, 1, 2)), np.ones((3, 2))]
    refused(r"\(in, out\).*transpose", CNN.from_arrays, dense, [np.ones(2), np.ones(3)], (2, 2, 1))


def test_integer_and_mixed_arrays_make_a_network_of_one_floating_type() -> None:
    weights, biases = layers(4, 6, 3, dtype=np.int64)
    assert {p.dtype for p in MLP.from_arrays(weights, biases).parameters()} == {torch.float32}
    biases = [b.astype(np.float64) for b in biases]
    net = MLP.from_arrays(weights, biases)
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    x, y = batch()
    assert attacks.get("pgd-l2")(net, x, y, 0.1).dtype == torch.float64
    half = MLP.from_arrays(*layers(4, 6, 3, dtype=np.float16))
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    kernel, dense = np.ones((3, 3, 1, 2), dtype=np.int32), np.ones((2, 2), dtype=np.float64)
    cnn = CNN.from_arrays([kernel, dense], [np.ones(2, np.int8), np.ones(2)], (2, 2, 1))
    assert {p.dtype for p in cnn.parameters()} == {torch.float64}


def test_arrays_that_are_no_real_numbers_are_no_network() -> None:
    weights, biases = layers(4, 6, 3)
    refused("real numbers", MLP.from_arrays, [w + 1j for w in weights], biases)
    refused("real numbers", MLP.from_arrays, [w.astype(str) for w in weights], biases)
    elsewhere = [torch.as_tensor(weights[0]), torch.as_tensor(weights[1]).to("meta")]
    refused("one device, got cpu, meta", MLP.from_arrays, elsewhere, biases)


def test_network_of_half_precision_is_refused(edge: Callable[..., Tensor]) -> None:
    refused("network must be float32 or float64, got torch.float16", edge, pack().half(), *batch())


def test_inputs_are_checked_once_however_many_steps_and_chunks_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    once = checks._inputs

    def counted(net: Any, x: Any, shared: bool, name: str) -> Tensor:
        seen.append(name)
        return once(net, x, shared, name)

    monkeypatch.setattr(checks, "_inputs", counted)
    x, y = batch()
    for attack in ("pgd-l1-best", "vertex-l1", "certified-l1-tight"):
        evaluated(pack(), x, y, attack, radii=[0.1, 0.2, 0.4], chunk=1)
        assert seen == ["x"]
        seen.clear()
    trained(pack(), x, y, steps=9, validation=(x, y), curve_every=2)
    assert seen == ["x", "validation x"]
