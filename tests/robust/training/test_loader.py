"""Training from a DataLoader: its batches in its order, on the network's device."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from robust import networks
from robust.networks import CNN, MLP
from robust.train import train
from robust.training.batches import Streamed
from robust.training.checkpoint import CheckpointFile
from robust.training.progress import Bar

X = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()
SETTINGS = {"defense": "nominal", "radius": 0.0, "learning_rate": 1e-2, "seed": 0}


def loader(batch_size: int = 8, **options: object) -> DataLoader[object]:
    return DataLoader(TensorDataset(X, Y), batch_size=batch_size, **options)  # type: ignore[arg-type]


def fresh(kind: str = "mlp-1x8", shape: tuple[int, ...] = (6,)) -> MLP | CNN:
    return networks.build(kind, math.prod(shape), 3, 1, 4, shape)


def by_torch(batches: list[tuple[Tensor, Tensor]]) -> nn.Sequential:
    """The same network trained by torch's own Adam."""
    model = fresh().to_sequential(0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, eps=1e-7)
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def test_training_is_that_of_torch_on_the_same_batches() -> None:
    # 20 examples in batches of 8: the third is the last four and the first four of the next epoch.
    order = [range(8), range(8, 16), [*range(16, 20), *range(4)], range(4, 12), range(12, 20)]
    wanted = by_torch([(X[list(rows)], Y[list(rows)]) for rows in order])
    net = fresh()
    result = train(net, loader(), **SETTINGS, steps=5)  # type: ignore[arg-type]
    torch.testing.assert_close(net(X)[0], wanted(X), rtol=1e-4, atol=1e-5)
    assert result.diverged_step == (None,)


def test_batch_size_may_be_another_than_the_loaders() -> None:
    one, two = fresh(), fresh()
    train(one, loader(20), **SETTINGS, steps=4, batch_size=5)  # type: ignore[arg-type]
    train(two, loader(3), **SETTINGS, steps=4, batch_size=5)  # type: ignore[arg-type]
    assert all(map(torch.equal, one.parameters(), two.parameters()))


def test_every_example_of_every_epoch_is_used_once() -> None:
    source = Streamed(fresh(), loader(8, shuffle=True), (-math.inf, math.inf), 5)
    batch = torch.zeros(5, dtype=torch.int64)
    for _ in range(3):  # epochs of 20 examples
        seen = []
        for step in range(4):
            source.fill(step + 1, batch)
            seen += source.x[batch].tolist()
        assert sorted(seen) == sorted(X.tolist())


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Examples without a number."""

    def __iter__(self) -> object:
        return iter(zip(X, Y.to(torch.int32), strict=True))


class Images(Dataset):  # type: ignore[type-arg]
    """Images as torchvision has them, (channels, height, width), and labels as Python's ints."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], index % 3


def test_iterable_dataset_and_other_types_are_taken() -> None:
    one, two = fresh(), fresh()
    train(one, DataLoader(Stream(), batch_size=8), **SETTINGS, steps=3)  # type: ignore[arg-type]
    train(two, loader(), **SETTINGS, steps=3)  # type: ignore[arg-type]
    assert all(map(torch.equal, one.parameters(), two.parameters()))


@pytest.mark.parametrize("kind", ["cnn", "mlp-1x8"])
def test_images_are_laid_out_as_the_network_has_them(kind: str) -> None:
    images = torch.rand(9, 2, 4, 8, generator=torch.Generator().manual_seed(2))
    rows = images.permute(0, 2, 3, 1).flatten(1) if kind == "cnn" else images.flatten(1)
    one, two = fresh(kind, (4, 8, 2)), fresh(kind, (4, 8, 2))
    settings = {**SETTINGS, "steps": 2, "bounds": (0.0, 1.0)}
    train(one, DataLoader(Images(images), batch_size=9), **settings)  # type: ignore[arg-type]
    train(
        two,
        DataLoader(TensorDataset(rows, torch.arange(9) % 3), batch_size=9),
        **settings,  # type: ignore[arg-type]
    )
    assert all(map(torch.equal, one.parameters(), two.parameters()))


