"""ADE20K's scene parsing benchmark (arXiv:1608.05442): 150 classes.

The tree is the challenge's: `ADEChallengeData2016/{images, annotations}/{training, validation}`. Its masks count
classes from 1 and write 0 where nothing is labelled.
"""

from __future__ import annotations

from pathlib import Path

from registry.data.dataset import IGNORE_LABEL, Dataset, Mask, Sample
from registry.data.layouts import existing, require_folder, require_split
from registry.data.masks import lookup_table, read_indices, remapped

__all__ = ["ade20k"]

_SPLITS = {"train": "training", "val": "validation"}
_TABLE = lookup_table({stored: stored - 1 for stored in range(1, 151)}, other=IGNORE_LABEL, values=151)


def ade20k(root: Path, split: str) -> Dataset:
    """Open ADE20K.

    Args:
        root: the folder with images and annotations, or one above it.
        split: `train` (20,210) or `val` (2,000).

    Raises:
        DataError: the tree is incomplete.
    """
    folder = _SPLITS[require_split(split, _SPLITS)]
    root = Path(root)
    base = root / "ADEChallengeData2016" if (root / "ADEChallengeData2016").is_dir() else root
    images = require_folder(
        base / "images" / folder,
        "ADE20K's tree holds images/{training, validation} and annotations beside them",
    )
    samples = (
        Sample(image.stem, image, base / "annotations" / folder / f"{image.stem}.png")
        for image in sorted(images.glob("*.jpg"))
    )
    origin = f"ADE20K {split}"
    return Dataset(origin, existing(samples, origin), 150, _read_mask)


def _read_mask(sample: Sample) -> Mask:
    return remapped(read_indices(sample.mask), _TABLE)
