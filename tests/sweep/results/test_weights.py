"""Weights of trained networks: written, found by headers, read back, damaged, pruned."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from robust import networks
from robust.networks import CNN, MLP
from sweep.errors import DamagedError, MissingWeightsError
from sweep.results import tensor_file, weights
from sweep.results.store import Folder


def pack(trials: int, seed: int = 0, kind: str = "mlp-1x3") -> MLP | CNN:
    """Networks that differ from each other in every parameter."""
    shape = (4, 4, 1) if kind == "cnn" else None
    net = networks.build(kind, 16, 2, trials, seed, shape)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape))
    return net


def same(a: MLP | CNN, b: MLP | CNN) -> bool:
    return all(map(torch.equal, a.parameters(), b.parameters()))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, "first")


@pytest.mark.parametrize("kind", ["mlp-1x3", "mlp-2x5", "cnn"])
def test_networks_are_read_as_they_were_written(kind: str, folder: Folder) -> None:
    net = pack(3, kind=kind)
    path = weights.write(folder, "pack", net, ["a", "b", "c"], {"note": 'a "sha256":"x"'})
    assert path == folder.path / "networks" / "pack.safetensors"
    assert same(weights.load(folder.root, ["a", "b", "c"]), net)
    assert type(weights.load(folder.root, ["b"])) is type(net)
    assert networks.read_metadata(path)["note"] == 'a "sha256":"x"'
    assert same(networks.load(path), net)  # a plain file of networks
    weights.check(path)


def test_networks_come_in_the_order_asked_for_from_several_files(folder: Folder) -> None:
    first, second = pack(2, 1), pack(3, 2)
    weights.write(folder, "one", first, ["a", "b"])
    weights.write(Folder(folder.root, "other"), "two", second, ["c", "d", "e"])
    index = weights.find(folder.root)
    assert set(index) == set("abcde")
    assert index["d"] == weights.Location(
        folder.root / "other" / "networks" / "two.safetensors", 1
    )
    loaded = weights.load(index, ["e", "a", "c", "b"])
    x = torch.randn(5, 16)
    wanted = torch.stack([second(x)[2], first(x)[0], second(x)[0], first(x)[1]])
    torch.testing.assert_close(loaded(x), wanted)


def test_checksum_is_that_of_the_file_with_zeros_in_its_place(folder: Folder) -> None:
    path = weights.write(folder, "pack", pack(1), ["a"])
    whole = path.read_bytes()
    with safe_open(path, framework="np") as file:
        digest = file.metadata()["sha256"]
    assert whole.count(digest.encode()) == 1
    blank = whole.replace(digest.encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == digest


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    texts = {f"key {i}": 'ä "\n\x01\x7f' * i for i in range(9)}  # in an order of chance otherwise
    files = [
        weights.write(Folder(tmp_path, str(i)), "pack", pack_of_ones(), ["a", "b"], texts)
        for i in range(4)
    ]
    assert len({path.read_bytes() for path in files}) == 1
    found = networks.read_metadata(files[0])
    assert {key: found[key] for key in texts} == texts
    assert same(weights.load(tmp_path, ["a", "b"]), pack_of_ones())


def pack_of_ones() -> MLP | CNN:
    net = networks.build("mlp-2x5", 16, 2, 2, 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
    return net


def test_every_flipped_bit_is_found(folder: Folder) -> None:
    path = weights.write(folder, "pack", pack(1), ["a"])
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    assert len(whole) < 2500
    for place in range(len(whole)):
        bit = 1 << (place % 8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        part = "length" if place < 8 else "header" if place < 8 + length else "tensors"
        assert tensor_file.damage(path) is not None, f"byte {place}, of the {part}"
    for size in (0, 1, 8, 8 + length, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert tensor_file.damage(path) is not None
    path.write_bytes(whole + b"\0")
    assert tensor_file.damage(path) is not None
    path.write_bytes(whole)
    assert tensor_file.damage(path) is None


@pytest.mark.parametrize("place", [3, 20, -5])
def test_damaged_file_is_named_and_set_aside_and_counts_as_missing(
    place: int, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    weights.write(folder, "sound", pack(1, 1), ["a"])
    path = weights.write(folder, "broken", pack(2, 2), ["b", "c"])
    index = weights.find(folder.root)
    whole = bytearray(path.read_bytes())
    whole[place] ^= 64
    path.write_bytes(whole)
    with pytest.raises(MissingWeightsError) as error:
        weights.load(index, ["a", "c"])
    assert error.value.trial_ids == ("c",)
    said = capsys.readouterr().err
    assert "broken.safetensors: is damaged" in said
    assert said.count("\n") == 1
    assert not path.exists()
    assert path.with_name("broken.safetensors.damaged").read_bytes() == whole
    assert set(weights.find(folder.root)) == {"a"}


def test_unreadable_header_is_left_out_and_named(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights.write(folder, "pack", pack(1), ["a"])
    for content in (b"", b"x" * 40, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2**60)):
        path.write_bytes(content)
        with pytest.raises(DamagedError):
            weights.trials_of(path)
    assert weights.find(folder.root) == {}
    assert "pack.safetensors: is damaged" in capsys.readouterr().err


def test_missing_weights_are_named(folder: Folder) -> None:
    path = weights.write(folder, "pack", pack(2), ["a", "b"])
    index = weights.find(folder.root)
    with pytest.raises(MissingWeightsError, match="kept of trial x and 1 more"):
        weights.load(index, ["x", "a", "y"])
    path.unlink()
    with pytest.raises(MissingWeightsError, match="kept of trial a$"):
        weights.load(index, ["a"])
    weights.write(folder, "pack", pack(1), ["b"])  # replaced since it was found
    with pytest.raises(MissingWeightsError, match="kept of trial a$"):
        weights.load(index, ["b", "a"])


def test_networks_of_two_architectures_make_no_pack(folder: Folder) -> None:
    weights.write(folder, "one", pack(1), ["a"])
    weights.write(folder, "two", pack(1, kind="mlp-1x4"), ["b"])
    with pytest.raises(ValueError, match="only networks of one architecture make a pack"):
        weights.load(folder.root, ["a", "b"])


def test_number_of_trials_is_that_of_networks(folder: Folder) -> None:
    with pytest.raises(ValueError, match="1 trial ids for 2 networks"):
        weights.write(folder, "pack", pack(2), ["a"])
    assert not weights.path_of(folder, "pack").exists()


def test_failed_write_leaves_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_file, "seal", full)
    with pytest.raises(OSError, match="No space"):
        weights.write(folder, "pack", pack(1), ["a"])
    assert list((folder.path / "networks").iterdir()) == []


def test_pruning_keeps_each_wanted_network_once(folder: Folder) -> None:
    first, second = pack(3, 1), pack(2, 2)
    path = weights.write(folder, "one", first, ["a", "b", "c"], {"note": "kept"})
    weights.write(folder, "two", second, ["b", "d"])
    gone = weights.write(folder, "zero", pack(1), ["e"])
    assert weights.prune(folder, {"a", "b", "d"}) == 3
    assert not gone.exists()
    assert weights.trials_of(path) == ["a", "b"]
    assert weights.read_metadata(path)["note"] == "kept"
    assert weights.trials_of(weights.path_of(folder, "two")) == ["d"]
    assert same(weights.load(folder.root, ["b", "a"]), first.subset([1, 0]))
    assert same(weights.load(folder.root, ["d"]), second.subset([1]))
    before = {p: p.stat().st_mtime_ns for p in path.parent.iterdir()}
    assert weights.prune(folder, {"a", "b", "d"}) == 0
    assert {p: p.stat().st_mtime_ns for p in path.parent.iterdir()} == before
    assert weights.prune(folder, ()) == 3
    assert list(path.parent.iterdir()) == []


def test_pruning_removes_what_is_half_written(folder: Folder) -> None:
    path = weights.write(folder, "pack", pack(1), ["a"])
    for name in (".tmpx5Yz", f".tmp-0123-{path.name}"):
        path.with_name(name).write_bytes(b"half")
    weights.prune(folder, {"a"})
    assert list(path.parent.iterdir()) == [path]


def test_pruning_sets_a_damaged_file_aside(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights.write(folder, "pack", pack(2), ["a", "b"])
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    weights.prune(folder, {"a"})
    assert "is damaged" in capsys.readouterr().err
    assert [p.name for p in path.parent.iterdir()] == ["pack.safetensors.damaged"]
