"""Certificates where numbers end: what is not finite, overflows or vanishes proves nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from robust import certify
from robust.bounds import coap, rub, tight
from robust.bounds.rounding import RoundingSlack
from robust.bounds.rub import cnn_search, mlp_screened_search, mlp_search
from robust.evaluate import CERTIFICATES, survivors
from robust.evaluation import diagnostics
from robust.evaluation.certifier import Certifier
from robust.evaluation.diagnostics import share_without_gradient
from robust.losses import class_differences
from robust.networks import CNN, MLP
from tests.robust.cnn_helpers import random_cnn, vertices
from tests.robust.helpers import random_batch, random_pack

Network = MLP | CNN
BAD = [math.nan, math.inf, -math.inf]
DTYPES = [torch.float32, torch.float64]
CNN_SHAPE = (1, (4, 4, 1), (2,), (3,), (3,))


def line(slopes: Sequence[float], offsets: Sequence[float], dtype: torch.dtype) -> MLP:
    """z_k = a_k [x + 100]^+ - a_k 100 + b_k, so z_k = a_k x + b_k where x > -100."""
    a, b = torch.tensor([list(slopes)], dtype=dtype), torch.tensor(list(offsets), dtype=dtype)
    return MLP.from_arrays(
        [torch.ones(1, 1, dtype=dtype), a], [torch.full((1,), 100.0, dtype=dtype), b - 100 * a[0]]
    )


def overflowing(dtype: torch.dtype) -> MLP:
    """z_0 = 1.5, z_1 = 0 and z_2 = huge^2 [x]^+ beyond every number, of finite parameters."""
    huge = torch.finfo(dtype).max ** 0.75
    return MLP.from_arrays(
        [
            torch.tensor([[huge]], dtype=dtype),
            torch.tensor([[0.0, 0.0, huge]], dtype=dtype),
        ],
        [torch.zeros(1, dtype=dtype), torch.tensor([1.5, 0.0, -1.0], dtype=dtype)],
    )


def one(value: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.tensor([[value]], dtype=dtype), torch.tensor([0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_class_beyond_every_number_is_not_proven_lower(dtype: torch.dtype) -> None:
    net = overflowing(dtype)
    for at in (-1.0, 1.0):
        x, y = one(at, dtype)
        assert certify.certified(net, x, y, 2.0).tolist() == [[False]]
        assert certify.certified_tight(net, x, y, 2.0).tolist() == [[False]]
        for method in (certify.worst_case_differences, certify.worst_case_differences_tight):
            bounds = method(net, x, y, 2.0).detach()
            assert (bounds[0, 0] >= torch.tensor([0.0, -1.5, torch.finfo(dtype).max])).all()
    x, y = one(-1.0, dtype)
    assert 0 <= float(certify.certified_radius(net, x, y)) <= 1  # beyond 1 class 2 is huge


ENTRIES: dict[str, Callable[[Network, Tensor, Tensor], Tensor]] = {
    "worst_case_differences": lambda net, x, y: certify.worst_case_differences(net, x, y, 0.5),
    "worst_case_differences_tight": lambda net, x, y: certify.worst_case_differences_tight(
        net, x, y, 0.5
    ),
    "certified": lambda net, x, y: certify.certified(net, x, y, 0.5),
    "certified_tight": lambda net, x, y: certify.certified_tight(net, x, y, 0.5),
    "certified_radius": lambda net, x, y: certify.certified_radius(net, x, y),
}


def kinds(dtype: torch.dtype) -> dict[str, tuple[Network, Tensor, Tensor]]:
    """A pack of each kind, with inputs that the first network classifies as their labels."""
    nets: dict[str, Network] = {
        "mlp": random_pack((4, 6, 5, 3), networks=2, seed=5).to(dtype),
        "cnn": random_cnn(*CNN_SHAPE).to(dtype),
    }
    found = {}
    for name, net in nets.items():
        x, _ = random_batch(3, net.num_features, 3, seed=5, dtype=dtype)
        found[name] = net, x, net(x)[0].argmax(dim=1)
    return found


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("bad", BAD)
def test_parameters_that_are_not_finite_are_refused(entry: str, kind: str, bad: float) -> None:
    net, x, y = kinds(torch.float32)[kind]
    with torch.no_grad():
        net.weights[-1][-1, 0, 0] = bad
    with pytest.raises(ValueError, match=r"parameters must be finite, got 1 .* network") as error:
        ENTRIES[entry](net, x, y)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", BAD)
def test_arrays_that_are_not_finite_make_no_network(bad: float) -> None:
    weights, biases = [np.ones((2, 3)), np.ones((3, 2))], [np.zeros(3), np.array([0.0, bad])]
    with pytest.raises(ValueError, match="parameters must be finite, got 1"):
        MLP.from_arrays(weights, biases)
    net = random_cnn(*CNN_SHAPE)
    arrays = [w.detach().clone() for w in net.weights]
    arrays[0][0, 0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="parameters must be finite, got 1"):
        CNN.from_arrays(arrays, list(net.biases), net.input_shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_radius_beyond_the_precision_is_refused(dtype: torch.dtype) -> None:
    net, x, y = kinds(torch.float32)["mlp"]
    for radius in (3.5e38, 1e300):
        for method in (certify.certified, certify.certified_tight, certify.worst_case_differences):
            with pytest.raises(ValueError, match="radius .*float32"):
                method(net, x, y, torch.tensor([radius, 0.0], dtype=torch.float64))
    ladder = torch.tensor([0.0, 1e300], dtype=torch.float64)
    for name in CERTIFICATES:
        with pytest.raises(ValueError, match="radii .*float32"):
            survivors(net, x, y, attack=name, radii=ladder)


def test_precision_that_cannot_hold_the_parameters_is_refused() -> None:
    net = line([1e39, 0.0], [0.0, 0.0], torch.float64)
    with pytest.raises(ValueError, match="parameters must be finite"):
        certify.worst_case_differences(net, *one(1.0, torch.float64), 0.1, dtype=torch.float32)


def test_split_of_which_nothing_is_correct_has_no_certificates() -> None:
    for net, x, y in kinds(torch.float32).values():
        alone, ladder = net.subset([0]), torch.tensor([0.0, 0.1])
        wrong = (y + 1) % net.num_classes
        assert not survivors(alone, x, wrong, attack="certified-l1", radii=ladder).any()
        assert alone(x[:0]).shape == (1, 0, net.num_classes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_too_far_apart_for_their_difference_bound_nothing(dtype: torch.dtype) -> None:
    """c_k W overflows, and meets a unit that is 0 at the input and not in the ball."""
    most = torch.finfo(dtype).max
    weights = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [most, -most]], dtype=dtype)]
    biases = [torch.zeros(2), torch.tensor([1.0, 0.0])]
    net = MLP.from_arrays([w.to(dtype) for w in weights], [b.to(dtype) for b in biases])
    x, y = one(1.0, dtype)
    assert certify.worst_case_differences(net, x, y, 0.0).tolist() == [[[0.0, math.inf]]]
    assert certify.worst_case_differences_tight(net, x, y, 0.0).tolist() == [[[0.0, math.inf]]]
    assert certify.certified(net, x, y, 0.0).item() is False


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_batch_without_examples_is_refused(entry: str, kind: str) -> None:
    net, x, y = kinds(torch.float32)[kind]
    with pytest.raises(ValueError, match="at least one input"):
        ENTRIES[entry](net, x[:0], y[:0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("true", [2.0**-20, 3.0, 2.0**39.3, 2.0**41, 2.0**60, 2.0**90])
def test_certified_radius_is_finite_and_just_below_the_true_one(
    true: float, dtype: torch.dtype
) -> None:
    """z_0 = 1 and z_1 = [x]^+ / r: around 0 the class is lost at r and not before."""
    net = MLP.from_arrays(
        [torch.ones(1, 1, dtype=dtype), torch.tensor([[0.0, 1 / true]], dtype=dtype)],
        [torch.zeros(1, dtype=dtype), torch.tensor([1.0, 0.0], dtype=dtype)],
    )
    found = float(certify.certified_radius(net, *one(0.0, dtype)))
    assert 0.999 * true <= found <= true


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_network_is_certified_up_to_the_largest_radius_tried(dtype: torch.dtype) -> None:
    net, x, y = kinds(dtype)["mlp"]
    with torch.no_grad():
        net.weights[0].zero_()
        net.biases[-1][:, 1] += 100.0
    radii = certify.certified_radius(net, x, torch.ones_like(y))
    assert (radii == certify.LARGEST_RADIUS).all()
    assert certify.certified(net, x, torch.ones_like(y), certify.LARGEST_RADIUS).all()
    assert (certify.certified_radius(net, x, torch.zeros_like(y)) == 0).all()


def test_limit_or_slack_that_is_not_a_number_proves_nothing() -> None:
    for net, x, y in kinds(torch.float64).values():
        radius = torch.full((net.num_networks, len(y)), 0.01, dtype=x.dtype)
        assert rub.below(net, x, y, radius, math.inf, math.inf).all()
        for limit in (math.nan, -math.inf):
            assert not rub.below(net, x, y, radius, limit, math.inf).any()
            assert not rub.below(net, x, y, radius, limit, limit).any()


@pytest.mark.parametrize("margin", [math.nan, math.inf])
def test_margin_that_is_not_a_number_certifies_nothing(
    monkeypatch: pytest.MonkeyPatch, margin: float
) -> None:
    def spoilt(self: RoundingSlack, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        whole = torch.full((*radius.shape, 2), margin, dtype=x.dtype)
        return whole, whole

    monkeypatch.setattr(RoundingSlack, "__call__", spoilt)
    net, x, y = kinds(torch.float32)["mlp"]
    assert not certify.certified(net, x, y, 0.0).any()
    assert not certify.certified_tight(net, x, y, 0.0).any()
    assert (certify.certified_radius(net, x, y) == 0).all()


@pytest.mark.parametrize("value", BAD)
def test_bound_that_is_not_finite_is_no_proof(
    monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """RUB leaves the first class open; its search and the optimised one say `value` of the last.

    With a number in its place all that the first network says is proven.
    """
    net, x, y = kinds(torch.float64)["mlp"]
    for last in (-1.0, value):

        def search(*at: Tensor, last: float = last) -> tuple[Tensor, Tensor]:
            found = torch.tensor([1.0, last], dtype=torch.float64).expand(2, at[1].shape[-2], -1)
            return found, torch.zeros_like(found, dtype=torch.int64)

        def optimised(*at: Tensor, exact: MLP, last: float = last) -> Tensor:
            return torch.tensor([-1.0, last], dtype=torch.float64).expand(2, at[1].shape[-2], -1)

        monkeypatch.setattr(rub, "search", search)
        monkeypatch.setattr(tight, "bounds_of", optimised)
        monkeypatch.setattr(Certifier, "certified", lambda self, x, y, r: torch.zeros(2, 3).bool())
        holds = Certifier(net).certified_tight(x, y, torch.zeros(2, 3, dtype=x.dtype))
        assert holds[0].tolist() == [last == -1.0] * 3


def test_vertex_that_overflows_stays_the_worst_of_a_convolutional_network() -> None:
    net, x, y = kinds(torch.float32)["cnn"]
    for pixel in (0, 5, 15):
        z = net.trace(x)
        search = cnn_search.PatchSearch(net, x, y, torch.ones(net.num_networks, len(y)))
        inner, hit = search.bounds, []

        def bounds(block: cnn_search.Block, examples: slice, pixel: int = pixel) -> Tensor:
            found = inner(block, examples)  # noqa: B023
            if bool((block.features == pixel).any()):
                hit.append(block)  # noqa: B023
                found[:, :, 0] = math.nan
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cnn_search.PatchSearch, "bounds", lambda self, b, e: bounds(b, e))
            values, _ = cnn_search.worst_vertices(net, x, y, torch.ones(net.num_networks, len(y)))
        assert len(hit) == 1 and z.logits.isfinite().all()
        assert values.isnan().all()


@pytest.mark.parametrize("corner", [0, 15])
def test_overflow_at_one_pixel_is_in_the_bound_of_a_convolutional_network(corner: int) -> None:
    """At one vertex a logit reaches 3e39, beyond float32."""
    net = CNN.from_arrays(
        [torch.ones(1, 1, 1, 1), torch.full((4, 2), 1.0)],
        [torch.zeros(1), torch.tensor([0.0, -10.0])],
        (4, 4, 1),
    )
    with torch.no_grad():
        net.weights[1][0, corner // 5, 1] = 3e38
    x, y = torch.ones(1, 16), torch.tensor([0])
    exact = net.double()(vertices(x[0].double(), 10.0))
    truth = float(class_differences(exact, torch.zeros(32, dtype=torch.int64)).detach().max())
    assert truth > 3e39
    net.float()
    assert float(certify.worst_case_differences(net, x, y, 10.0).detach()[0, 0, 1]) == math.inf
    values = cnn_search.worst_vertices(net, x, y, torch.tensor([[10.0]]))[0]
    assert values.isnan().all() or float(values.max()) >= truth
    assert not certify.certified(net, x, y, 10.0).any()


@pytest.mark.parametrize("vertex", [0, 3, 7])
def test_vertex_that_is_not_a_number_stays_the_worst_of_a_perceptron(
    monkeypatch: pytest.MonkeyPatch, vertex: int
) -> None:
    net, x, y = kinds(torch.float32)["mlp"]
    inner = mlp_search.Search.bounds

    def bounds(self: mlp_search.Search, *at: slice) -> Tensor:
        found = inner(self, *at)
        if found.shape[2] == 8:
            found[:, :, vertex] = math.nan
        return found

    monkeypatch.setattr(mlp_search.Search, "bounds", bounds)
    radius = torch.ones(2, 3)
    values, where = mlp_search.worst_vertices(net, x, y, radius)
    assert values.isnan().all()
    assert (where == vertex).all()
    monkeypatch.setattr(
        mlp_screened_search, "PATIENCE", -1.0
    )  # no screening: every vertex is seen
    around = mlp_search.unperturbed_pass(net, x, y)
    assert (mlp_screened_search.worst_vertices(net, around, radius) == vertex).all()


def test_relaxed_unit_with_an_unknown_bound_bounds_nothing() -> None:
    huge = torch.finfo(torch.float32).max
    for low, high in ((math.nan, 1.0), (-1.0, math.nan), (math.nan, math.nan)):
        relaxed = coap.relax(torch.tensor([[[low]]]), torch.tensor([[[high]]]))
        assert relaxed.slope.isnan().all()
    crossed = coap.relax(torch.tensor([[[1.0 + 1e-7]]]), torch.tensor([[[1.0]]]))
    assert (crossed.slope == 1).all() and (crossed.intercept == 0).all()
    wide = coap.relax(torch.tensor([[[-huge]]]), torch.tensor([[[huge]]]))
    assert wide.slope.item() == pytest.approx(0.5)
    assert wide.intercept.item() == pytest.approx(0.5 * huge)


@pytest.mark.parametrize("huge", [1e20, 1e30, 1e37])
def test_coap_is_nowhere_below_the_truth_where_it_overflows(huge: float) -> None:
    net = random_pack((3, 5, 4, 2), seed=9, dtype=torch.float32)
    with torch.no_grad():
        net.weights[0].mul_(huge)
        net.weights[1].mul_(huge)
        net.weights[2].mul_(1 / huge)
    x, y = random_batch(6, 3, 2, seed=9, dtype=torch.float32)
    bound = coap.worst_case_differences(net, x, y, torch.full((1, 6), 0.3)).detach()
    wide = net.double()
    corners = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    for corner in corners:
        reached = class_differences(wide(x.double() + 0.3 * corner), y)
        above = bound.double() >= reached - 1e-4 * reached.abs()
        assert (above | bound.isnan()).all()


@pytest.mark.parametrize("length", [math.nan, math.inf])
def test_gradient_that_cannot_be_followed_counts_as_none(
    monkeypatch: pytest.MonkeyPatch, length: float
) -> None:
    net = line([-1.0, 1.0], [0.0, 0.0], torch.float32)
    x, y = torch.tensor([[-1.0], [-2.0], [1.0]]), torch.tensor([0, 0, 0])  # the last is an error
    assert float(share_without_gradient(net, x, y)) == 0
    lengths = torch.tensor([[1.0, length, length]])
    monkeypatch.setattr(diagnostics, "norm", lambda gradient, order: lengths)
    assert float(share_without_gradient(net, x, y)) == 0.5


def test_gradient_too_long_for_its_norm_counts_as_none() -> None:
    """The attacks divide by the norm, which overflows, and so stay where they are."""
    net = MLP.from_arrays(
        [torch.tensor([[1e20]]), torch.tensor([[-1e19, 1e19]])],
        [torch.zeros(1), torch.tensor([1.0, 0.0])],
    )
    assert float(share_without_gradient(net, *one(1e-40, torch.float32))) == 1
