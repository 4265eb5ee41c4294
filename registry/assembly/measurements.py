"""What was measured of a model, as whoever saves it states it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

from registry.errors import ModelError

__all__ = ["Measurement", "measurements"]

_SOURCE = "as given to registry.save_preset"
_REPAIR = "metrics={'dataset': 'my photographs, held out', **confusion.scores().to_dict()}"


@dataclass(frozen=True)
class Measurement:
    """Accuracy on one data set.

    Args:
        dataset: on what it was measured.
        mean_iou: mean of the classes' intersection over union, 0…1.
        source: who says so.
        iou: intersection over union per class, None for a class that does not occur; empty if not given.
        others: further numbers by name.
    """

    dataset: str
    mean_iou: float
    source: str = _SOURCE
    iou: tuple[float | None, ...] = ()
    others: Mapping[str, float] = field(default_factory=dict)

    def to_config(self) -> dict[str, Any]:
        """The entry under `evaluation` of a preset."""
        return {"dataset": self.dataset, "mean_iou": self.mean_iou, "source": self.source}


def measurements(
    metrics: Mapping[str, Any] | Sequence[Mapping[str, Any]], num_classes: int
) -> tuple[Measurement, ...]:
    """Check what is given as `metrics`.

    Args:
        metrics: one mapping per data set, or a single one: `dataset`, `mean_iou`; optionally `source`, `iou` (one value
            per class) and any other number, as `registry.evaluation.Scores.to_dict` names them.
        num_classes: of the model.

    Raises:
        ModelError: a mapping lacks `dataset` or `mean_iou`, or holds what is no measurement.
    """
    several = [metrics] if isinstance(metrics, Mapping) else metrics
    if isinstance(several, str | bytes) or not isinstance(several, Sequence):
        raise _wrong("`metrics` must be a mapping, or a list with one per data set", type(metrics).__name__)
    return tuple(_measurement(entry, num_classes) for entry in several)


def _measurement(entry: object, num_classes: int) -> Measurement:
    if not isinstance(entry, Mapping):
        raise _wrong("each of `metrics` must be a mapping", type(entry).__name__)
    rest = dict(entry)
    dataset, source = rest.pop("dataset", None), rest.pop("source", _SOURCE)
    for key, text in (("dataset", dataset), ("source", source)):
        if not isinstance(text, str) or not text.strip():
            raise _wrong(f"`{key}` of `metrics` must be text", text)
    mean_iou = float(_number("mean_iou", rest.pop("mean_iou", None)))
    if not 0 <= mean_iou <= 1:
        raise _wrong("`mean_iou` of `metrics` must be from 0 to 1", mean_iou)
    iou = _per_class(rest.pop("iou", ()), num_classes)
    others = {str(key): _number(str(key), value) for key, value in rest.items()}
    return Measurement(str(dataset), mean_iou, str(source), iou, others)


def _per_class(values: Any, num_classes: int) -> tuple[float | None, ...]:
    values = values.tolist() if hasattr(values, "tolist") else values
    given = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else None
    if given is None or len(given) not in (0, num_classes):
        raise _wrong(
            f"`iou` of `metrics` must be one number, or None, for each of {num_classes} classes", values
        )
    return tuple(None if value is None else _number("iou", value) for value in given)


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise _wrong(f"`{key}` of `metrics` must be a finite number", value)
    return int(value) if isinstance(value, Integral) else float(value)


def _wrong(rule: str, received: object) -> ModelError:
    return ModelError(rule, received=received, repair=_REPAIR)
