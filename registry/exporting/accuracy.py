"""What a file costs in mean IoU, measured on annotated images."""

from __future__ import annotations

import os
from typing import Any

from registry.data import AnnotatedImages
from registry.evaluation import evaluate_alike
from registry.exporting.report import AccuracyReport
from registry.runtime import Segmenter

__all__ = ["measure_accuracy"]


def measure_accuracy(
    model: Any,
    path: str | os.PathLike[str],
    annotated: AnnotatedImages,
    size: tuple[int, int],
    limit: int | None,
) -> AccuracyReport:
    """Score the Keras model and its file on the same images, by the same code.

    Args:
        model: Keras segmenter.
        path: its file, just made.
        annotated: images and masks.
        size: the file's height and width, which the model meets them at, too.
        limit: the first so many of them; None takes all.

    Raises:
        ModelError: the model does not fit the data.
        DataError, ImageError: an example cannot be read, or there is none.
    """
    file = Segmenter(path, trusted=True)
    scores = evaluate_alike([model, file], annotated, size=size, limit=limit, worst=0, progress=False)
    return AccuracyReport(
        dataset=scores[0].dataset,
        images=len(scores[0].images),
        model_mean_iou=scores[0].mean_iou,
        mean_iou=scores[1].mean_iou,
    )
