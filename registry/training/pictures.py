"""Predictions during a run, as a sheet of pictures: image, annotation, prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from registry.drawing import draw_legend, overlay, pascal_voc_colormap

__all__ = ["sheet"]

_GAP = 4


def sheet(
    pictures: Sequence[tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any]]],
    *,
    palette: ArrayLike | None,
    labels: Sequence[str],
    num_classes: int,
) -> NDArray[np.uint8]:
    """Draw images with their masks.

    Args:
        pictures: pixels uint8 (H, W, 3), annotation and prediction (H, W), all of one size.
        palette: RGB per class; None takes Pascal VOC's.
        labels: names of the classes; empty draws no legend.
        num_classes: mask values beyond are not counted, and shown white.

    Returns:
        uint8 (h, w, 3): a row for each image.
    """
    colors = pascal_voc_colormap(num_classes) if palette is None else np.asarray(palette, np.uint8)
    shown = np.concatenate([colors, np.full((1, 3), 255, np.uint8)])
    rows = []
    for image, truth, guess in pictures:
        masks = [np.where(mask < num_classes, mask, num_classes).astype(np.intp) for mask in (truth, guess)]
        cells = [image, *(overlay(image, mask, shown, alpha=0.7, transparent=(0,)) for mask in masks)]
        gap = np.full((image.shape[0], _GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([cells[0], gap, cells[1], gap, cells[2]], 1))
        rows.append(np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8))
    present = {int(value) for _, truth, guess in pictures for value in np.union1d(truth, guess)}
    named = [name if index in present else "" for index, name in enumerate(labels)]
    if any(named):
        rows.append(draw_legend(named, colors, width=rows[0].shape[1]))
    return np.concatenate(rows)
