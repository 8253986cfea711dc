"""Models of torch.nn come in and go out with the logits that torch gives them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from robust import attacks, certify, defenses, evaluate, networks, train
from robust.export import export
from robust.networks import CNN, MLP, from_sequential
from robust.predictor import Predictor
from robust.supports import supports


def seeded(*layers: nn.Module, seed: int = 0) -> nn.Sequential:
    """A model in evaluation mode with parameters and statistics of its own."""
    model = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in [*model.parameters(), *model.buffers()]:
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator).to(value) - 0.4)
        for layer in model.modules():
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.track_running_stats:
                assert layer.running_var is not None
                layer.running_var.abs_().add_(0.1)
    return model.eval()


def dense(seed: int = 0) -> nn.Sequential:
    return seeded(
        nn.Flatten(), nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.3),
        nn.Sequential(nn.Linear(9, 7, bias=False), nn.ReLU()), nn.Identity(), nn.Linear(7, 4),
        seed=seed,
    )  # fmt: skip


def convolutional(pool_first: bool = False, seed: int = 0) -> nn.Sequential:
    first = [nn.ReLU(), nn.MaxPool2d(2)]
    return seeded(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), *(first[::-1] if pool_first else first),
        nn.Conv2d(3, 4, 5, padding="same", bias=False), nn.ReLU(), nn.MaxPool2d((2, 2), 2),
        nn.Flatten(), nn.Linear(4 * 2 * 3, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3),
        seed=seed,
    )  # fmt: skip


SHAPE = (8, 12, 2)


def images(count: int = 5, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Images as torch has them, and flat as packs take them."""
    height, width, channels = SHAPE
    x = torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))
    return x.to(dtype), x.to(dtype).permute(0, 2, 3, 1).flatten(1)


