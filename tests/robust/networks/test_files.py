"""Packs in safetensors files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from robust import networks
from robust.networks import CNN, MLP

PACKS = {
    "mlp": networks.build("mlp-2x7", 5, 3, 3, seed=2),
    "mlp64": networks.build("mlp-1x4", 2, 2, 1, seed=2).double(),
    "cnn": networks.build("cnn", 32, 3, 2, seed=2, input_shape=(4, 4, 2)),
    "resmlp": networks.build("resmlp-1x4", 3, 2, 2, seed=2),
    "lenet": networks.build("lenet", 256, 3, 1, seed=2, input_shape=(16, 16, 1)),
}


@pytest.mark.parametrize("name", PACKS)
def test_pack_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    net, path = PACKS[name], tmp_path / "net.safetensors"
    networks.save(net, path, {"trials": "a b"})
    again = networks.load(path)
    assert type(again) is type(net)
    assert all(map(torch.equal, again.parameters(), net.parameters()))
    x = torch.randn(4, net.num_features, dtype=next(net.parameters()).dtype)
    assert torch.equal(again(x), net(x))
    assert networks.read_metadata(path)["trials"] == "a b"
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_networks_that_diverged_are_kept(tmp_path: Path) -> None:
    net = networks.build("mlp-1x4", 2, 2, 2, seed=2)
    with torch.no_grad():
        net.weights[0][1] = float("nan")
    networks.save(net, tmp_path / "net")
    kept = networks.load(tmp_path / "net")
    assert torch.isnan(kept.weights[0][1]).all()
    assert torch.equal(kept.weights[0][0], net.weights[0][0])


def test_file_is_plain_safetensors(tmp_path: Path) -> None:
    net = PACKS["mlp"]
    networks.save(net, tmp_path / "net")
    assert torch.equal(load_file(tmp_path / "net")["weights.1"], net.weights[1])


def test_failed_write_leaves_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net"
    networks.save(PACKS["mlp"], path)
    before = path.read_bytes()

    def full(*given: object, **options: object) -> None:
        Path(str(given[1])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        networks.save(PACKS["cnn"], path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["net"]


def test_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be written: ") as error:
        networks.save(PACKS["mlp"], tmp_path / "absent" / "net")
    assert "\n" not in str(error.value)


def test_every_cut_file_is_refused_by_name(tmp_path: Path) -> None:
    networks.save(PACKS["mlp64"], tmp_path / "whole")
    whole, path = (tmp_path / "whole").read_bytes(), tmp_path / "cut"
    for size in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cut: cannot be read as safetensors") as error:
            networks.load(path)
        assert "\n" not in str(error.value)


def test_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    save_file({"x": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="theirs: holds no networks of this project"):
        networks.load(path)
    with pytest.raises(ValueError, match="there is no such file"):
        networks.load(tmp_path / "absent")


@pytest.mark.parametrize("change", ["kind", "layers", "shapes", "image", "graph", "text"])
def test_header_that_contradicts_the_tensors_is_refused(change: str, tmp_path: Path) -> None:
    net = PACKS[{"image": "cnn", "graph": "resmlp", "text": "lenet"}.get(change, "mlp")]
    path = tmp_path / "net"
    networks.save(net, path)
    header, tensors = networks.read_metadata(path), load_file(path)
    if change == "kind":
        header["kind"] = "transformer"
    elif change == "image":
        header["input_shape"] = "[4, 4]"
    elif change == "graph":
        header["graph"] = header["graph"].replace("relu", "tanh", 1)
    elif change == "text":
        header["graph"] = header["graph"][:-1]
    elif change == "layers":
        del tensors["biases.1"]
    else:
        tensors["weights.1"] = tensors["weights.1"][:, :-1].contiguous()
    save_file(tensors, path, metadata=header)
    with pytest.raises(ValueError, match="net: ") as error:
        networks.load(path)
    assert "\n" not in str(error.value)


def test_metadata_do_not_replace_the_formats_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'kind'"):
        networks.save(PACKS["mlp"], tmp_path / "net", {"kind": "mine"})
    assert list(tmp_path.iterdir()) == []


def test_loaded_classes_are_those_of_the_project() -> None:
    own = {networks.kind_of(net).pack for net in PACKS.values()}
    assert {type(net) for net in PACKS.values()} == own >= {MLP, CNN}
