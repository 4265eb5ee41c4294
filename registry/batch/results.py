"""The files that an image's mask becomes, and what is said about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.batch.items import Item
from registry.drawing import save_mask, save_overlay
from registry.images import load_indices

__all__ = ["Look", "Results", "class_shares", "write_results"]

Palette = Sequence[tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How classes are named and coloured.

    Args:
        labels: name per class, or none.
        palette: RGB per class, or none for Pascal VOC's.
    """

    labels: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()

    @property
    def colors(self) -> list[tuple[int, int, int]] | None:
        """The palette as the drawing functions take it."""
        return list(self.palette) or None

    @property
    def transparent(self) -> tuple[int, ...]:
        """Class 0 keeps the photograph visible where it is the background, which is what black stands for."""
        return (0,) if not self.palette or tuple(self.palette[0]) == (0, 0, 0) else ()


@dataclass(frozen=True)
class Results:
    """Where the results of images go.

    Args:
        folder: of all of them.
        overlays: whether overlays are written beside masks.
    """

    folder: Path
    overlays: bool

    def mask(self, item: Item) -> Path:
        """The class mask of an image."""
        return self.folder / f"{item.key}_mask.png"

    def overlay(self, item: Item) -> Path | None:
        """The overlay of an image, if there is to be one."""
        return self.folder / f"{item.key}_overlay.png" if self.overlays else None

    def finished(self, item: Item, since: int) -> bool:
        """Whether the results are there, newer than the image and than the run: files appear whole or not at all.

        Args:
            item: the image.
            since: when what the results depend on was written down, in nanoseconds.
        """
        try:
            oldest = min(
                path.stat().st_mtime_ns for path in (self.mask(item), self.overlay(item)) if path is not None
            )
            return oldest >= max(since, item.path.stat().st_mtime_ns)
        except OSError:
            return False

    def write(self, item: Item, pixels: NDArray[np.uint8], mask: NDArray[Any], look: Look) -> dict[str, Any]:
        """Write what there is to write, the mask last: then the image is finished.

        Raises:
            OutputPathError: a file cannot be written.
        """
        self.mask(item).parent.mkdir(parents=True, exist_ok=True)
        return write_results(pixels, mask, self.mask(item), self.overlay(item), look)

    def read(self, item: Item, look: Look) -> dict[str, Any]:
        """Of results that are there, what `write` returned."""
        return _summary(load_indices(self.mask(item)), self.mask(item), self.overlay(item), look)


def write_results(
    pixels: NDArray[np.uint8],
    mask: NDArray[Any],
    mask_path: Path,
    overlay_path: Path | None,
    look: Look,
) -> dict[str, Any]:
    """Write overlay and mask, each completely or not at all.

    Args:
        pixels: uint8 (H, W, 3).
        mask: class indices (H, W).
        mask_path: where the indexed PNG goes.
        overlay_path: where the overlay goes; None writes none.
        look: names and colours of the classes.

    Returns:
        `mask`, `overlay`, `height`, `width` and `classes`, JSON-ready.

    Raises:
        ModelError: the mask has classes that the palette lacks.
        OutputPathError: a file cannot be written.
    """
    if overlay_path is not None:
        save_overlay(
            pixels, mask, overlay_path, look.colors, labels=look.labels, transparent=look.transparent
        )
    save_mask(mask, mask_path, look.colors)
    return _summary(mask, mask_path, overlay_path, look)


def class_shares(mask: NDArray[Any], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Pixels and share of each class that occurs, the largest first."""
    counts = np.bincount(mask.ravel())
    order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    return [
        {
            "index": index,
            "name": labels[index] if labels else None,
            "pixels": int(counts[index]),
            "fraction": round(float(counts[index]) / mask.size, 6),
        }
        for index in order
    ]


def _summary(mask: NDArray[Any], mask_path: Path, overlay_path: Path | None, look: Look) -> dict[str, Any]:
    return {
        "mask": str(mask_path),
        "overlay": None if overlay_path is None else str(overlay_path),
        "height": mask.shape[0],
        "width": mask.shape[1],
        "classes": class_shares(mask, look.labels),
    }
