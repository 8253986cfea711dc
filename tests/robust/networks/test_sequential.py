"""Models of torch.nn come in and go out with the logits that torch gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from robust import attacks, certify, defenses, evaluate, networks, train
from robust.export import export
from robust.layers import Graph, Node
from robust.layers.add import Add
from robust.layers.affine import Affine
from robust.layers.relu import ReLU
from robust.networks import CNN, MLP, GraphNetwork, Residual, from_sequential
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


def lenet_like(seed: int = 0) -> nn.Sequential:
    """No padding, a stride, average-pooling, a rectangular kernel: no CNN of ours."""
    return seeded(
        nn.Conv2d(2, 3, 5), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=1, bias=False), nn.ReLU(),
        nn.MaxPool2d(2, 1), nn.Flatten(), nn.Dropout(), nn.Linear(4 * 3 * 1, 7), nn.ReLU(),
        nn.Linear(7, 3), seed=seed,
    )  # fmt: skip


def residual(seed: int = 0) -> nn.Sequential:
    """Blocks of dense layers, one within the other."""
    inner = nn.Sequential(nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 9))
    block = nn.Sequential(nn.Linear(9, 9), nn.ReLU(), Residual(inner), nn.BatchNorm1d(9))
    return seeded(nn.Linear(12, 9), nn.ReLU(), Residual(block[:3]), nn.ReLU(), nn.Linear(9, 4),
                  seed=seed)  # fmt: skip


IMAGES = (12, 8, 2)


def test_model_of_other_layers_becomes_a_graph_with_its_logits() -> None:
    models = [lenet_like(seed).double() for seed in range(3)]
    images = torch.randn(5, 2, 12, 8, generator=torch.Generator().manual_seed(1)).double()
    flat = images.permute(0, 2, 3, 1).flatten(1)
    pack = from_sequential(*models, input_shape=IMAGES)
    assert type(pack) is GraphNetwork
    assert pack.num_networks == 3
    for own, model in zip(pack(flat), models, strict=True):
        torch.testing.assert_close(own, model(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(12, 4),),
        (nn.Linear(12, 6), nn.Linear(6, 4)),
        (nn.Flatten(), nn.ReLU(), nn.Linear(12, 4)),
        (nn.Linear(12, 6), nn.ReLU(), nn.ReLU(), nn.Linear(6, 4)),
    ],
)
def test_dense_layers_in_any_order_become_a_graph(layers: tuple[nn.Module, ...]) -> None:
    model = seeded(*layers)
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    pack = from_sequential(model)
    assert type(pack) is GraphNetwork
    torch.testing.assert_close(pack(x)[0], model(x), rtol=1e-6, atol=1e-6)


def test_residual_models_become_a_graph_with_their_logits() -> None:
    models = [residual(seed) for seed in range(2)]
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    for own, model in zip(from_sequential(*models)(x), models, strict=True):
        torch.testing.assert_close(own, model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["resmlp-2x8", "lenet", "other"])
def test_graph_goes_out_and_comes_back(name: str) -> None:
    if name == "other":
        pack, shape = from_sequential(lenet_like(), lenet_like(1), input_shape=IMAGES), IMAGES
    else:
        shape = (16, 18, 1)
        pack = networks.build(name, 288, 3, 2, seed=4, input_shape=shape)
    assert isinstance(pack, GraphNetwork)
    height, width, channels = shape
    x = torch.randn(5, pack.num_features, generator=torch.Generator().manual_seed(1))
    images = x.view(-1, *shape).permute(0, 3, 1, 2) if pack.graph.image_shape else x
    for index in range(2):
        model = pack.to_sequential(index)
        assert not model.training
        torch.testing.assert_close(model(images), pack(x)[index], rtol=1e-5, atol=1e-5)
        again = from_sequential(model, input_shape=shape)
        assert again.graph == pack.graph
        assert all(map(torch.equal, again.parameters(), pack.subset([index]).parameters()))


def test_graph_that_is_no_chain_of_blocks_stays() -> None:
    dense, relu = Affine(3), ReLU()
    nodes = [(dense, (0,)), (dense, (0,)), (relu, (2,)), (Add(), (1, 3)), (Affine(2), (4,))]
    graph = Graph(3, tuple(Node(layer, inputs) for layer, inputs in nodes))
    weights = [torch.ones(1, 3, n) for n in (3, 3, 2)]
    net = GraphNetwork(graph, weights, [w[:, 0] for w in weights])
    assert net(torch.ones(1, 3)).shape == (1, 1, 2)
    with pytest.raises(ValueError, match="only chains of layers and residual blocks"):
        net.to_sequential(0)


def test_model_trained_elsewhere_is_attacked_certified_kept_and_read(tmp_path: Path) -> None:
    model, generator = lenet_like(3), torch.Generator().manual_seed(1)
    images = torch.randn(6, 2, 12, 8, generator=generator)
    x = images.permute(0, 2, 3, 1).flatten(1)
    y = model(images).argmax(dim=1)
    pack = from_sequential(model, input_shape=IMAGES)
    torch.testing.assert_close(pack(x)[0], model(images), rtol=1e-6, atol=1e-6)
    for norm in ("l1", "l2", "linf"):
        proven = certify.certified_radius(pack, x, y, norm=norm, method="best")[0]
        assert (proven > 0).all()
        radius = float(proven.min()) * 0.99
        inside = attacks.get(f"pgd-{norm}")(pack, x, y, radius, generator=generator)[0]
        moved = inside.view(-1, *IMAGES).permute(0, 3, 1, 2)
        assert torch.equal(model(moved).argmax(dim=1), y)
    networks.save(pack, tmp_path / "net")
    again = networks.load(tmp_path / "net")
    assert type(again) is GraphNetwork
    assert torch.equal(again(x), pack(x))


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


@pytest.mark.parametrize(
    ("make", "shape"),
    [(dense, None), (convolutional, SHAPE), (lenet_like, IMAGES), (residual, None)],
)
def test_what_is_read_from_a_file_gives_the_same_logits_bit_for_bit(
    make: Callable[[], nn.Sequential], shape: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    net = from_sequential(make(), make(), input_shape=shape)
    networks.save(net, tmp_path / "net")
    x = torch.randn(33, net.num_features, dtype=next(net.parameters()).dtype)
    assert torch.equal(networks.load(tmp_path / "net")(x), net(x))


@pytest.mark.parametrize("name", ["mlp-1x5", "resmlp-2x5", "cnn"])
def test_inputs_that_do_not_fit_are_refused_in_one_line(name: str) -> None:
    net = networks.build(name, 16, 3, 2, seed=0, input_shape=(4, 4, 1))
    assert net(torch.zeros(2, 5, 16)).shape == net(torch.zeros(5, 16)).shape == (2, 5, 3)
    for shape in ((5, 15), (16,), (5, 1, 4, 4), (3, 5, 16)):
        with pytest.raises(ValueError, match=r"x must have shape \(B, 16\) or \(2, B, 16\), got"):
            net(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"x must be torch\.float32 .* got torch\.float64"):
        net(torch.zeros(5, 16, dtype=torch.float64))


def test_parameters_are_copies() -> None:
    model = seeded(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    pack = from_sequential(model)
    out = pack.to_sequential(0)
    with torch.no_grad():
        for parameter in [*model.parameters(), *out.parameters()]:
            parameter.zero_()
    assert all(bool(parameter.any()) for parameter in pack.parameters())


def strided(stride: int) -> nn.Sequential:
    """A model whose parameters have the same shapes whatever the stride of its pooling."""
    pool = nn.MaxPool2d(3, stride)
    return seeded(nn.Conv2d(1, 2, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(2, 3))


class Doubled(nn.Sequential):
    """A Sequential whose layers do not tell what it computes."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Squared(nn.ReLU):
    """A layer that is no ReLU, though its class is a subclass of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


def moved() -> nn.Linear:
    """A layer with a function put in place of its method."""
    layer = nn.Linear(3, 3)
    layer.forward = lambda x: x  # type: ignore[assignment]
    return layer


WRONG = {
    "forward of its own": (
        lambda: from_sequential(Doubled(nn.Linear(3, 2))),
        "the model .Doubled. has a forward of its own",
    ),
    "forward within": (
        lambda: from_sequential(seeded(Doubled(nn.Linear(3, 2)), nn.Linear(2, 2))),
        "in the model .Doubled. has a forward of its own",
    ),
    "layer with a forward of its own": (
        lambda: from_sequential(seeded(nn.Linear(3, 2), Squared(), nn.Linear(2, 2))),
        "layer 1 .Squared.*a plain ReLU",
    ),
    "forward put in place": (
        lambda: from_sequential(seeded(moved(), nn.ReLU(), nn.Linear(3, 2))),
        "layer 0 .Linear.*forward of its own",
    ),
    "no model": (lambda: from_sequential(), "at least one model"),
    "other module": (lambda: from_sequential(nn.Linear(3, 2)), "Sequential, got Linear"),  # type: ignore[arg-type]
    "empty": (lambda: from_sequential(nn.Sequential()), "order nothing are not"),
    "activation": (
        lambda: from_sequential(seeded(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))),
        "layer 1 .Tanh.",
    ),
    "ends in ReLU": (
        lambda: from_sequential(seeded(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU())),
        "not supported",
    ),
    "ends in maps": (lambda: from_sequential(seeded(nn.Conv2d(1, 2, 3))), "must end in Linear"),
    "dilation": (
        lambda: from_sequential(seeded(nn.Conv2d(1, 2, 3, dilation=2))),
        "layer 0 .Conv2d.: Conv2d.* is not supported",
    ),
    "groups": (
        lambda: from_sequential(seeded(nn.Conv2d(2, 2, 3, groups=2))),
        "layer 0 .Conv2d.",
    ),
    "even kernel, same padding": (
        lambda: from_sequential(seeded(nn.Conv2d(1, 2, 4, padding="same"))),
        "layer 0 .Conv2d.",
    ),
    "padded pool": (
        lambda: from_sequential(seeded(nn.MaxPool2d(3, padding=1))),
        "layer 0 .MaxPool2d.",
    ),
    "pool beyond the border": (
        lambda: from_sequential(seeded(nn.AvgPool2d(2, ceil_mode=True))),
        "layer 0 .AvgPool2d.",
    ),
    "pool alone": (
        lambda: from_sequential(seeded(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2))),
        "pooling without a Conv2d",
    ),
    "no single side": (
        lambda: from_sequential(
            seeded(nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 4 * 4, 3))
        ),
        r"those of 7, 8 do.*give input_shape",
    ),
    "residual behind Flatten": (
        lambda: from_sequential(
            seeded(
                nn.Conv2d(1, 2, 3),
                nn.Flatten(),
                Residual(nn.Sequential(nn.Linear(8, 8))),
                nn.Linear(8, 2),
            )
        ),
        "a Residual between Flatten and Linear",
    ),
    "branch of another shape": (
        lambda: from_sequential(seeded(Residual(nn.Sequential(nn.Linear(3, 4))), nn.Linear(3, 2))),
        "a sum takes two inputs of one shape",
    ),
    "settings differ": (
        lambda: from_sequential(strided(1), strided(2), input_shape=(7, 7, 1)),
        "model 1 has layers",
    ),
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
