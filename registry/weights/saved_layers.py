"""atrous's own `.safetensors`: one tensor per variable, `layer/variable`, and metadata that says whose layout this is.

    conv1_conv/kernel                float32 (7, 7, 3, 64)
    conv1_bn/gamma                   float32 (64,)
    __metadata__                     {"atrous": '{"name": "my_model", "version": 1}'}

Arrays lie as Keras has them, so that loading transposes nothing, and enter a model by both names. Nothing here imports
TensorFlow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from registry.errors import WeightsError, WeightsFormatError
from registry.weights.arrays import Arrays
from registry.weights.assignment import WeightsReport, assign

__all__ = ["DType", "Header", "assign_saved", "layer_of", "layers_as_bytes", "read_header", "tensor_names"]

DType = Literal["float32", "float16"]

# One key alone: the library writes several in an order that changes from run to run, and equal models make equal files.
_MARK = "atrous"
_VERSION = 1
_LISTED = 12


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Args:
        name: of the model.
        version: of this layout.
    """

    name: str
    version: int = _VERSION


def layers_as_bytes(layers: Iterable[Any], name: str, dtype: DType = "float32") -> bytes:
    """The variables of layers as a `.safetensors` file.

    Args:
        layers: layers of a model; those without variables are passed over.
        name: of the model.
        dtype: `float32` keeps every bit of every variable. `float16` rounds kernels, the float32 arrays of two axes or
            more, to 11 significant bits: a relative error of up to 2⁻¹¹, or below 6e-5 an absolute one of up to 3e-8.
            All else is kept.

    Returns:
        The file; the same bytes for the same values.

    Raises:
        WeightsError: a value is NaN or infinite, or too large for float16.
    """
    from safetensors.numpy import save

    arrays = {key: _stored_as(variable.numpy(), dtype) for key, variable in _variables(layers)}
    damaged = [
        key for key, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]
    if damaged:
        shown = ", ".join(damaged[:_LISTED]) + (
            f" and {len(damaged) - _LISTED} more" if len(damaged) > _LISTED else ""
        )
        raise WeightsError(
            "weights are saved if all of them are finite"
            + (" and, as float16, at most 65504 in size" if dtype == "float16" else ""),
            received=f"NaN, infinite or too large values in {shown}",
            repair="load an earlier state of the model; NaN come from a learning rate that is too high, most of all"
            + (" (dtype='float32' keeps large values)" if dtype == "float16" else ""),
        )
    header = json.dumps({"name": name, "version": _VERSION}, ensure_ascii=False, sort_keys=True)
    return save(arrays, metadata={_MARK: header})


def read_header(path: Path, metadata: Mapping[str, str] | None) -> Header | None:
    """What the metadata of a `.safetensors` file say; None if it is of another layout.

    Raises:
        WeightsFormatError: it is of this layout, but damaged or of a later version.
    """
    text = (metadata or {}).get(_MARK)
    if text is None:
        return None
    try:
        stated = json.loads(text)
        header = Header(str(stated["name"]), int(stated["version"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise WeightsFormatError(
            f"the metadata {_MARK!r} of a .safetensors file are JSON with `name` and `version`",
            received=f"{path}: {text[:200]}",
            repair="save the model again with registry.save_preset",
        ) from error
    if header.version > _VERSION:
        raise WeightsFormatError(
            f"this version of atrous reads saved weights up to version {_VERSION} of their layout",
            received=f"{path}: version {header.version}",
            repair="pip install -U atrous",
        )
    return header


def tensor_names(layers: Iterable[Any]) -> list[str]:
    """Names of the tensors that layers are saved as."""
    return [key for key, _ in _variables(layers)]


def layer_of(key: str) -> str:
    """The layer of a tensor's name."""
    return key.rpartition("/")[0]


def assign_saved(
    layers: Iterable[Any], arrays: Arrays, *, source: str, unused: Collection[str] = ()
) -> WeightsReport:
    """Set the variables of layers from a file of this layout, matched by the names of layer and variable.

    Args:
        layers: every layer that must be set.
        arrays: tensor's name → one array.
        source: where they come from, for messages.
        unused: names of tensors that may be there without a variable.

    Returns:
        What was loaded, by layer.

    Raises:
        WeightsMismatchError: as `assign`; no variable has been changed then.
    """
    chosen = [layer for layer in layers if layer.weights]
    variables = [_Variable(key, [variable]) for key, variable in _variables(chosen)]
    report = assign(variables, arrays, source=source, unused=unused)
    return replace(
        report,
        loaded=tuple(layer.name for layer in chosen),
        unused=tuple(dict.fromkeys(map(layer_of, report.unused))),
    )


@dataclass(frozen=True)
class _Variable:
    """A single variable in the shape of a layer, so that each is accounted for by its own name."""

    name: str
    weights: list[Any]


def _variables(layers: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Every variable with its tensor's name, unique within a model, whose layers have unique names."""
    for layer in layers:
        for own, variable in zip(_own_names(layer), layer.weights, strict=True):
            yield f"{layer.name}/{own}", variable


def _own_names(layer: Any) -> list[str]:
    """Names of a layer's variables within it: `kernel`; of layers within it, `query.kernel`; never with a slash."""
    paths = [variable.name.partition(":")[0] for variable in layer.weights]
    last = [path.rpartition("/")[2] for path in paths]
    if _distinct(last):
        return last
    whole = [path.removeprefix(f"{layer.name}/").replace("/", ".") for path in paths]
    # Keras does not hold composite layers to names that differ.
    return whole if _distinct(whole) else [f"{number}.{path}" for number, path in enumerate(whole)]


def _distinct(names: list[str]) -> bool:
    return len(Counter(names)) == len(names)


def _stored_as(value: np.ndarray, dtype: DType) -> np.ndarray:
    is_kernel = value.dtype == np.float32 and value.ndim >= 2
    if dtype == "float32" or not is_kernel:
        return np.asarray(value, order="C")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        return np.asarray(value.astype(np.float16), order="C")