def test_validation_may_be_a_loader() -> None:
    curves = []
    for validation in (loader(7), (X, Y)):
        result = train(
            fresh(),
            X,
            Y,
            **SETTINGS,  # type: ignore[arg-type]
            steps=4,
            batch_size=8,
            validation=validation,
            curve_every=2,
        )
        curves.append(result.curve)
    assert curves[0] == curves[1]
    assert len(curves[0]) == 2


def test_device_moves_network_and_tensors() -> None:
    one, two = fresh(), fresh()
    given = {**SETTINGS, "steps": 3, "batch_size": 4}
    train(one, X, Y, **given, device="cpu", validation=(X, Y))  # type: ignore[arg-type]
    train(two, X, Y, **given)  # type: ignore[arg-type]
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    with pytest.raises(ValueError, match="device=moon: ") as error:
        train(one, X, Y, **given, device="moon")  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.gpu
def test_gpu_gets_network_and_data() -> None:
    net = fresh()
    train(net, X, Y, **SETTINGS, steps=3, batch_size=4, device="cuda")  # type: ignore[arg-type]
    train(net, loader(), **SETTINGS, steps=3)  # type: ignore[arg-type]
    assert net.weights[0].is_cuda


class Wrong(Dataset):  # type: ignore[type-arg]
    """Examples of some other kind."""

    def __init__(self, *examples: object) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> object:
        return self.examples[index]


ROW, NAN = X[0], torch.full((6,), math.nan)
MISTAKES = {
    "no pairs": (Wrong(ROW), {}, r"must yield pairs \(inputs, labels\), got Tensor"),
    "features": (Wrong((ROW[:5], 0)), {}, r"batch 0: x must have shape \(N, 6\), got \(1, 5\)"),
    "label": (Wrong((ROW, 0), (ROW, 9)), {}, "batch 1: labels must lie in 0..2, got 9"),
    "nan": (Wrong((ROW, 0), (NAN, 0)), {}, "batch 1: x must be finite"),
    "bounds": (Wrong((ROW, 0), (ROW + 100, 0)), {"bounds": (-9.0, 9.0)}, "x must lie in the bou"),
    "nothing": (Wrong(), {}, "the DataLoader yields nothing"),
    "size": (Wrong((ROW, 0)), {"batch_size": -1}, "batch_size must be at least 1, got -1"),
    "steps": (Wrong((ROW, 0)), {"steps": 0}, "steps must be at least 1, got 0"),
    "labels too": (Wrong((ROW, 0)), {"y": Y}, "y must be left out"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line(mistake: str) -> None:
    data, options, message = MISTAKES[mistake]
    settings = {**SETTINGS, "steps": 3, "batch_size": 1, **options}
    with pytest.raises(ValueError, match=message) as error:
        train(fresh(), DataLoader(data), **settings)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_checkpoint_of_a_loader_is_refused(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "a.pt", "key", 1.0)
    with pytest.raises(ValueError, match="checkpoint must be None with a DataLoader"):
        train(fresh(), loader(), **SETTINGS, steps=1, checkpoint=file)  # type: ignore[arg-type]


def test_labels_are_needed_beside_inputs() -> None:
    with pytest.raises(ValueError, match="y is missing"):
        train(fresh(), X, **SETTINGS, steps=1, batch_size=2)  # type: ignore[arg-type]


def test_bar_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    train(fresh(), loader(), **SETTINGS, steps=3)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""
    train(fresh(), loader(), **SETTINGS, steps=3, progress=True)  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert said.err.endswith("\n")
    assert f"[{'#' * 30}] 3/3 steps" in said.err
    assert said.out == ""


def test_bar_tells_the_time_that_is_left() -> None:
    clock, stream = iter([0.0, 0.05, 2.0, 2.1, 8.0]), io.StringIO()
    bar = Bar(2000, 1000, stream, lambda: next(clock))
    for step in (1001, 1250, 1251, 2000):
        bar(step)
    first, last = stream.getvalue().strip().split("\r")
    assert first == f"training [{'#' * 19}{'-' * 11}] 1,250/2,000 steps, 2s, 6s left, 125 steps/s"
    assert last == f"training [{'#' * 30}] 2,000/2,000 steps, 8s, 0s left, 125 steps/s"
