"""One network as an application uses it: raw features in, classes and probabilities out.

Legend: P networks in a pack, N rows, D input features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust import networks
from robust.checks import check_network, check_rows
from robust.frames import Frame, features_of
from robust.networks import AnyPack
from robust.networks.modules import check_index
from robust.preprocessing import Preprocessing, unscaled

Array = NDArray[Any]
PREPROCESSING = "preprocessing"  # the key of a file's header
_ROWS = 4096  # at once


class Images(nn.Module):
    """Flat rows, [N, H W C], as images, [N, C, H, W]."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return the images."""
        return x.reshape(-1, *self.shape).permute(0, 3, 1, 2)


class Alone(nn.Module):
    """A pack of one as a model: [N, D] to [N, K]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.net(x)[0]
        return logits


def standalone(
    net: AnyPack, index: int = 0, preprocessing: Preprocessing | None = None
) -> nn.Sequential:
    """Return one network of a pack as a model of torch.nn that takes raw features.

    Its first layer is the scaling; a CNN's second one makes images of flat rows.

    Args:
        net: P networks.
        index: which of them, 0 to P - 1.
        preprocessing: of the inputs it was trained on; None: they are the raw features.

    Returns:
        A model in evaluation mode: raw features, [N, D], to logits, [N, K].

    Raises:
        ValueError: there is no such network, or the preprocessing is of other features.
    """
    check_network(net)
    check_index(index, net.num_networks)
    rule = unscaled(net.num_features) if preprocessing is None else preprocessing
    if rule.num_features != net.num_features:
        raise ValueError(
            f"the preprocessing is of {rule.num_features} features, the network has "
            f"{net.num_features}"
        )
    if rule.classes and len(rule.classes) != net.num_classes:
        raise ValueError(f"{len(rule.classes)} names for {net.num_classes} classes")
    parameter = next(net.parameters())
    first = [] if preprocessing is None else [rule.layer(parameter.dtype).to(parameter.device)]
    return nn.Sequential(*first, *_layers(net, index)).eval()


def _layers(net: AnyPack, index: int) -> list[nn.Module]:
    """The layers of one network behind the scaling; itself where it is no chain of layers."""
    try:
        chain = net.to_sequential(index)
    except ValueError:
        return [Alone(net.subset([index]))]
    shape = getattr(net, "input_shape", None)
    images = [Images(shape)] if shape is not None and len(shape) == 3 else []
    return [*images, *chain]


class Predictor:
    """A network with the scaling of its features, in the way of scikit-learn's classifiers.

    Args:
        net: a pack.
        preprocessing: of the inputs it was trained on; None: they are the raw features.
        index: which network of the pack.

    Attributes:
        classes_: the K labels, in the order of the columns of `predict_proba`.
        feature_names_in_: the D names; None where features have none.
        n_features_in_: D.

    Raises:
        ValueError: there is no such network, or the preprocessing is of other features.
    """

    def __init__(
        self, net: AnyPack, preprocessing: Preprocessing | None = None, *, index: int = 0
    ) -> None:
        self._model = standalone(net, index, preprocessing)
        self.net = net.subset([index])
        self.preprocessing = preprocessing
        self._scale = next(self._model.children()) if preprocessing is not None else nn.Identity()
        rule = unscaled(net.num_features) if preprocessing is None else preprocessing
        self.classes_: Array = np.array(rule.classes or range(net.num_classes))
        self.feature_names_in_: Array | None = np.array(rule.features) if rule.features else None
        self.n_features_in_ = net.num_features

    @classmethod
    def load(cls, path: str | Path, index: int = 0) -> Predictor:
        """Return a network of a file that `networks.save` or `robust-sweep networks export` wrote.

        Raises:
            ValueError: the file is missing, damaged or holds no such network.
        """
        text = networks.read_metadata(path).get(PREPROCESSING)
        rule = None if text is None else Preprocessing.from_text(text)
        return cls(networks.load(path), rule, index=index)

    def inputs(self, raw: Any) -> Tensor:
        """Return the network's inputs, [N, D], of raw features.

        Args:
            raw: [N, D] numbers as an array, lists or a tensor; or a data frame, whose columns are
                taken by name where features have names, categories as they were in training. NaN
                where a value is missing.

        Raises:
            ValueError: another shape, no numbers, infinite values, a column that is not there, a
                category that no row had in training.
        """
        found: Tensor = self._scale(self._raw(raw))
        return found

    @torch.no_grad()
    def decision_function(self, raw: Any) -> Array:
        """Return the logits, [N, K]; arguments and errors as for `inputs`."""
        parts = torch.split(self._raw(raw), _ROWS)
        logits: Array = torch.cat([self._model(part) for part in parts]).cpu().numpy()
        return logits

    def predict_proba(self, raw: Any) -> Array:
        """Return the softmax of the logits, [N, K]; arguments and errors as for `inputs`."""
        logits = torch.from_numpy(self.decision_function(raw))
        probabilities: Array = torch.softmax(logits.double(), dim=1).numpy()
        return probabilities

    def predict(self, raw: Any) -> Array:
        """Return each row's class, [N], of `classes_`; arguments and errors as for `inputs`."""
        chosen: Array = self.classes_[self.decision_function(raw).argmax(axis=1)]
        return chosen

    def score(self, raw: Any, labels: Any) -> float:
        """Return the share of rows whose class is predicted; errors as for `inputs`."""
        return float((self.predict(raw) == np.asarray(labels).reshape(-1)).mean())

    def _features(self, frame: Frame) -> Array:
        """The features of a data frame: all columns in order where features have no names."""
        if self.preprocessing is None or not self.preprocessing.features:
            return features_of(frame, [str(column) for column in frame.columns])
        return features_of(frame, self.preprocessing.features, self.preprocessing.categories)

    def _raw(self, raw: Any) -> Tensor:
        if hasattr(raw, "columns"):
            raw = self._features(raw)
        own = next(self.net.parameters())
        missing = self.preprocessing is not None and self.preprocessing.allows_missing
        # The scaling is computed in float64; without one the network takes what it is given.
        dtype = own.dtype if self.preprocessing is None else torch.float64
        return check_rows(raw, self.n_features_in_, dtype, missing=missing).to(own.device)
