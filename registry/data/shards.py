"""Annotated images in TFRecord shards, with the features of DeepLab's and TF Model Garden's data tools.

A shard is named `<name>-<number>-of-<count>.tfrecord`, with five digits each, and holds `tf.train.Example` messages:

| feature | value |
|---|---|
| `image/encoded`, `image/format` | the image's file, and `jpeg` or `png` |
| `image/filename` | its name |
| `image/height`, `image/width`, `image/channels` | of the decoded image |
| `image/segmentation/class/encoded`, `image/segmentation/class/format` | class indices as gray PNG, and `png` |

Reading needs the two `encoded` features alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from registry.data.dataset import IGNORE_LABEL, Example, Mask, Stored, checked_example
from registry.data.layouts import require_folder
from registry.data.messages import BadExampleError, decode_example, encode_example
from registry.data.records import RecordFile, open_records
from registry.errors import DataError
from registry.images import load_indices, plain_format

__all__ = ["Shards", "shard_name", "tfrecord", "to_message"]

_IMAGE, _MASK, _NAME = "image/encoded", "image/segmentation/class/encoded", "image/filename"
_MASK_FORMAT = "image/segmentation/class/format"
_SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(\.[^.]*)?")
_LISTED = 5


def tfrecord(
    root: Path,
    *,
    pattern: str = "*.tfrecord",
    num_classes: int,
    ignore_label: int = IGNORE_LABEL,
    labels: Sequence[str] = (),
) -> Shards:
    """Open TFRecord shards.

    Args:
        root: the folder of the shards.
        pattern: which of its files, as a glob; they must be one set of shards.
        num_classes: number of classes, background included.
        ignore_label: mask value that is not counted.
        labels: names of the classes.

    Raises:
        DataError: there are no such files, shards are missing, or a file is damaged.
    """
    root = require_folder(Path(root), "shards lie in one folder")
    try:
        paths = sorted(path for path in root.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise DataError(
            "a pattern names files inside of `root`",
            received=f"{pattern}: {error}",
            repair="pattern: '*.tfrecord'",
        ) from error
    if not paths:
        raise DataError(
            "a pattern must match at least one shard",
            received=f"no {pattern} in {root}",
            repair="check `root` and `pattern`",
        )
    _require_whole_set(paths)
    files = tuple(file for path in paths if len(file := open_records(path)))
    if not files:
        raise DataError(
            "shards must hold at least one record", received=f"{len(paths)} empty files in {root}"
        )
    return Shards(f"{root.name}/{pattern}", files, num_classes, ignore_label, tuple(labels))


class Shards(Sequence[Example]):
    """Annotated images in TFRecord files, read and decoded when they are asked for.

    Args:
        name: for messages.
        files: the shards in order.
        num_classes: mask values are 0 … num_classes - 1, and the ignore label.
        ignore_label: mask value that is not counted.
        labels: names of the classes.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[RecordFile],
        num_classes: int,
        ignore_label: int = IGNORE_LABEL,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.name, self.files = name, tuple(files)
        self.num_classes, self.ignore_label, self.labels = num_classes, ignore_label, labels
        self._ends = np.cumsum([len(file) for file in files])

    def __len__(self) -> int:
        """Number of records."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        """Decode one example, or those of a slice.

        Raises:
            ImageError: image or annotation cannot be decoded.
            DataError: the record is damaged, sizes differ, or the mask holds values that are no class.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return checked_example(self.stored(index), self)

    def __iter__(self) -> Iterator[Example]:
        """Decode one after the other."""
        return (self[index] for index in range(len(self)))

    def stored(self, index: int) -> Stored:
        """One of the records, read but not decoded.

        Raises:
            DataError: the record is damaged, or holds no annotated image.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        shard = int(np.searchsorted(self._ends, index, side="right"))
        file = self.files[shard]
        number = index - int(self._ends[shard]) + len(file)
        return _stored(file.read(number), f"{file.path.stem}:{number}", file.place(number))


def shard_name(name: str, number: int, count: int) -> str:
    """File name of a shard, as TensorFlow's tools write it."""
    return f"{name}-{number:05}-of-{count:05}.tfrecord"


def to_message(name: str, encoded: bytes | None, example: Example) -> bytes:
    """Serialize an annotated image.

    The image's own file is kept where every decoder reads it alike; else its pixels are stored as PNG.

    Args:
        name: of the image.
        encoded: its file; None for an image that comes from no file.
        example: the same, decoded.
    """
    kind = plain_format(encoded) if encoded is not None else None
    if encoded is None or kind is None:
        encoded, kind = _png(example.image), "png"
    height, width = example.mask.shape
    return encode_example(
        {
            _IMAGE: encoded,
            "image/format": kind.encode(),
            _NAME: name.encode(),
            "image/height": height,
            "image/width": width,
            "image/channels": 3,
            _MASK: _png(example.mask),
            _MASK_FORMAT: b"png",
        }
    )


def _png(pixels: Any) -> bytes:
    # Gray, never indexed: other decoders would turn a palette's indices into its colours.
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def _stored(content: bytes, name: str, place: str) -> Stored:
    try:
        features = decode_example(content)
    except BadExampleError as error:
        raise DataError(
            "a record of annotated images is a tf.train.Example", received=f"{place}: {error}"
        ) from error
    image, mask = _bytes_of(features, _IMAGE, place), _bytes_of(features, _MASK, place)
    if features.get(_MASK_FORMAT) == [b"raw"]:
        raise DataError(
            "the annotation of a record must be an image file",
            received=f"{place}: {_MASK_FORMAT} is raw, which panoptic tools write",
            repair="store class indices as gray PNG",
        )
    names = features.get(_NAME, [])
    if names and isinstance(names[0], bytes) and names[0]:
        name = names[0].decode("utf-8", errors="replace")

    def read_mask() -> Mask:
        indices = load_indices(mask, name=f"{_MASK} of {place}")
        if indices.ndim == 3:
            raise DataError(
                "an annotation of class indices has one value per pixel",
                received=f"{_MASK} of {place}: RGB colours",
                repair="convert colours to class indices before packing",
            )
        return indices

    return Stored(name, place, image, read_mask)


def _bytes_of(features: dict[str, list[Any]], key: str, place: str) -> bytes:
    values = features.get(key, [])
    if len(values) != 1 or not isinstance(values[0], bytes):
        raise DataError(
            f"each record must have one value of {key!r}",
            received=f"{place}: {len(values)} values; its features are {', '.join(sorted(features)) or 'none'}",
            repair="pack the data with DeepLab's or Model Garden's feature names, or with `atrous data pack`",
        )
    content: bytes = values[0]
    return content


def _require_whole_set(paths: Sequence[Path]) -> None:
    """Refuse two sets at once, and a set of which shards are missing; other names are taken as they are."""
    matches = [match for path in paths if (match := _SHARD.fullmatch(path.name))]
    sets = sorted({f"{match['name']} in {int(match['count'])} shards" for match in matches})
    if len(sets) > 1:
        raise DataError(
            "a pattern must match one set of shards",
            received=", ".join(sets),
            repair=f"pattern: '{matches[0]['name']}-*-of-{matches[0]['count']}*'",
        )
    if matches:
        count = int(matches[0]["count"])
        missing = sorted(set(range(count)) - {int(match["number"]) for match in matches})
        if missing:
            more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
            raise DataError(
                f"all {count} shards of {matches[0]['name']} must be there",
                received=f"missing: {', '.join(map(str, missing[:_LISTED]))}{more}",
                repair="copy or pack the others, too",
            )
