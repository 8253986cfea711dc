"""How large a radius around a standardised image is in pixels."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.names import image_set
from analysis.records import Records

# Mean standard deviation of an image (and channel) with pixels from 0 to 1: MNIST's 60,000
# training images; 5,000 of CIFAR-10's. Manifests state those of
# the images that were trained on, which take precedence.
PIXEL_SCALES = {"mnist": 0.3013, "cifar10": 0.2002}


def pixel_scales(records: Records) -> Mapping[str, float]:
    """Return data set -> mean standard deviation of a standardised image, in pixels."""
    names = records.image_datasets()
    sets = {name: image_set(name) or "" for name in names}
    scales = {name: PIXEL_SCALES[s] for name, s in sets.items() if s in PIXEL_SCALES}
    for manifest in records.provenance.manifests:
        stated = manifest.get("pixel_scales", {})
        if isinstance(stated, Mapping):
            scales |= {str(name): float(scale) for name, scale in stated.items()}
    return scales


def unscaled(records: Records) -> list[str]:
    """Return the image sets whose standardised radii cannot be turned into pixels."""
    scales = pixel_scales(records)
    return [name for name in records.image_datasets() if name not in scales]