def test_dense_models_become_a_pack_with_their_logits() -> None:
    models = [dense(seed) for seed in range(3)]
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    pack = from_sequential(*models)
    assert isinstance(pack, MLP)
    assert pack.num_networks == 3
    for own, model in zip(pack(x), models, strict=True):
        torch.testing.assert_close(own, model(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pool_first", [False, True])
def test_convolutional_models_become_a_pack_with_their_logits(pool_first: bool) -> None:
    models = [convolutional(pool_first, seed).double() for seed in range(2)]
    theirs, ours = images(dtype=torch.float64)
    pack = from_sequential(*models, input_shape=SHAPE)
    assert isinstance(pack, CNN)
    for own, model in zip(pack(ours), models, strict=True):
        torch.testing.assert_close(own, model(theirs), rtol=1e-12, atol=1e-12)


def test_square_images_need_no_shape() -> None:
    model = seeded(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                   nn.Linear(2 * 4 * 4, 3))  # fmt: skip
    pack = from_sequential(model)
    assert isinstance(pack, CNN)
    assert pack.input_shape == (8, 8, 1)


def test_square_weights_are_taken_the_right_way_round() -> None:
    model = seeded(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(from_sequential(model)(x)[0], model(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp-2x8", "mlp-1x5"])
def test_dense_network_goes_out_and_comes_back(name: str) -> None:
    pack = networks.build(name, 6, 3, 2, seed=4)
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    for index in range(2):
        model = pack.to_sequential(index)
        assert not model.training
        torch.testing.assert_close(model(x), pack(x)[index], rtol=1e-6, atol=1e-6)
        again = from_sequential(model)
        assert all(map(torch.equal, again.parameters(), pack.subset([index]).parameters()))


def test_convolutional_network_goes_out_and_comes_back() -> None:
    pack = from_sequential(convolutional(), convolutional(seed=5), input_shape=SHAPE)
    theirs, ours = images()
    for index in range(2):
        model = pack.to_sequential(index)
        torch.testing.assert_close(model(theirs), pack(ours)[index], rtol=1e-5, atol=1e-5)
        again = from_sequential(model, input_shape=SHAPE)
        assert all(map(torch.equal, again.parameters(), pack.subset([index]).parameters()))


def test_model_is_attacked_and_certified() -> None:
    model = dense()
    x = torch.randn(8, 12, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(dim=1)
    pack = from_sequential(model)
    x_adv = attacks.get("vertex-l1")(pack, x, y, 5.0)
    assert (model(x_adv[0]).argmax(dim=1) != y).any()
    proven = certify.certified_radius(pack, x, y)[0]
    assert (proven > 0).any()
    inside = attacks.get("pgd-l1")(pack, x, y, float(proven.min()) * 0.99)
    assert torch.equal(model(inside[0]).argmax(dim=1), y)


def test_parameters_are_copies() -> None:
    model = seeded(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    pack = from_sequential(model)
    out = pack.to_sequential(0)
    with torch.no_grad():
        for parameter in [*model.parameters(), *out.parameters()]:
            parameter.zero_()
    assert all(bool(parameter.any()) for parameter in pack.parameters())


WRONG = {
    "no model": (lambda: from_sequential(), "at least one model"),
    "other module": (lambda: from_sequential(nn.Linear(3, 2)), "Sequential, got Linear"),  # type: ignore[arg-type]
    "linear classifier": (
        lambda: from_sequential(seeded(nn.Linear(3, 2))),
        "order Linear are not",
    ),
    "empty": (lambda: from_sequential(nn.Sequential()), "order nothing are not"),
    "activation": (
        lambda: from_sequential(seeded(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))),
        "layer 1 .Tanh.",
    ),
    "two in a row": (
        lambda: from_sequential(seeded(nn.Linear(3, 2), nn.Linear(2, 2))),
        "order Linear, Linear are not supported",
    ),
    "ends in ReLU": (
        lambda: from_sequential(seeded(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU())),
        "not supported",
    ),
    "stride": (lambda: from_sequential(seeded(nn.Conv2d(1, 2, 3, 2, 1))), "layer 0 .Conv2d."),
    "no padding": (lambda: from_sequential(seeded(nn.Conv2d(1, 2, 3))), "layer 0 .Conv2d."),
    "pool of three": (lambda: from_sequential(seeded(nn.MaxPool2d(3))), "layer 0 .MaxPool2d."),
    "average": (lambda: from_sequential(seeded(nn.AvgPool2d(2))), "layer 0 .AvgPool2d."),
    "training mode": (lambda: from_sequential(dense().train()), "layer 2 .*call model.eval"),
    "norm first": (
        lambda: from_sequential(seeded(nn.BatchNorm1d(3), nn.Linear(3, 2))),
        "layer 0 .BatchNorm1d. follows no Linear",
    ),
    "norm of the batch": (
        lambda: from_sequential(
            seeded(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False))
        ),
        "no running statistics",
    ),
    "other shapes": (
        lambda: from_sequential(
            seeded(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)),
            seeded(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        ),
        "model 1 has layers",
    ),
    "images of another shape": (
        lambda: from_sequential(convolutional(), input_shape=(8, 8, 2)),
        r"input_shape=\(8, 8, 2\) does not fit",
    ),
    "no image": (
        lambda: from_sequential(convolutional(), input_shape=(192,)),
        r"input_shape=\(192,\) does not fit",
    ),
    "no such network": (
        lambda: networks.build("mlp-1x5", 3, 2, 2, seed=0).to_sequential(2),
        "0..1",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_model_that_does_not_fit_is_refused_in_one_line(mistake: str) -> None:
    call, message = WRONG[mistake]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


CALLS = {
    "attack": lambda model, x, y: attacks.get("pgd-linf")(model, x, y, 0.1),
    "certificate": lambda model, x, y: certify.certified(model, x, y, 0.1),
    "bound": lambda model, x, y: certify.worst_case_differences(model, x, y, 0.1),
    "loss": lambda model, x, y: defenses.get("nominal").loss(model, x, y, 0.0),
    "evaluation": lambda model, x, y: evaluate.evaluate(
        model, x, y, attack="pgd-linf", radii=[0.1]
    ),
    "training": lambda model, x, y: train.train(
        model,
        x,
        y,
        defense="nominal",
        radius=0.0,
        learning_rate=0.1,
        batch_size=2,
        steps=1,
        seed=0,
    ),
    "device": lambda model, x, y: evaluate.evaluate(
        model, x, y, attack="pgd-linf", radii=[0.1], device="cpu"
    ),
    "loader": lambda model, x, y: evaluate.evaluate(
        model, DataLoader([(x[0], y[0])]), attack="pgd-linf", radii=[0.1]
    ),
    "file": lambda model, x, y: networks.save(model, "never-written"),
    "support": lambda model, x, y: supports(model, "rub"),
    "export": lambda model, x, y: export(model, "never-written"),
    "predictor": lambda model, x, y: Predictor(model),
}


@pytest.mark.parametrize("call", CALLS)
def test_module_in_place_of_a_pack_is_told_what_makes_one(call: str) -> None:
    with pytest.raises(ValueError, match="got Sequential; networks.from_sequential") as error:
        CALLS[call](dense(), torch.zeros(2, 12), torch.tensor([0, 1]))
    assert "\n" not in str(error.value)
