"""The entrance to data sets: a section of a recipe becomes annotated images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from registry.config import DataSource
from registry.data.ade20k import ade20k
from registry.data.cityscapes import cityscapes
from registry.data.coco import coco_panoptic, coco_stuff
from registry.data.dataset import AnnotatedImages
from registry.data.digits import DigitsInPhotographs
from registry.data.folder import folder_pairs
from registry.data.pascal_voc import pascal_voc
from registry.data.shards import tfrecord
from registry.errors import DataError

__all__ = ["open_data"]


def open_data(
    source: DataSource, *, num_classes: int | None = None, data_root: Path | None = None
) -> AnnotatedImages:
    """Open what a recipe names.

    Args:
        source: a section of a recipe.
        num_classes: of the model; taken where the source leaves its own open, and compared with it elsewhere.
        data_root: what relative paths lie under; None is the working directory.

    Returns:
        Annotated images; nothing is decoded yet.

    Raises:
        DataError: the tree is incomplete, or it has another number of classes than the model.
        EnvironmentUnsupportedError: the reader needs a package that is not installed.
    """
    options = source.model_dump(exclude={"reader"})
    if "root" in options:
        options["root"] = _under(data_root, options["root"])
    if "num_classes" in options and options["num_classes"] is None:
        if num_classes is None:
            raise DataError(
                f"the reader {source.reader!r} must be told the number of classes",
                received="none",
                repair="num_classes: 21, background included",
            )
        options["num_classes"] = num_classes
    opened = _OPENERS[source.reader](options, data_root)
    if num_classes is not None and opened.num_classes != num_classes:
        raise DataError(
            "model and data must have the same classes",
            received=f"{num_classes} classes of the model, {opened.num_classes} of {opened.name}",
            repair=f"num_classes: {opened.num_classes} in the preset, or another reader",
        )
    return opened


def _under(data_root: Path | None, path: str) -> Path:
    return (data_root or Path()) / Path(path).expanduser()


def _read_by(function: Callable[..., Any]) -> Callable[[dict[str, Any], Path | None], AnnotatedImages]:
    return lambda options, data_root: function(**options)


def _pascal_voc(options: dict[str, Any], data_root: Path | None) -> AnnotatedImages:
    sbd = options.pop("sbd")
    return pascal_voc(**options, sbd=None if sbd is None else _under(data_root, sbd))


def _folder(options: dict[str, Any], data_root: Path | None) -> AnnotatedImages:
    pairs = options.pop("values")
    return folder_pairs(**options, values=dict(pairs) or None)


_OPENERS: Mapping[str, Callable[[dict[str, Any], Path | None], AnnotatedImages]] = {
    "ade20k": _read_by(ade20k),
    "cityscapes": _read_by(cityscapes),
    "coco_panoptic": _read_by(coco_panoptic),
    "coco_stuff": _read_by(coco_stuff),
    "digits": _read_by(DigitsInPhotographs),
    "folder": _folder,
    "pascal_voc": _pascal_voc,
    "tfrecord": _read_by(tfrecord),
}
