"""Small packs, batches and golden files for the tests of `robust`.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robust.networks import MLP
from tests.conftest import SHARED

GOLDEN = SHARED / "golden"


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


def golden_files(kind: str) -> list[Any]:
    """Return the golden files of a kind as test parameters; one skipped where there are none."""
    names = sorted(path.stem for path in GOLDEN.glob(f"{kind}__*.npz"))
    absent = pytest.mark.skip(reason="no golden numbers beside the repository")
    return list(names) or [pytest.param(kind, marks=absent)]


def load_golden(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of one golden file."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


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
