"""Images of one's own: a folder of images, a folder of masks, files paired by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from registry.data.dataset import IGNORE_LABEL, Dataset, Mask, Sample
from registry.data.layouts import IMAGE_SUFFIXES, existing, names_in, require_folder
from registry.data.masks import by_color, lookup_table, read_indices, remapped
from registry.errors import DataError

__all__ = ["folder_pairs"]

_LISTED = 5


def folder_pairs(
    root: Path,
    split: str | None = None,
    *,
    num_classes: int,
    images: str = "images",
    masks: str = "masks",
    image_suffix: str = "",
    mask_suffix: str = "",
    palette: Sequence[Sequence[int]] = (),
    ignore_colors: Sequence[Sequence[int]] = (),
    values: Mapping[int, int] | None = None,
    ignore_label: int = IGNORE_LABEL,
    labels: Sequence[str] = (),
) -> Dataset:
    """Pair the files of two folders by name: `images/a.jpg` with `masks/a.png`.

    Args:
        root: the folder with both.
        split: None takes all. Else the name of a list `<split>.txt` (one name per line, with or without its ending)
            in `root`, or of a folder inside of both.
        num_classes: number of classes, background included.
        images: folder of the images under `root`; `{split}` stands for the split.
        masks: folder of the masks, likewise.
        image_suffix: what follows the common name in image files before the ending, for instance `_rgb`.
        mask_suffix: the same in mask files, for instance `_mask`.
        palette: RGB colour per class, for masks that hold colours; empty reads values.
        ignore_colors: colours that become the ignore label.
        values: stored value → class, for masks whose values are not the class indices (`{0: 0, 255: 1}`); what it
            does not name is ignored.
        ignore_label: mask value that is not counted.
        labels: names of the classes.

    Raises:
        DataError: folders or partners are missing, or the arguments contradict one another.
    """
    if palette and len(palette) != num_classes:
        raise DataError(
            "`palette` names one colour per class",
            received=f"{len(palette)} colours for {num_classes} classes",
            repair="list the colours in the order of the classes; colours to skip belong under `ignore_colors`",
        )
    if palette and values:
        raise DataError(
            "masks are read by `palette` or by `values`", received="both", repair="keep one of them"
        )
    root = Path(root)
    image_folder, mask_folder, chosen = _folders(root, split, images, masks)
    pictures = _by_stem(image_folder, image_suffix)
    annotations = _by_stem(mask_folder, mask_suffix)
    names = sorted(pictures) if chosen is None else chosen
    _require_partners(names, pictures, annotations, everything=chosen is None)
    table = None
    if values is not None:
        table = lookup_table(
            {int(stored): index for stored, index in values.items()}, other=ignore_label, values=65536
        )

    def read_mask(sample: Sample) -> Mask:
        if palette:
            return by_color(sample.mask, palette, ignore_colors=ignore_colors, ignore_label=ignore_label)
        mask = read_indices(sample.mask)
        return mask if table is None else remapped(mask, table)

    origin = f"{root.name} {split}" if split else root.name
    samples = (Sample(name, pictures[name], annotations[name]) for name in names)
    return Dataset(origin, existing(samples, origin), num_classes, read_mask, ignore_label, tuple(labels))


def _folders(root: Path, split: str | None, images: str, masks: str) -> tuple[Path, Path, list[str] | None]:
    layout = f"{root} must hold the folders of images and masks"
    if split is None:
        return require_folder(root / images, layout), require_folder(root / masks, layout), None
    image_folder, mask_folder = root / images.format(split=split), root / masks.format(split=split)
    listed = root / f"{split}.txt"
    if listed.is_file():
        names = [
            name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in IMAGE_SUFFIXES else name
            for name in names_in(listed)
        ]
        return require_folder(image_folder, layout), require_folder(mask_folder, layout), names
    if "{split}" not in images + masks:
        image_folder, mask_folder = image_folder / split, mask_folder / split
    return require_folder(image_folder, layout), require_folder(mask_folder, layout), None


def _by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.stem.endswith(suffix):
            continue
        name = path.stem.removesuffix(suffix)
        if name in found:
            raise DataError(
                "each name may stand for one file only",
                received=f"{found[name].name} and {path.name} in {folder}",
                repair="remove one of them, or tell them apart by image_suffix or mask_suffix",
            )
        found[name] = path
    return found


def _require_partners(
    names: Iterable[str], images: Mapping[str, Path], masks: Mapping[str, Path], *, everything: bool
) -> None:
    wanted = set(names)
    problems = {
        "without a mask": sorted(wanted & images.keys() - masks.keys()),
        "without an image": sorted((masks.keys() if everything else wanted) - images.keys()),
    }
    told = [f"{_listed(found)} {what}" for what, found in problems.items() if found]
    if told:
        raise DataError(
            "every image needs its mask, and every mask its image",
            received="; ".join(told),
            repair="names must be equal up to image_suffix, mask_suffix and the ending",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
