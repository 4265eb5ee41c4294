"""Arrays enter a model: every one accounted for, all or none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.errors import WeightsMismatchError
from registry.weights.arrays import HasShape

__all__ = ["WeightsReport", "assign"]

_LISTED = 12


@dataclass(frozen=True)
class WeightsReport:
    """What came from where.

    Args:
        source: handle or path.
        loaded: names of the layers whose variables were set.
        fresh: names of the layers that keep their initial values, by request.
        unused: names of layers in the source that the model has no place for, by declaration.
    """

    source: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def assign(
    layers: Iterable[Any],
    arrays: Mapping[str, Sequence[HasShape]],
    *,
    source: str,
    unused: Collection[str] = (),
) -> WeightsReport:
    """Set the variables of `layers` from `arrays`, matched by layer name.

    Args:
        layers: every layer that must be set; those without variables are passed over.
        arrays: layer name → arrays in the order of `layer.weights`.
        source: where the arrays come from, for messages.
        unused: names that may be in `arrays` without a layer.

    Returns:
        What was loaded.

    Raises:
        WeightsMismatchError: a layer has no arrays, arrays have no layer, shapes differ, or integers are offered for
            floating-point variables; lists all of them. No variable has been changed then.
    """
    targets = {layer.name: layer.weights for layer in layers if layer.weights}
    problems = _problems(targets, arrays, frozenset(unused))
    if problems:
        raise WeightsMismatchError(
            f"the weights at {source} must fit the model, layer by layer",
            received="\n    ".join(["", *problems]),
            repair="build the architecture that the weights were trained with, or pass weights=None",
        )
    for name, variables in targets.items():
        for variable, array in zip(variables, arrays[name], strict=True):
            variable.assign(np.asarray(array))
    return WeightsReport(
        source=source,
        loaded=tuple(targets),
        unused=tuple(sorted(set(arrays) - set(targets))),
    )


def _problems(
    targets: Mapping[str, Sequence[Any]], arrays: Mapping[str, Sequence[HasShape]], unused: frozenset[str]
) -> list[str]:
    missing = [name for name in targets if name not in arrays]
    extra = [name for name in arrays if name not in targets and name not in unused]
    mis_shaped = []
    integers = []
    for name in targets.keys() & arrays.keys():
        expected = [tuple(variable.shape) for variable in targets[name]]
        received = [tuple(array.shape) for array in arrays[name]]
        if expected != received:
            mis_shaped.append(f"{name} (model {_shapes(expected)}, weights {_shapes(received)})")
        elif any(map(_is_mistyped, targets[name], arrays[name])):
            # A cast would succeed, and quantized kernels without their scales would run.
            integers.append(name)
    return [
        f"{title}: {_listed(sorted(names))}"
        for title, names in (
            ("missing from the weights", missing),
            ("not in the model", extra),
            ("of another shape", mis_shaped),
            ("integers, where the model computes in floating point", integers),
        )
        if names
    ]


def _is_mistyped(variable: Any, array: HasShape) -> bool:
    dtype = getattr(array, "dtype", None)
    return dtype is not None and variable.dtype.is_floating and np.dtype(dtype).kind in "biuc"


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) or "scalar" for shape in shapes)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return (
        shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more ({len(names)} layers)"
    )
