"""Cityscapes (arXiv:1604.01685): 19 classes for evaluation, chosen from 34 label ids.

The tree is the data set's own: `leftImg8bit/<split>/<city>/…_leftImg8bit.png` and
`gtFine/<split>/<city>/…_gtFine_labelIds.png` (or `gtCoarse`). Where its scripts have written
`…_labelTrainIds.png`, these are taken.
"""

from __future__ import annotations

from pathlib import Path

from registry.data.dataset import IGNORE_LABEL, Dataset, Mask, Sample
from registry.data.layouts import existing, require_folder, require_split
from registry.data.masks import lookup_table, read_indices, remapped
from registry.errors import DataError

__all__ = ["TRAIN_IDS", "cityscapes"]

TRAIN_IDS = {
    label: train_id
    for train_id, label in enumerate(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    )
}
"""Label id → train id of the 19 classes that the evaluation counts."""

_TABLE = lookup_table(TRAIN_IDS, other=IGNORE_LABEL)
_SPLITS = ("train", "val", "train_extra", "test")
_IMAGE = "_leftImg8bit.png"


def cityscapes(root: Path, split: str, *, annotations: str = "gtFine") -> Dataset:
    """Open Cityscapes.

    Args:
        root: the folder with leftImg8bit and gtFine.
        split: `train` (2,975), `val` (500), `train_extra` (19,998, coarse only) or `test` (masks without content).
        annotations: `gtFine` or `gtCoarse`.

    Raises:
        DataError: the tree is incomplete.
    """
    require_split(split, _SPLITS)
    if annotations not in ("gtFine", "gtCoarse"):
        raise DataError(
            "the annotations of Cityscapes are gtFine or gtCoarse",
            received=annotations,
            repair="annotations: gtFine",
        )
    root = Path(root)
    images = require_folder(
        root / "leftImg8bit" / split, "Cityscapes' tree holds leftImg8bit/<split>/<city>/"
    )
    origin = f"Cityscapes {split}"
    samples = (
        _sample(image, root / annotations / split / image.parent.name, annotations)
        for image in sorted(images.glob(f"*/*{_IMAGE}"))
    )
    return Dataset(origin, existing(samples, origin), 19, _read_mask)


def _sample(image: Path, folder: Path, annotations: str) -> Sample:
    name = image.name.removesuffix(_IMAGE)
    train_ids = folder / f"{name}_{annotations}_labelTrainIds.png"
    mask = train_ids if train_ids.is_file() else folder / f"{name}_{annotations}_labelIds.png"
    return Sample(name, image, mask)


def _read_mask(sample: Sample) -> Mask:
    mask = read_indices(sample.mask)
    return mask if sample.mask.name.endswith("_labelTrainIds.png") else remapped(mask, _TABLE)
