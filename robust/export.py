"""One network in a file that other programs open: PyTorch's, ONNX's or our own.

    torch         a program of torch.export, opened by torch.export.load(path).module()
    onnx          opened by onnxruntime and many others; needs the packages onnx and onnxscript
    safetensors   parameters, with the scaling in the header, opened by `Predictor.load`; needs the
                  package safetensors

The first two take raw features, [N, D] float32 with any N, to logits, [N, K]: the scaling is the
model's first layer, computed in float64. What features and classes are called is in the metadata.
Without a scaling a float64 network takes float64.

Legend: N rows, D input features, K classes.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from robust import networks
from robust.checks import check_network
from robust.networks import AnyPack
from robust.networks.modules import check_index
from robust.predictor import PREPROCESSING, standalone
from robust.preprocessing import Preprocessing
from robust.registry import unknown

INPUT, OUTPUT = "features", "logits"
_METADATA = "metadata.json"  # beside the program in a file of torch.export
_NOTHING: Mapping[str, str] = MappingProxyType({})

Writer = Callable[[AnyPack, Preprocessing | None, Mapping[str, str], Path], None]


def export(
    net: AnyPack,
    path: str | Path,
    form: str = "safetensors",
    *,
    index: int = 0,
    preprocessing: Preprocessing | None = None,
    metadata: Mapping[str, str] = _NOTHING,
) -> None:
    """Write one network of a pack to a file; a file that is there is replaced.

    Args:
        net: P networks.
        path: of the file.
        form: of `FORMATS`.
        index: which network, 0 to P - 1.
        preprocessing: of the inputs it was trained on; None: they are the raw features.
        metadata: further texts to keep in the file.

    Raises:
        ValueError: an unknown format, no such network, a preprocessing of other features, or a
            package that is not installed.
        OSError: the file cannot be written.
    """
    if form not in FORMATS:
        raise ValueError(unknown("format", form, FORMATS))
    check_network(net)
    check_index(index, net.num_networks)
    named = dict(metadata)
    if preprocessing is not None:
        named["classes"] = json.dumps(preprocessing.classes)
        named["features"] = json.dumps(preprocessing.features)
        named[PREPROCESSING] = preprocessing.to_text()
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        FORMATS[form](net.subset([index]).cpu(), preprocessing, named, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_program(path: str | Path) -> tuple[nn.Module, dict[str, str]]:
    """Return the model and the metadata of a file of format `torch`."""
    found = {_METADATA: ""}
    program = torch.export.load(path, extra_files=found)
    texts: dict[str, str] = json.loads(found[_METADATA])
    return program.module(), texts


def _safetensors(
    net: AnyPack, rule: Preprocessing | None, metadata: Mapping[str, str], path: Path
) -> None:
    networks.save(net, path, metadata)


def _torch(
    net: AnyPack, rule: Preprocessing | None, metadata: Mapping[str, str], path: Path
) -> None:
    model = standalone(net, 0, rule)
    program = torch.export.export(model, (_example(net, rule),), dynamic_shapes=_any_rows())
    torch.export.save(program, path, extra_files={_METADATA: json.dumps(dict(metadata))})


def _onnx(
    net: AnyPack, rule: Preprocessing | None, metadata: Mapping[str, str], path: Path
) -> None:
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise ValueError(f"{package} is not installed; add it with: pip install '.[onnx]'")
    model = standalone(net, 0, rule)
    with _quiet():
        program = torch.onnx.export(
            model,
            (_example(net, rule),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=_any_rows(),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch's exporter says of packages that are of no use here, and of itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _example(net: AnyPack, rule: Preprocessing | None) -> torch.Tensor:
    """Rows to trace a model with: two, since one would be taken for the only number there is."""
    dtype = torch.float32 if rule is not None else next(net.parameters()).dtype
    return torch.zeros(2, net.num_features, dtype=dtype)


def _any_rows() -> tuple[dict[int, object]]:
    return ({0: torch.export.Dim("rows")},)


FORMATS: Mapping[str, Writer] = MappingProxyType(
    {"torch": _torch, "onnx": _onnx, "safetensors": _safetensors}
)
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {"torch": ".pt2", "onnx": ".onnx", "safetensors": ".safetensors"}
)
