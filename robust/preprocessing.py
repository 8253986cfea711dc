"""From raw features to the inputs of a network: what travels with a network that is kept.

A network is trained on scaled inputs. The rule that made them, with the statistics of the training
rows, is a value here, a text in a file's header, and the first layer of an exported model.

Legend: N rows, D input features, K classes, H W C image height, width and channels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

Numbers = tuple[float, ...]
UNBOUNDED = (-math.inf, math.inf)


class Affine(nn.Module):
    """(x / unit - centre) / deviation, feature by feature.

    0, the training mean, where a value is missing (NaN) and where the deviation is 0, as of a
    feature that did not vary.
    """

    unit: Tensor
    centre: Tensor
    deviation: Tensor

    def __init__(
        self, unit: Numbers, centre: Numbers, deviation: Numbers, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.dtype = dtype
        for name, values in (("unit", unit), ("centre", centre), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return inputs, [N, D], of raw features, [N, D], float32 or float64."""
        varies = self.deviation > 0
        scaled = (x.double() / self.unit - self.centre) / torch.where(varies, self.deviation, 1.0)
        return torch.where(torch.isnan(scaled) | ~varies, 0.0, scaled).to(self.dtype)


class PerImage(nn.Module):
    """Each image's channels with mean 0 and standard deviation 1; 0 where a channel is constant.

    Args:
        shape: (H, W, C), in which order the features lie.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return inputs, [N, H W C], of pixels, [N, H W C], float32 or float64."""
        images, pixels = x.double().reshape(-1, *self.shape), (1, 2)
        mean = images.mean(dim=pixels, keepdim=True)
        deviation = images.std(dim=pixels, keepdim=True, correction=0)
        varies = images.amax(dim=pixels, keepdim=True) > images.amin(dim=pixels, keepdim=True)
        scaled = (images - mean) * varies / torch.where(varies, deviation, 1.0)
        return scaled.flatten(1).to(self.dtype)


@dataclass(frozen=True)
class Preprocessing:
    """How raw features become inputs, and what features and classes are called.

    Attributes:
        rule: of `RULES`.
        shape: (D,), or (H, W, C) of images, which are flat in this order.
        classes: the K labels, in the order of the logits; empty: 0 to K-1.
        features: the D names; empty where they have none, as pixels.
        unit, centre, deviation: of rule `affine`, D numbers, or one for all features.
        bounds: (lo, hi), in which all inputs lie.
        categories: (column, its values) of the columns of which features `column=value` were made.
        missing, decimal: of files of such rows: texts that stand for no value, and what stands
            before the fraction of a number.
    """

    rule: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    unit: Numbers = (1.0,)
    centre: Numbers = (0.0,)
    deviation: Numbers = (1.0,)
    bounds: tuple[float, float] = UNBOUNDED
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"unknown preprocessing {self.rule!r}; known: {', '.join(RULES)}")
        if self.features and len(self.features) != self.num_features:
            raise ValueError(f"{len(self.features)} names for {self.num_features} features")
        for name in ("unit", "centre", "deviation"):
            if len(getattr(self, name)) not in (1, self.num_features):
                raise ValueError(
                    f"{name} must have 1 or {self.num_features} numbers, "
                    f"got {len(getattr(self, name))}"
                )

    @property
    def num_features(self) -> int:
        """D."""
        return math.prod(self.shape)

    @property
    def allows_missing(self) -> bool:
        """Whether a raw feature may be NaN."""
        return self.rule == "affine"

    def layer(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """Return the rule as a layer: raw features, [N, D], to inputs, [N, D] of that type."""
        return RULES[self.rule](self, dtype).eval()

    def to_text(self) -> str:
        """Return the value as JSON, from which `from_text` makes an equal one."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Preprocessing:
        """Return what `to_text` wrote.

        Raises:
            ValueError: the text is no such JSON.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**{key: _hashable(value) for key, value in values.items()})
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no preprocessing: {error}") from None


def unscaled(num_features: int) -> Preprocessing:
    """Return the rule of a network that takes its inputs as they are."""
    return Preprocessing("affine", (num_features,))


def _affine(given: Preprocessing, dtype: torch.dtype) -> nn.Module:
    return Affine(given.unit, given.centre, given.deviation, dtype)


def _per_image(given: Preprocessing, dtype: torch.dtype) -> nn.Module:
    return PerImage(given.shape, dtype)


RULES: Mapping[str, Callable[[Preprocessing, torch.dtype], nn.Module]] = MappingProxyType(
    {"affine": _affine, "per-image": _per_image}
)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
