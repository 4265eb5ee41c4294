"""Boundary IoU (arXiv:2103.16562): agreement near the edges of regions, where large regions hide errors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoundaryIoU", "boundary_regions"]

_DILATION_RATIO = 0.02
"""Width of a boundary, as a share of the image's diagonal; the paper's."""


def boundary_regions(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels of a region that are at most `width` pixels from its outside, image borders being outside.

    Args:
        mask: region, bool (H, W).
        width: in pixels, at least 1.

    Returns:
        bool (H, W): the region less its erosion by a square of 2·width + 1 pixels.
    """
    padded = np.pad(mask, width, constant_values=False)
    # A window is all inside where its sum is its area; a summed-area table gives every window's sum in one pass.
    table = np.zeros((padded.shape[0] + 1, padded.shape[1] + 1), np.int64)
    table[1:, 1:] = padded.cumsum(0).cumsum(1)
    side = 2 * width + 1
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    return mask & (sums < side * side)


class BoundaryIoU:
    """Intersection over union of the boundaries of each class, summed over a data set.

    Args:
        num_classes: number of classes.
        ignore_label: mask value of pixels that do not count; None counts all.
        dilation_ratio: width of a boundary as a share of the image's diagonal.
    """

    def __init__(
        self, num_classes: int, ignore_label: int | None = 255, dilation_ratio: float = _DILATION_RATIO
    ) -> None:
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.dilation_ratio = dilation_ratio
        self.intersection = np.zeros(num_classes, np.int64)
        self.union = np.zeros(num_classes, np.int64)

    def update(self, annotated: NDArray[np.integer], predicted: NDArray[np.integer]) -> None:
        """Count one mask.

        Args:
            annotated: class indices and the ignore label (H, W).
            predicted: class indices (H, W).
        """
        counted = annotated != self.ignore_label
        width = max(1, round(self.dilation_ratio * math.hypot(*annotated.shape)))
        for index in np.union1d(np.unique(annotated), np.unique(predicted)):
            if not 0 <= index < self.num_classes:
                continue
            truth = boundary_regions(annotated == index, width) & counted
            # What was predicted where nothing counts is neither right nor wrong, and makes no edge of its own.
            guess = boundary_regions((predicted == index) & counted, width)
            self.intersection[index] += np.count_nonzero(truth & guess)
            self.union[index] += np.count_nonzero(truth | guess)

    def per_class(self) -> tuple[float | None, ...]:
        """Boundary IoU of each class; None for a class without any boundary."""
        return tuple(
            float(hits / total) if total else None
            for hits, total in zip(self.intersection, self.union, strict=True)
        )

    def mean(self) -> float:
        """Mean over the classes that occur; 0 while nothing was counted."""
        values = [value for value in self.per_class() if value is not None]
        return sum(values) / len(values) if values else 0.0
