"""Packs in files: safetensors, with the architecture in the header. No pickle.

    kind                what `NetworkKind` the pack is of (metadata)
    input_shape, graph  the images of a CNN; the layers of any other architecture (metadata)
    weights.0, biases.0 of the first layer that has parameters, [P, ...], and so on

Needs the package safetensors, which is imported when a file is written or read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from robust.networks.base import KINDS, AnyPack, kind_of

FORMAT = "robust-sweep networks 1"
KEYS = ("format", "kind", "networks", "input_shape", "graph")  # of the header, which are ours
NOTHING: Mapping[str, str] = MappingProxyType({})


def save(net: AnyPack, path: str | Path, metadata: Mapping[str, str] = NOTHING) -> None:
    """Write a pack to a file, which is there whole or not at all.

    Args:
        net: P networks.
        path: of the file; replaced if it is there.
        metadata: further text for the header, such as trial ids.

    Raises:
        ValueError: the pack is of a kind that cannot be kept, or the metadata use our own keys.
        OSError: the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(net, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(net: AnyPack, path: Path, metadata: Mapping[str, str] = NOTHING) -> None:
    """Write a pack to a file straight away; arguments and errors as for `save`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    header = {"format": FORMAT, "kind": kind_of(net).kind, "networks": str(net.num_networks)}
    header |= net.header()
    taken = sorted(set(metadata) & set(KEYS))
    if taken:
        raise ValueError(f"metadata must not have the key {taken[0]!r}, which the format uses")
    tensors = {
        f"{name}.{layer}": tensor.detach().cpu().contiguous()
        for name, group in (("weights", net.weights), ("biases", net.biases))
        for layer, tensor in enumerate(group)
    }
    try:
        save_file(tensors, path, metadata={**metadata, **header})
    except SafetensorError as error:  # what the operating system said is in its text
        reason = " ".join(str(error).split())
        raise OSError(f"{path}: cannot be written: {reason}") from None


def load(path: str | Path) -> AnyPack:
    """Read a pack that `save` wrote, in its precision, on the CPU.

    Raises:
        ValueError: the file is missing, damaged, or holds no pack; the message names it.
    """
    header, tensors = _read(Path(path))
    if header.get("format") != FORMAT:
        found = header.get("format", "none")
        raise ValueError(f"{path}: holds no networks of this project (its format is {found})")
    try:
        weights, biases = _layers(tensors, "weights"), _layers(tensors, "biases")
        pack: AnyPack = KINDS.get(header["kind"]).pack.from_header(header, weights, biases)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its networks do not fit together: {error}") from None
    return pack


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the header's text without reading the parameters; errors as for `load`."""
    return _open(Path(path), tensors=False)[0]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    return _open(path, tensors=True)


def _open(path: Path, *, tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if tensors else ()
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as safetensors: {reason}") from None


def _layers(tensors: Mapping[str, Tensor], name: str) -> list[Tensor]:
    count = sum(key.startswith(f"{name}.") for key in tensors)
    return [tensors[f"{name}.{layer}"] for layer in range(count)]
