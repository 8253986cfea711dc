"""Accuracies are a tensor in every respect, and print as a table."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from robust import networks
from robust.evaluate import evaluate, survivors
from robust.evaluation.accuracies import Accuracies

VALUES = torch.tensor([[1.0, 0.25, 0.0], [0.5, 0.5, 0.125]], dtype=torch.float64)
TABLE = """\
accuracy under pgd-linf, 8 examples
radius  network 0  network 1
     0     1.0000     0.5000
   0.1     0.2500     0.5000
 1e-05     0.0000     0.1250"""


def made() -> Accuracies:
    return Accuracies.of(VALUES.clone(), "pgd-linf", [0.0, 0.1, 1e-5], 8)


def test_printed_they_are_a_table() -> None:
    assert str(made()) == repr(made()) == f"{made()}" == TABLE
    certified = Accuracies.of(VALUES, "certified-l1", [0.0, 0.1, 0.2], 8)
    assert str(certified).splitlines()[0] == "accuracy certified-l1, 8 examples"


def test_many_networks_have_a_line_each() -> None:
    many = Accuracies.of(VALUES[:1].repeat(20, 1), "pgd-l1", [0.0, 0.5, 1.0], 8)
    _, header, *lines = str(many).splitlines()
    assert header.split() == ["radius", "0", "0.5", "1"]
    assert lines[19].split() == ["network", "19", "1.0000", "0.2500", "0.0000"]
    assert len(lines) == 20


def test_what_is_computed_of_them_is_a_plain_tensor() -> None:
    own = made()
    for found, wanted in (
        (own + 1, VALUES + 1),
        (own[0], VALUES[0]),
        (own.mean(dim=1), VALUES.mean(dim=1)),
        (torch.stack([own, own]), torch.stack([VALUES, VALUES])),
        (torch.maximum(own, VALUES.flip(0)), torch.maximum(VALUES, VALUES.flip(0))),
        (VALUES - own, torch.zeros_like(VALUES)),
        (own.float(), VALUES.float()),
    ):
        assert type(found) is torch.Tensor
        assert torch.equal(found, wanted)
    assert torch.equal(own, VALUES)
    torch.testing.assert_close(own, VALUES)
    assert own.tolist() == VALUES.tolist()
    assert (own <= 1).all()
    np.testing.assert_array_equal(np.asarray(own), VALUES.numpy())
    assert [type(row) for row in own] == [torch.Tensor] * 2


COPIES = [copy.copy, copy.deepcopy, lambda own: pickle.loads(pickle.dumps(own))]


@pytest.mark.parametrize("again", COPIES)
def test_copies_are_tables_too(again: object) -> None:
    found = again(made())  # type: ignore[operator]
    assert str(found) == TABLE
    assert torch.equal(found, VALUES)


def test_rows_are_those_of_a_data_frame() -> None:
    rows = made().rows()
    assert rows[4] == {"network": 1, "attack": "pgd-linf", "radius": 0.1, "accuracy": 0.5}
    assert len(rows) == 6


def test_evaluation_is_the_share_of_survivors_from_arrays_and_loaders() -> None:
    net = networks.build("mlp-1x8", 5, 3, 2, 0)
    x, y = torch.randn(11, 5), torch.arange(11) % 3
    radii = [0.0, 0.2]
    found = evaluate(net, x, y, attack="fgsm-linf", radii=radii, device="cpu")
    kept = survivors(net, x, y, attack="fgsm-linf", radii=radii)
    assert torch.equal(found, kept.double().mean(dim=2))
    assert (found.attack, found.radii, found.count) == ("fgsm-linf", radii, 11)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    assert torch.equal(evaluate(net, loader, attack="fgsm-linf", radii=radii), found)
    assert evaluate(net, x, y, attack="pgd-l2", radii=torch.tensor([0.5])).radii == [0.5]
    with pytest.raises(ValueError, match="y must be left out"):
        evaluate(net, loader, y, attack="fgsm-linf", radii=radii)
    with pytest.raises(ValueError, match="y is missing"):
        evaluate(net, x, attack="fgsm-linf", radii=radii)
