"""Scores of one image and of one class, read from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from registry.evaluation.confusion import ConfusionMatrix

__all__ = ["ClassScore", "Confusion", "ImageScore", "class_scores", "image_score", "largest_confusions"]


@dataclass(frozen=True)
class ImageScore:
    """How well one image was segmented.

    Args:
        name: of the image.
        mean_iou: over the classes that occur in its annotation or its prediction, 0…1; None if nothing counts.
        pixel_accuracy: share of its annotated pixels that got their class, 0…1; None if nothing counts.
    """

    name: str
    mean_iou: float | None
    pixel_accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)

    def __str__(self) -> str:
        """A line for people."""
        if self.mean_iou is None:
            return f"{self.name}: nothing that counts"
        return f"{self.name}: mean IoU {self.mean_iou:.1%}, {self.pixel_accuracy:.1%} of the pixels right"


@dataclass(frozen=True)
class ClassScore:
    """How well one class was segmented; shares in 0…1.

    Args:
        index: of the class.
        name: of the class.
        iou: intersection over union; None if the class occurs neither in annotations nor in predictions.
        accuracy: share of its annotated pixels that were found (recall); None if there are none.
        precision: share of the pixels predicted as it that are it; None if there are none.
        boundary_iou: intersection over union near its edges; None if not measured or without edges.
        pixels: annotated pixels.
    """

    index: int
    name: str
    iou: float | None
    accuracy: float | None
    precision: float | None
    boundary_iou: float | None
    pixels: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class that were taken for another.

    Args:
        annotated: index of the class that they are.
        predicted: index of the class that they were taken for.
        pixels: their number.
        share: of all pixels of the annotated class, 0…1.
    """

    annotated: int
    predicted: int
    pixels: int
    share: float


def image_score(name: str, matrix: ConfusionMatrix) -> ImageScore:
    """The score of the image whose pixels alone a matrix has counted."""
    scores = matrix.scores()
    if not scores.pixels:
        return ImageScore(name, None, None)
    return ImageScore(name, scores.mean_iou, scores.pixel_accuracy)


def class_scores(
    matrix: ConfusionMatrix, labels: Sequence[str], boundary: Sequence[float | None] | None
) -> tuple[ClassScore, ...]:
    """The score of every class.

    Args:
        matrix: counts of all images.
        labels: name per class.
        boundary: boundary IoU per class; None if it was not measured.
    """
    hits = np.diag(matrix.counts)
    annotated, predicted = matrix.counts.sum(1), matrix.counts.sum(0)
    return tuple(
        ClassScore(
            index=index,
            name=labels[index],
            iou=iou,
            accuracy=_share(hits[index], annotated[index]),
            precision=_share(hits[index], predicted[index]),
            boundary_iou=None if boundary is None else boundary[index],
            pixels=int(annotated[index]),
        )
        for index, iou in enumerate(matrix.scores().iou)
    )


def largest_confusions(matrix: ConfusionMatrix, count: int) -> tuple[Confusion, ...]:
    """The pairs of classes by the number of pixels that were taken for one another, most first."""
    wrong = matrix.counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    shares = matrix.normalized()
    places = (np.unravel_index(place, wrong.shape) for place in order)
    return tuple(
        Confusion(int(row), int(column), int(wrong[row, column]), float(shares[row, column]))
        for row, column in places
        if wrong[row, column]
    )


def _share(part: np.int64, total: np.int64) -> float | None:
    return float(part / total) if total else None
