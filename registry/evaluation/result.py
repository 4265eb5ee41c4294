"""What an evaluation tells: to people, to machines, as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.evaluation.boundary import BoundaryIoU
from registry.evaluation.confusion import ConfusionMatrix, Scores
from registry.evaluation.protocol import EvaluationProtocol
from registry.evaluation.scoring import ClassScore, ImageScore, class_scores
from registry.evaluation.subject import Kind
from registry.evaluation.worst import WorstImage
from registry.metadata import Color

__all__ = ["Evaluation", "count_of_images"]

_SHOWN_WORST = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """A model's masks, compared with annotations.

    Args:
        model: name of the model.
        kind: `keras` or `tflite`.
        description: what the model is.
        dataset: name of the data set.
        protocol: how images met the model.
        confusion: pixels of all images by annotated and by predicted class.
        boundary: boundary IoU (arXiv:2103.16562) over all images; None if it was not asked for.
        images: score of each image, in the data set's order.
        labels: name per class.
        palette: RGB colour per class.
        worst: images of the lowest mean IoU, the worst first, small.
        seconds_per_image: median time from decoded image to mask.
    """

    model: str
    kind: Kind
    description: str
    dataset: str
    protocol: EvaluationProtocol
    confusion: ConfusionMatrix
    boundary: BoundaryIoU | None
    images: tuple[ImageScore, ...]
    labels: tuple[str, ...]
    palette: tuple[Color, ...]
    worst: tuple[WorstImage, ...]
    seconds_per_image: float

    @property
    def scores(self) -> Scores:
        """Mean IoU and its relatives, over the pixels of all images together."""
        return self.confusion.scores()

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that occur, 0…1."""
        return self.scores.mean_iou

    @property
    def classes(self) -> tuple[ClassScore, ...]:
        """Score of each class."""
        edges = None if self.boundary is None else self.boundary.per_class()
        return class_scores(self.confusion, self.labels, edges)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content; all scores are shares in 0…1, `confusion_matrix` has a row per annotated class."""
        return {
            "model": {"name": self.model, "kind": self.kind, "description": self.description},
            "dataset": {
                "name": self.dataset,
                "images": len(self.images),
                "num_classes": self.confusion.num_classes,
                "ignore_label": self.confusion.ignore_label,
            },
            "protocol": self.protocol.to_dict(),
            "scores": {
                **self.scores.to_dict(),
                "boundary_iou": None if self.boundary is None else self.boundary.mean(),
            },
            "classes": [score.to_dict() for score in self.classes],
            "confusion_matrix": self.confusion.counts.tolist(),
            "images": [score.to_dict() for score in self.images],
            "worst": [image.score.name for image in self.worst],
            "seconds_per_image": self.seconds_per_image,
        }

    def write(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write `evaluation.json`, `confusion_matrix.png`, `worst_01.png` …, and `evaluation.html` with all of it.

        Args:
            folder: where to; made if need be. Each file appears completely or not at all.

        Returns:
            The paths written, the page last.

        Raises:
            OutputPathError: the folder cannot be made, or a file cannot be written.
        """
        from registry.evaluation.writing import write_evaluation

        return write_evaluation(self, Path(folder))

    def __str__(self) -> str:
        """Several lines for a terminal: what was measured, the scores, a table of the classes."""
        scores = self.scores
        lines = [
            f"{self.model}  {self.description}",
            f"  data       {self.dataset}, {count_of_images(self)}, {scores.pixels:,} pixels count",
            f"  protocol   {self.protocol}",
            f"  mean IoU   {scores.mean_iou:.2%}",
            f"  pixels     {scores.pixel_accuracy:.2%} right; mean over classes {scores.mean_accuracy:.2%}, "
            f"frequency-weighted IoU {scores.frequency_weighted_iou:.2%}",
        ]
        if self.boundary is not None:
            lines.append(f"  boundaries {self.boundary.mean():.2%} mean boundary IoU")
        lines.append(f"  time       {1000 * self.seconds_per_image:.1f} ms per image (median)")
        worst = [
            f"{image.score.name} {image.score.mean_iou:.1%}"
            for image in self.worst[:_SHOWN_WORST]
            if image.score.mean_iou is not None
        ]
        if worst:
            lines.append(f"  worst      {', '.join(worst)}")
        return "\n".join([*lines, "", *_table(self.classes, boundary=self.boundary is not None)])


def count_of_images(evaluation: Evaluation) -> str:
    """`1 image`, `2 images`."""
    count = len(evaluation.images)
    return f"{count} image" + ("" if count == 1 else "s")


def _table(classes: Sequence[ClassScore], *, boundary: bool) -> list[str]:
    """The classes as lines of text."""
    columns = ["IoU", "accuracy", "precision", *(["boundary"] if boundary else []), "pixels"]
    width = max(5, *(len(score.name) for score in classes))
    lines = [f"{'class':<{width}}" + "".join(f"{column:>{_column(column)}}" for column in columns)]
    for score in classes:
        shares = [score.iou, score.accuracy, score.precision, *([score.boundary_iou] if boundary else [])]
        cells = ["–" if share is None else f"{share:.2%}" for share in shares]
        cells.append(f"{score.pixels:,}")
        texts = (f"{cell:>{_column(column)}}" for cell, column in zip(cells, columns, strict=True))
        lines.append(f"{score.name:<{width}}" + "".join(texts))
    return lines


def _column(name: str) -> int:
    return 16 if name == "pixels" else 11
