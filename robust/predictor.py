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
from robust.checks import check_rows
from robust.networks import CNN, MLP
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


def standalone(
    net: MLP | CNN, index: int = 0, preprocessing: Preprocessing | None = None
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
    model = net.to_sequential(index)
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
    shape = getattr(net, "input_shape", None)
    images = [Images(shape)] if shape is not None and len(shape) == 3 else []
    return nn.Sequential(*first, *images, *model).eval()


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
        self, net: MLP | CNN, preprocessing: Preprocessing | None = None, *, index: int = 0
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
            raw: [N, D] numbers as an array, lists, a tensor or a data frame, whose columns are
                taken by name where features have names; NaN where a value is missing.

        Raises:
            ValueError: another shape, no numbers, infinite values, a column that is not there.
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

    def _raw(self, raw: Any) -> Tensor:
        names = None if self.feature_names_in_ is None else self.feature_names_in_.tolist()
        if hasattr(raw, "columns") and names is not None:
            raw = _by_name(raw, names)
        own = next(self.net.parameters())
        missing = self.preprocessing is not None and self.preprocessing.allows_missing
        # The scaling is computed in float64; without one the network takes what it is given.
        dtype = own.dtype if self.preprocessing is None else torch.float64
        return check_rows(raw, self.n_features_in_, dtype, missing=missing).to(own.device)


def _by_name(frame: Any, names: Sequence[str]) -> Array:
    """The columns of a data frame in the order of the features."""
    columns = {str(column): column for column in frame.columns}
    absent = [name for name in names if name not in columns]
    if absent:
        raise ValueError(f"no column {absent[0]!r}; columns: {', '.join(list(columns)[:12])}")
    return np.column_stack([np.asarray(frame[columns[name]]) for name in names])
