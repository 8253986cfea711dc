"""A network as an application uses it: raw features in, classes and probabilities out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from robust import networks
from robust.networks import MLP
from robust.predictor import PREPROCESSING, Predictor, standalone
from robust.preprocessing import Preprocessing

RULE = Preprocessing(
    "affine",
    (4,),
    ("setosa", "versicolor", "virginica"),
    ("a", "b", "c", "d"),
    centre=(5.0, 3.0, 4.0, 1.0),
    deviation=(0.8, 0.4, 1.7, 0.0),
)


def pack(count: int = 2) -> MLP:
    net = networks.build("mlp-2x6", 4, 3, count, seed=1)
    assert isinstance(net, MLP)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
            )
    return net


RAW = np.random.default_rng(0).normal(4, 2, (9, 4))


def by_hand(net: MLP, index: int, raw: np.ndarray) -> np.ndarray:
    """The logits in plain numpy."""
    h = np.column_stack([(raw[:, :3] - [5, 3, 4]) / [0.8, 0.4, 1.7], np.zeros(len(raw))])
    for layer, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        h = np.maximum(h, 0) if layer else h
        h = h @ w[index].detach().numpy() + b[index].detach().numpy()
    return h


def test_predictions_are_those_of_the_scaled_network() -> None:
    net = pack()
    for index in (0, 1):
        predictor = Predictor(net, RULE, index=index)
        logits = by_hand(net, index, RAW)
        np.testing.assert_allclose(predictor.decision_function(RAW), logits, rtol=1e-4, atol=1e-5)
        probabilities = predictor.predict_proba(RAW)
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(probabilities, exp / exp.sum(axis=1, keepdims=True), atol=1e-5)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        classes = np.array(RULE.classes)[logits.argmax(axis=1)]
        assert predictor.predict(RAW).tolist() == classes.tolist()
        assert predictor.score(RAW, classes) == 1.0
        torch.testing.assert_close(
            net(predictor.inputs(RAW))[index].detach().numpy(),
            predictor.decision_function(RAW),
            rtol=1e-5,
            atol=1e-5,
        )


def test_columns_of_a_frame_are_taken_by_name() -> None:
    predictor = Predictor(pack(), RULE)
    frame = pd.DataFrame(RAW, columns=list("abcd"))
    shuffled = frame.assign(other="text")[["d", "other", "a", "c", "b"]]
    wanted = predictor.decision_function(RAW)
    np.testing.assert_array_equal(predictor.decision_function(frame), wanted)
    np.testing.assert_array_equal(predictor.decision_function(shuffled), wanted)
    with pytest.raises(ValueError, match="no column 'b'; columns: a, c, d"):
        predictor.predict(frame[["a", "c", "d"]])


def test_missing_value_is_the_training_mean_and_infinity_is_refused() -> None:
    predictor = Predictor(pack(), RULE)
    raw = RAW.copy()
    raw[0, 1] = math.nan
    filled = raw.copy()
    filled[0, 1] = 3.0
    np.testing.assert_array_equal(
        predictor.decision_function(raw), predictor.decision_function(filled)
    )
    raw[0, 1] = math.inf
    with pytest.raises(ValueError, match="finite or NaN in torch.float64, got inf in column 1"):
        predictor.predict(raw)
    with pytest.raises(ValueError, match="must be finite in torch.float32, got nan"):
        Predictor(pack()).predict([[1.0, math.nan, 0.0, 0.0]])
    with pytest.raises(ValueError, match=r"shape \(N, 4\), got \(9, 3\)"):
        predictor.predict(RAW[:, :3])


def test_without_scaling_features_are_inputs_and_classes_are_numbers() -> None:
    net = pack()
    predictor = Predictor(net, index=1)
    x = torch.tensor(RAW, dtype=torch.float32)
    torch.testing.assert_close(
        predictor.decision_function(RAW), net(x)[1].detach().numpy(), rtol=1e-5, atol=1e-5
    )
    assert set(predictor.predict(RAW).tolist()) <= {0, 1, 2}
    assert Predictor(net.double(), index=1).decision_function(RAW).dtype == np.float64


def test_no_row_has_no_prediction() -> None:
    assert Predictor(pack(), RULE).predict(np.empty((0, 4))).tolist() == []


def test_file_with_the_scaling_is_a_predictor(tmp_path: Path) -> None:
    net = pack()
    networks.save(net, tmp_path / "net", {PREPROCESSING: RULE.to_text()})
    wanted = Predictor(net, RULE, index=1).decision_function(RAW)
    np.testing.assert_array_equal(
        Predictor.load(tmp_path / "net", 1).decision_function(RAW), wanted
    )


def test_scaling_of_other_features_or_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="of 5 features, the network has 4"):
        standalone(pack(), 0, Preprocessing("affine", (5,)))
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        standalone(pack(), 0, Preprocessing("affine", (4,), ("a", "b")))
    with pytest.raises(ValueError, match=r"index must be in 0..1, got 2"):
        Predictor(pack(), RULE, index=2)


def test_images_are_flat_rows(tmp_path: Path) -> None:
    net = networks.build("cnn", 32, 3, 1, 0, (4, 4, 2))
    rule = Preprocessing("affine", (4, 4, 2), unit=(255.0,), bounds=(0.0, 1.0))
    raw = np.random.default_rng(1).integers(0, 256, (5, 32))
    wanted = net(torch.tensor(raw / 255.0, dtype=torch.float32))[0].detach().numpy()
    np.testing.assert_allclose(
        Predictor(net, rule).decision_function(raw), wanted, rtol=1e-5, atol=1e-6
    )


class Knot(MLP):
    """Networks that are no chain of layers."""

    def to_sequential(self, index: int) -> torch.nn.Sequential:
        """Refuse."""
        raise ValueError("no chain")


def test_network_that_is_no_chain_is_taken_whole() -> None:
    net = pack()
    knot = Knot(list(net.weights), list(net.biases))
    wanted = Predictor(net, RULE, index=1).decision_function(RAW)
    found = Predictor(knot, RULE, index=1).decision_function(RAW)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
