"""The confusion matrix, collected mask by mask, and what is read from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from registry.errors import ModelError

__all__ = ["ConfusionMatrix", "Scores", "mean_iou_of_masks"]


@dataclass(frozen=True)
class Scores:
    """Accuracy of segmentation, as the field states it; shares in 0…1.

    Args:
        mean_iou: mean of the classes' intersection over union (Pascal VOC's measure), over the classes that occur in
            annotations or predictions.
        pixel_accuracy: share of annotated pixels that got their class.
        mean_accuracy: mean of each class's share of its annotated pixels that got it.
        frequency_weighted_iou: mean of the classes' intersection over union, weighted by their annotated pixels.
        iou: intersection over union per class; None for a class that occurs nowhere.
        pixels: annotated pixels, without ignored ones.
    """

    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    iou: tuple[float | None, ...]
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**asdict(self), "iou": list(self.iou)}


class ConfusionMatrix:
    """Counts of pixels by annotated and by predicted class.

    Args:
        num_classes: number of classes.
        ignore_label: mask value of pixels that do not count; None counts all.

    Raises:
        ModelError: `num_classes` is not positive.
    """

    def __init__(self, num_classes: int, ignore_label: int | None = 255) -> None:
        if num_classes < 1:
            raise ModelError("a confusion matrix has at least one class", received=num_classes)
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.counts = np.zeros((num_classes, num_classes), np.int64)
        """Pixels (annotated class, predicted class)."""

    def update(self, annotated: ArrayLike, predicted: ArrayLike) -> None:
        """Count the pixels of one mask or of a batch of masks.

        Args:
            annotated: class indices and the ignore label, integers of any shape.
            predicted: class indices, of the same shape.

        Raises:
            ModelError: shapes or types differ, or a value is no class. Nothing was counted then.
        """
        truth, guess = np.asarray(annotated), np.asarray(predicted)
        if truth.shape != guess.shape or truth.dtype.kind not in "ui" or guess.dtype.kind not in "ui":
            raise ModelError(
                "annotated and predicted masks must be integers of one shape",
                received=f"{truth.dtype} {truth.shape} and {guess.dtype} {guess.shape}",
                repair="resize the prediction to the annotation (nearest neighbour), and take the argmax of logits",
            )
        counted = truth != self.ignore_label if self.ignore_label is not None else np.ones(truth.shape, bool)
        truth, guess = truth[counted].astype(np.int64), guess[counted].astype(np.int64)
        for name, values in (("annotated", truth), ("predicted", guess)):
            wrong = values[(values < 0) | (values >= self.num_classes)]
            if wrong.size:
                raise ModelError(
                    f"{name} values must be classes 0…{self.num_classes - 1}",
                    received=", ".join(map(str, np.unique(wrong)[:8])),
                    repair="check `num_classes` and `ignore_label`",
                )
        flat = np.bincount(truth * self.num_classes + guess, minlength=self.num_classes**2)
        self.counts += flat.reshape(self.num_classes, self.num_classes)

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix, for instance of another worker.

        Raises:
            ModelError: it has other classes.
        """
        if other.num_classes != self.num_classes:
            raise ModelError(
                "confusion matrices to merge must have the same classes",
                received=f"{self.num_classes} and {other.num_classes}",
            )
        self.counts += other.counts

    def normalized(self) -> NDArray[np.float64]:
        """Share of each annotated class (rows) that was predicted as each class; rows of absent classes are 0."""
        totals = self.counts.sum(1, keepdims=True)
        return self.counts / np.maximum(totals, 1)

    def scores(self) -> Scores:
        """What the counts say; zeros while nothing was counted."""
        hits = np.diag(self.counts).astype(np.float64)
        annotated, predicted = self.counts.sum(1), self.counts.sum(0)
        iou, occurs = _iou(hits, annotated, predicted)
        is_annotated = annotated > 0
        recall = np.divide(hits, annotated, out=np.zeros_like(hits), where=is_annotated)
        total = int(annotated.sum())
        return Scores(
            mean_iou=float(iou[occurs].mean()) if occurs.any() else 0.0,
            pixel_accuracy=float(hits.sum() / max(total, 1)),
            mean_accuracy=float(recall[is_annotated].mean()) if is_annotated.any() else 0.0,
            frequency_weighted_iou=float((iou * annotated).sum() / max(total, 1)),
            iou=tuple(float(value) if present else None for value, present in zip(iou, occurs, strict=True)),
            pixels=total,
        )


def mean_iou_of_masks(one: ArrayLike, other: ArrayLike) -> float:
    """Mean intersection over union of two masks, over the classes that either has, whatever their indices are.

    The same number as a confusion matrix gives, without its square: memory is a few copies of the masks, so that they
    may be those of a file that nobody vouches for.

    Args:
        one: class indices, integers of any shape.
        other: class indices, of the same shape.

    Raises:
        ModelError: shapes or types differ, or the masks have no pixels.
    """
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape or not first.size or {first.dtype.kind, second.dtype.kind} - set("ui"):
        raise ModelError(
            "two masks to compare must be integers of one shape",
            received=f"{first.dtype} {first.shape} and {second.dtype} {second.shape}",
        )
    found = [np.unique(values, return_counts=True) for values in (first[first == second], first, second)]
    classes = np.union1d(found[1][0], found[2][0])
    counts = np.zeros((3, classes.size), np.int64)
    for row, (present, pixels) in zip(counts, found, strict=True):
        row[np.searchsorted(classes, present)] = pixels
    hits, annotated, predicted = counts
    return float(_iou(hits.astype(np.float64), annotated, predicted)[0].mean())


def _iou(
    hits: NDArray[np.float64], annotated: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Intersection over union per class, 0 where a class occurs in neither, and whether it occurs."""
    union = annotated + predicted - hits
    occurs = union > 0
    return np.divide(hits, union, out=np.zeros_like(hits), where=occurs), occurs
