"""Networks in files that other programs open."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from robust import attacks, certify, networks
from robust.export import FORMATS, export, read_program
from robust.networks import CNN, MLP
from robust.predictor import Predictor
from robust.preprocessing import Preprocessing

RNG = np.random.default_rng(3)
TABLE = Preprocessing(
    "affine",
    (5,),
    ("low", "high"),
    tuple("abcde"),
    unit=(100.0,) * 5,
    centre=(0.1, 0.2, 0.3, 0.4, 0.5),
    deviation=(0.05, 0.1, 0.0, 0.2, 0.3),
)
IMAGES = Preprocessing("per-image", (4, 8, 2))
CASES = {
    "mlp": ("mlp-2x7", TABLE, RNG.normal(30, 20, (7, 5))),
    "cnn": ("cnn", IMAGES, RNG.integers(0, 256, (7, 64)).astype(np.float64)),
    "plain": ("mlp-1x4", None, RNG.normal(0, 1, (7, 5))),
}


def pack(kind: str, rule: Preprocessing | None) -> MLP | CNN:
    shape = (5,) if rule is None else rule.shape
    net = networks.build(kind, int(np.prod(shape)), 2, 2, 0, shape)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return net


@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_gives_the_logits_of_raw_features(case: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    kind, rule, raw = CASES[case]
    net, path = pack(kind, rule), tmp_path / "net.onnx"
    export(net, path, "onnx", index=1, preprocessing=rule, metadata={"trial_id": "abc"})
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (raw, raw[:1]):
        (found,) = session.run(["logits"], {"features": rows.astype(np.float32)})
        wanted = Predictor(net, rule, index=1).decision_function(rows.astype(np.float32))
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    texts = session.get_modelmeta().custom_metadata_map
    assert texts["trial_id"] == "abc"
    if case == "mlp":
        assert json.loads(texts["classes"]) == ["low", "high"]
        assert json.loads(texts["features"]) == list("abcde")
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("case", CASES)
def test_torchs_program_gives_the_logits_of_raw_features(case: str, tmp_path: Path) -> None:
    kind, rule, raw = CASES[case]
    net, path = pack(kind, rule), tmp_path / "net.pt2"
    export(net, path, "torch", index=1, preprocessing=rule, metadata={"trial_id": "abc"})
    model, texts = read_program(path)
    rows = torch.tensor(raw, dtype=torch.float32)
    wanted = Predictor(net, rule, index=1).decision_function(rows)
    np.testing.assert_allclose(model(rows).detach().numpy(), wanted, rtol=1e-6, atol=1e-6)
    assert texts["trial_id"] == "abc"
    assert (rule is not None) == ("preprocessing" in texts)


def test_our_own_file_holds_the_scaling(tmp_path: Path) -> None:
    kind, rule, raw = CASES["mlp"]
    net, path = pack(kind, rule), tmp_path / "net.safetensors"
    export(net, path, index=1, preprocessing=rule)
    assert networks.load(path).num_networks == 1
    wanted = Predictor(net, rule, index=1).decision_function(raw)
    np.testing.assert_array_equal(Predictor.load(path).decision_function(raw), wanted)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = pack("mlp-1x4", None)
    with pytest.raises(ValueError, match="unknown format 'onyx'.*known: torch, onnx, safetensors"):
        export(net, tmp_path / "net", "onyx")
    with pytest.raises(ValueError, match=r"index must be in 0\.\.1, got 2"):
        export(net, tmp_path / "net", index=2)
    monkeypatch.setattr("robust.export.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"onnx is not installed; add it with: pip install"):
        export(net, tmp_path / "net", "onnx")
    assert list(tmp_path.iterdir()) == []
    assert set(FORMATS) == {"torch", "onnx", "safetensors"}


def elsewhere(kind: str) -> tuple[torch.nn.Sequential, torch.Tensor, torch.Tensor]:
    """A model as one has it from elsewhere, images for it, and the same as rows."""
    torch.manual_seed(0)
    if kind == "dense":
        images = torch.rand(6, 1, 28, 28)
        sides = (784, 100, 100, 10)
        layers: list[torch.nn.Module] = [torch.nn.Flatten()]
        for rows, columns in itertools.pairwise(sides):
            layers += [torch.nn.Linear(rows, columns), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1]).eval(), images, images.flatten(1)
    images = torch.rand(6, 1, 12, 12)
    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 6, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Conv2d(6, 16, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.Linear(144, 84), torch.nn.ReLU(), torch.nn.Linear(84, 10)),
    )
    return model.eval(), images, images.permute(0, 2, 3, 1).flatten(1)


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_model_from_elsewhere_goes_the_whole_way(kind: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, images, x = elsewhere(kind)
    wanted = model(images).detach()
    net = networks.from_sequential(model)
    torch.testing.assert_close(net(x)[0].detach(), wanted, rtol=1e-6, atol=1e-6)
    y = wanted.argmax(dim=1)
    x_adv = attacks.get("pgd-linf")(net, x, y, 0.02, bounds=(0.0, 1.0))
    assert float((x_adv - x).abs().max()) <= 0.02 + 1e-6
    assert certify.certified(net, x[:2], y[:2], 1e-4).all()
    networks.save(net, tmp_path / "net.safetensors")
    again = networks.load(tmp_path / "net.safetensors")
    assert all(map(torch.equal, again.parameters(), net.parameters()))
    torch.testing.assert_close(again(x), net(x), rtol=1e-6, atol=1e-6)
    export(again, tmp_path / "net.onnx", "onnx")
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"features": x.numpy()})
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-6, atol=1e-6)
