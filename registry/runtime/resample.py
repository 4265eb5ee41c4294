"""Bring scores and masks from the model's resolution to the image's, in little memory.

Bilinear interpolation with half-pixel centres and edge pixels repeated, as `tf.image.resize` and PyTorch's
`interpolate(align_corners=False)` do it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Extent",
    "argmax_at_size",
    "mask_at_size",
    "mask_dtype",
    "nearest_at_size",
    "strips_at_size",
    "threshold_at_size",
]

Extent = tuple[float, float]
"""Height and width of a part of the scores, in scores and from their upper left corner; may end within one."""


# Rows are worked off in strips of about this many scores: small enough for the cache, large enough for NumPy.
_STRIP_SCORES = 1 << 20
# Where one class after another is resized, arrays as large as a few of them are alive.
_ALIVE = 8


def mask_dtype(num_classes: int) -> type[np.uint8] | type[np.uint16]:
    """The smallest unsigned type that holds every class index."""
    return np.uint8 if num_classes <= 256 else np.uint16


def mask_at_size(scores: NDArray[np.float32], size: tuple[int, int], threshold: float) -> NDArray[Any]:
    """The class of each pixel, from scores at another resolution.

    Args:
        scores: float32 (h, w, classes), finite.
        size: (H, W) of the result.
        threshold: of a single plane of scores, class 1 is where the score exceeds this.

    Returns:
        As `argmax_at_size`, or `threshold_at_size` for a single plane.
    """
    if scores.shape[2] == 1:
        return threshold_at_size(scores[:, :, 0], size, threshold)
    return argmax_at_size(scores, size)


def argmax_at_size(
    scores: NDArray[np.float32], size: tuple[int, int], extent: Extent | None = None
) -> NDArray[Any]:
    """Argmax over the classes of bilinearly resized scores.

    One class after another is resized and compared with the best so far, strip by strip, so the array
    (H, W, classes) never exists. Ties go to the lowest class.

    Args:
        scores: float32 (h, w, classes), finite.
        size: (H, W) of the result.
        extent: the part of the scores that the result shows; None: all. Scores beyond it have no influence.

    Returns:
        Class indices (H, W), uint8 or (beyond 256 classes) uint16.
    """
    if (extent or scores.shape[:2]) == size:
        return scores[: size[0], : size[1]].argmax(-1).astype(mask_dtype(scores.shape[2]))
    planes = np.ascontiguousarray(np.moveaxis(scores, -1, 0))
    mask = np.empty(size, mask_dtype(len(planes)))
    for rows, resize in _strips(scores.shape[:2], size, extent):
        winner = mask[rows]
        winner[...] = 0
        best = resize(planes[0])
        for index, plane in enumerate(planes[1:], start=1):
            challenger = resize(plane)
            winner[challenger > best] = index
            np.maximum(best, challenger, out=best)
    return mask


def threshold_at_size(
    scores: NDArray[np.float32], size: tuple[int, int], threshold: float, extent: Extent | None = None
) -> NDArray[np.uint8]:
    """1 where a bilinearly resized plane of scores (h, w) exceeds `threshold`, else 0; uint8 (H, W)."""
    mask = np.empty(size, np.uint8)
    for rows, resize in _strips(scores.shape, size, extent):
        mask[rows] = resize(scores) > threshold
    return mask


def strips_at_size(
    scores: NDArray[np.float32], size: tuple[int, int], extent: Extent | None = None
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Bilinearly resized scores of all classes, a strip of rows at a time.

    Args:
        scores: float32 (h, w, classes).
        size: (H, W) that the strips make up.
        extent: the part of the scores that the strips show; None: all.

    Yields:
        Rows of the result, and float32 (classes, rows, W), which the caller may change.
    """
    for rows, resize in _strips(scores.shape[:2], size, extent, classes=scores.shape[2]):
        planes = np.ascontiguousarray(np.moveaxis(scores[resize.source_rows], -1, 0))
        yield rows, np.stack([resize.narrowed(plane) for plane in planes])


def nearest_at_size(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize class indices (h, w) to (H, W) by their nearest neighbour, half-pixel centres."""
    rows, columns = (
        (np.arange(target) * 2 + 1) * source // (2 * target)
        for source, target in zip(mask.shape, size, strict=True)
    )
    return mask[rows[:, np.newaxis], columns[np.newaxis, :]]


@dataclass(frozen=True)
class _Taps:
    """Per output position: the two inputs that it lies between, and how far it is towards the upper one."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    fraction: NDArray[np.float32]

    @classmethod
    def between(cls, extent: float, target: int) -> _Taps:
        last = math.ceil(extent) - 1
        position = (np.arange(target) + 0.5) * (extent / target) - 0.5
        position = position.clip(0, last)
        lower = position.astype(np.intp)
        return cls(lower, np.minimum(lower + 1, last), (position - lower).astype(np.float32))

    def __getitem__(self, part: slice) -> _Taps:
        return _Taps(self.lower[part], self.upper[part], self.fraction[part])


class _Strip:
    """Resizes planes to a range of the output's rows, reading only the input rows that these need."""

    def __init__(self, rows: _Taps, columns: _Taps) -> None:
        self.source_rows = slice(int(rows.lower[0]), int(rows.upper[-1]) + 1)
        self._rows = rows
        self._columns = columns

    def __call__(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.narrowed(plane[self.source_rows])

    def narrowed(self, narrow: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of those rows of a plane alone."""
        wide = narrow[:, self._columns.lower]
        wide += self._columns.fraction * (narrow[:, self._columns.upper] - wide)
        first = self.source_rows.start
        strip = wide[self._rows.lower - first]
        step = wide[self._rows.upper - first]
        step -= strip
        step *= self._rows.fraction[:, np.newaxis]
        strip += step
        return strip


def _strips(
    source: tuple[int, ...], target: tuple[int, int], extent: Extent | None, *, classes: int = _ALIVE
) -> list[tuple[slice, _Strip]]:
    height, width = target
    tall, wide = extent or source
    rows, columns = _Taps.between(tall, height), _Taps.between(wide, width)
    step = max(1, _STRIP_SCORES // (classes * width))
    parts = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    return [(part, _Strip(rows[part], columns)) for part in parts]
