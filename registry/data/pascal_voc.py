"""Pascal VOC 2012, with the annotations of SBD: 21 classes, object borders ignored.

The tree is the development kit's: `VOCdevkit/VOC2012/{JPEGImages, SegmentationClass, ImageSets/Segmentation}`. SBD
(Hariharan et al., ICCV 2011) annotates more of the same images: `benchmark_RELEASE/dataset/{cls/*.mat, train.txt,
val.txt}`. The split `trainaug` of the DeepLab papers is VOC's `train` and all of SBD without VOC's `val`: 10,582
images, VOC's own annotations first. Some distribute it as PNG files in `SegmentationClassAug`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from registry.data.dataset import Dataset, Mask, Sample
from registry.data.layouts import existing, names_in, require_folder, require_split
from registry.data.masks import read_indices
from registry.errors import DataError, EnvironmentUnsupportedError

__all__ = ["pascal_voc"]

_SPLITS = ("train", "val", "trainval", "trainaug")
_LAYOUT = "Pascal VOC's tree holds JPEGImages, SegmentationClass and ImageSets/Segmentation"


def pascal_voc(root: Path, split: str, *, sbd: Path | None = None) -> Dataset:
    """Open Pascal VOC 2012.

    Args:
        root: the folder with JPEGImages, or one above it.
        split: `train` (1,464), `val` (1,449), `trainval`, or `trainaug` (10,582).
        sbd: for `trainaug`, SBD's folder with `cls`, or one above it; None needs `SegmentationClassAug` in `root`.

    Raises:
        DataError: the tree is incomplete.
    """
    require_split(split, _SPLITS)
    base = _inside(Path(root), "JPEGImages", ("VOC2012", "VOCdevkit/VOC2012"), _LAYOUT)
    lists = base / "ImageSets" / "Segmentation"
    if split != "trainaug":
        masks = {
            name: base / "SegmentationClass" / f"{name}.png" for name in names_in(lists / f"{split}.txt")
        }
    elif sbd is not None:
        masks = _augmented(base, Path(sbd))
    else:
        masks = _ready_made(base)
    samples = (Sample(name, base / "JPEGImages" / f"{name}.jpg", mask) for name, mask in masks.items())
    origin = f"Pascal VOC {split}"
    return Dataset(origin, existing(samples, origin), 21, _read_mask)


def _inside(root: Path, wanted: str, deeper: tuple[str, ...], layout: str) -> Path:
    for candidate in (root, *(root / folder for folder in deeper)):
        if (candidate / wanted).is_dir():
            return candidate
    return require_folder(root / wanted, layout)


def _augmented(base: Path, sbd: Path) -> dict[str, Path]:
    lists = base / "ImageSets" / "Segmentation"
    sbd = _inside(
        sbd, "cls", ("dataset", "benchmark_RELEASE/dataset"), "SBD's tree holds cls, train.txt and val.txt"
    )
    own, held_out = names_in(lists / "train.txt"), set(names_in(lists / "val.txt"))
    masks = {name: base / "SegmentationClass" / f"{name}.png" for name in own}
    for name in (*names_in(sbd / "train.txt"), *names_in(sbd / "val.txt")):
        if name not in held_out:
            masks.setdefault(name, sbd / "cls" / f"{name}.mat")
    return dict(sorted(masks.items()))


def _ready_made(base: Path) -> dict[str, Path]:
    folder = base / "SegmentationClassAug"
    if not folder.is_dir():
        raise DataError(
            "`trainaug` needs the annotations of SBD",
            received=f"neither `sbd` nor a folder {folder}",
            repair="sbd: path of benchmark_RELEASE/dataset, from the Semantic Boundaries Dataset",
        )
    listed = base / "ImageSets" / "Segmentation" / "trainaug.txt"
    if listed.is_file():
        # Lists in circulation hold names alone, or pairs "/JPEGImages/x.jpg /SegmentationClassAug/x.png".
        names = [Path(line.split()[0]).stem for line in names_in(listed)]
    else:
        held_out = set(names_in(base / "ImageSets" / "Segmentation" / "val.txt"))
        names = sorted(path.stem for path in folder.glob("*.png") if path.stem not in held_out)
    return {name: folder / f"{name}.png" for name in names}


def _read_mask(sample: Sample) -> Mask:
    return _read_sbd(sample.mask) if sample.mask.suffix == ".mat" else read_indices(sample.mask)


def _read_sbd(path: Path) -> Mask:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise EnvironmentUnsupportedError(
            "reading SBD's .mat annotations needs SciPy",
            received=str(error),
            repair="pip install 'atrous[data]'",
        ) from error
    try:
        classes = loadmat(path, simplify_cells=True)["GTcls"]["Segmentation"]
        mask = np.asarray(classes)
    except Exception as error:  # the parser meets arbitrary bytes and documents no list of errors
        raise _no_sbd(path, f"{type(error).__name__}: {error}") from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise _no_sbd(path, f"Segmentation is {mask.dtype} of shape {mask.shape}")
    return mask


def _no_sbd(path: Path, received: str) -> DataError:
    return DataError(
        "an annotation of SBD holds GTcls.Segmentation, one uint8 class index per pixel",
        received=f"{path}: {received}",
        repair="fetch SBD's archive again",
    )
