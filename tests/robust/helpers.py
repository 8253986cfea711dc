"""Small packs, batches and golden files for the tests of `robust`.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robust.networks import MLP
from tests.conftest import SHARED

COMMITTED = Path(__file__).resolve().parents[1] / "golden"
# The first folder that has a file gives it: everybody's tests read the committed ones.
FOLDERS = (COMMITTED, SHARED / "golden")


def random_pack(
    sizes: Sequence[int], networks: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64
) -> MLP:
    """Return networks of layer sizes D, H ..., K, each with its own normal parameters."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    return MLP(
        [normal(networks, i, o) * (2.0 / i) ** 0.5 for i, o in pairs],
        [normal(networks, o) * 0.3 for _, o in pairs],
    )


def random_batch(
    batch: int, features: int, classes: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Return normal inputs [B, D] and labels [B]."""
    generator = torch.Generator().manual_seed(seed + 1000)
    x = torch.randn(batch, features, generator=generator, dtype=torch.float64).to(dtype)
    return x, torch.randint(classes, (batch,), generator=generator)


def golden_files(kind: str, folders: Sequence[Path] = FOLDERS) -> list[str]:
    """Return the names of the golden files of a kind, as test parameters.

    Args:
        kind: loss, attack or coap.
        folders: where they are looked for; the first is committed.

    Raises:
        FileNotFoundError: the first folder has none, so that no test is passed over in silence.
    """
    names = {path.stem for folder in folders for path in folder.glob(f"{kind}__*.npz")}
    if not list(folders[0].glob(f"{kind}__*.npz")):
        raise FileNotFoundError(f"{folders[0]}: no {kind}__*.npz, which the repository holds")
    return sorted(names)


def load_golden(name: str, folders: Sequence[Path] = FOLDERS) -> dict[str, np.ndarray]:
    """Return the arrays of one golden file, inputs and weights in float64.

    Committed files hold inputs and weights in float32, where they are exact, and the name of
    another file in place of weights that are the same (`weights_of`).
    """
    path = next(p for folder in folders if (p := folder / f"{name}.npz").is_file())
    with np.load(path, allow_pickle=False) as arrays:
        case = {key: arrays[key] for key in arrays.files}
    if "weights_of" in case:
        other = load_golden(str(case["weights_of"]), folders)
        case |= {key: other[key] for key in other if key == "n_layers" or key[0] in "Wb"}
    return {key: a.astype(np.float64) if a.dtype == np.float32 else a for key, a in case.items()}


def golden_network(case: Mapping[str, np.ndarray], dtype: torch.dtype, copies: int = 1) -> MLP:
    """Return a pack of copies of a golden file's network."""
    layers = range(1, int(case["n_layers"]) + 1)

    def packed(key: str) -> Tensor:
        array = torch.as_tensor(case[key], dtype=dtype)
        return array.expand(copies, *array.shape)

    return MLP.from_arrays(
        [packed(f"W{layer}") for layer in layers], [packed(f"b{layer}") for layer in layers]
    )


def golden_batch(case: Mapping[str, np.ndarray], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return a golden file's inputs and labels."""
    return torch.as_tensor(case["x"], dtype=dtype), torch.as_tensor(case["y"])
