"""Annotations of every encoding become class indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.data.dataset import Mask
from registry.errors import DataError
from registry.images import load_indices

__all__ = ["by_color", "lookup_table", "packed_colors", "read_indices", "remapped"]


def read_indices(path: Path) -> Mask:
    """Read an annotation of one value per pixel.

    Returns:
        (H, W) uint8 or uint16, as stored.

    Raises:
        ImageError: the file cannot be decoded.
        DataError: it holds colours.
    """
    values = load_indices(path)
    if values.ndim != 2:
        raise DataError(
            "an annotation of class indices has one value per pixel",
            received=f"{path}: RGB colours",
            repair="name the palette of the annotation, so that colours become classes",
        )
    return values


def lookup_table(classes: Mapping[int, int], *, other: int, values: int = 256) -> NDArray[Any]:
    """Tabulate which class each stored value stands for.

    Args:
        classes: stored value → class index.
        other: what all remaining values become, usually the ignore label.
        values: number of values that may be stored.

    Returns:
        (values,) uint8, or uint16 where a class needs it.
    """
    highest = max(other, *classes.values())
    table = np.full(values, other, np.uint8 if highest < 256 else np.uint16)
    for stored, index in classes.items():
        table[stored] = index
    return table


def remapped(mask: Mask, table: NDArray[Any]) -> Mask:
    """Replace stored values by classes; values beyond the table stay as they are, to be reported."""
    if mask.size and int(mask.max()) >= len(table):
        whole = np.arange(int(mask.max()) + 1, dtype=np.uint16)
        whole[: len(table)] = table
        table = whole
    result: Mask = table[mask]
    return result


def packed_colors(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Make one number of each RGB triple, R + 256·G + 65536·B: (…, 3) → (…)."""
    wide = colors.astype(np.uint32)
    packed: NDArray[np.uint32] = wide[..., 0] + (wide[..., 1] << 8) + (wide[..., 2] << 16)
    return packed


def by_color(
    path: Path, palette: Sequence[Sequence[int]], *, ignore_colors: Sequence[Sequence[int]], ignore_label: int
) -> Mask:
    """Read an annotation of one colour per class.

    Args:
        path: an RGB PNG.
        palette: colour of each class in order.
        ignore_colors: colours that become the ignore label.
        ignore_label: mask value of what is not counted.

    Returns:
        (H, W) class indices.

    Raises:
        ImageError: the file cannot be decoded.
        DataError: it holds no colours, or colours that are not in the palette; they are listed.
    """
    colors = load_indices(path)
    if colors.ndim != 3:
        raise DataError(
            "an annotation that is read by its palette must hold RGB colours",
            received=f"{path}: one value per pixel",
            repair="leave the palette out: the values are class indices already",
        )
    known = packed_colors(np.array([*palette, *ignore_colors], np.uint8).reshape(-1, 3))
    classes = np.array([*range(len(palette)), *[ignore_label] * len(ignore_colors)])
    order = np.argsort(known, kind="stable")
    pixels = packed_colors(colors)
    position = np.minimum(np.searchsorted(known[order], pixels), len(known) - 1)
    found = known[order][position] == pixels
    if not found.all():
        strange = np.unique(colors[~found].reshape(-1, 3), axis=0)
        raise DataError(
            "every colour of an annotation must be in its palette",
            received=f"{path}: {', '.join(str(tuple(map(int, color))) for color in strange[:5])}"
            + (f" and {len(strange) - 5} more" if len(strange) > 5 else ""),
            repair="add them to the palette or to the ignored colours; many of them mean that the file was resized "
            "or compressed with loss",
        )
    return classes[order][position].astype(np.uint8 if classes.max() < 256 else np.uint16)
