"""What there is to segment: images in files, folders, globs and TFRecord shards, each with the name of its results."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from registry.data.messages import BadExampleError, decode_example
from registry.data.records import RecordFile, open_records
from registry.errors import DataError, OutputPathError
from registry.images import FORMATS, read_file

__all__ = ["Item", "find_items", "image_suffixes"]

_IMAGE = "image/encoded"
_RECORDS = ".tfrecord"
_MAGIC = frozenset("*?[")
_LISTED = 3


@dataclass(frozen=True)
class Item:
    """An image to segment.

    Args:
        key: names its results, relative to the output folder, without an ending: `street/0001`.
        path: the image's file, or the TFRecord file that holds it.
        record: its number in that file; None for an image's own file.
    """

    key: str
    path: Path
    record: int | None = None

    @property
    def source(self) -> str:
        """Where it comes from, for messages."""
        return str(self.path) if self.record is None else f"{self.path}:{self.record}"

    def read(self) -> bytes:
        """The image's file as it is stored.

        Raises:
            ImageError: the file is absent or unreadable.
            DataError: the record is damaged or holds no image.
        """
        if self.record is None:
            return read_file(self.path)
        records = _records_of(self.path)
        place = records.place(self.record)
        try:
            values = decode_example(records.read(self.record)).get(_IMAGE, [])
        except BadExampleError as error:
            raise DataError(
                "a record of images is a tf.train.Example", received=f"{place}: {error}"
            ) from error
        if len(values) != 1 or not isinstance(values[0], bytes):
            raise DataError(
                f"a record must have one value of {_IMAGE!r} to be segmented",
                received=f"{place}: {len(values)} values",
                repair="pack the images with `atrous data pack`, or with the feature names of DeepLab's tools",
            )
        return values[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content, of which `Item.of` makes the same."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Item:
        """From `to_dict`."""
        return cls(fields["key"], Path(fields["path"]), fields["record"])


@cache
def image_suffixes() -> tuple[str, ...]:
    """Endings of the image files that are looked for in a folder, lower case."""
    return tuple(sorted(end for end, name in Image.registered_extensions().items() if name in FORMATS))


def find_items(sources: Sequence[str | os.PathLike[str]], *, leaving_out: Path | None = None) -> list[Item]:
    """Find images.

    Args:
        sources: image files; folders, which are searched to their depths but for hidden files and links to folders;
            globs (`photos/**/*.jpg`); and TFRecord files (`*.tfrecord`), of which each record is an image.
        leaving_out: a folder whose content is none of it: that of the results.

    Returns:
        Images in the order of the sources, each once; those of a folder sorted by name.

    Raises:
        DataError: a source does not exist, holds no image, or is a damaged TFRecord file.
        OutputPathError: the results of two images would have one name.
    """
    hidden = None if leaving_out is None else leaving_out.resolve()
    found: dict[tuple[Path, int | None], Item] = {}
    for source in sources:
        before = len(found)
        text = os.fspath(source)
        for item in _items_of(text):
            if hidden is None or not item.path.resolve().is_relative_to(hidden):
                found.setdefault((item.path.absolute(), item.record), item)
        if len(found) == before and not any(True for _ in _items_of(text)):
            raise DataError(
                "a source must hold at least one image",
                received=text,
                repair=f"images end in {', '.join(image_suffixes()[:8])}, …; packed ones in {_RECORDS}",
            )
    return _named(list(found.values()))


def _items_of(text: str) -> Iterator[Item]:
    path = Path(text).expanduser()
    if path.is_dir():
        yield from _in_folder(path)
    elif path.is_file():
        yield from _in_file(path, path.name)
    elif _MAGIC & set(text):
        root = Path(*_fixed_parts(path))
        for name in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 - `**` of any place, hidden files left out
            if os.path.isfile(name):  # noqa: PTH113
                yield from _in_file(Path(name), Path(name).relative_to(root).as_posix())
    else:
        raise DataError(
            "a source must be an image, a folder, a glob or a TFRecord file that exists",
            received=text,
            repair="check the path; a glob is put in quotes",
        )


def _fixed_parts(path: Path) -> Iterable[str]:
    """The folders of a glob before its first wildcard."""
    for part in path.parts[:-1]:
        if _MAGIC & set(part):
            return
        yield part


def _in_folder(folder: Path) -> Iterator[Item]:
    suffixes = (*image_suffixes(), _RECORDS)
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in suffixes:
                yield from _in_file(path, path.relative_to(folder).as_posix())


def _in_file(path: Path, name: str) -> Iterator[Item]:
    stem = PurePosixPath(name).with_suffix("").as_posix()
    if path.suffix.lower() != _RECORDS:
        yield Item(stem, path)
        return
    for number in range(len(_records_of(path))):
        yield Item(f"{stem}/{number:06}", path, number)


@lru_cache(maxsize=256)
def _records_of(path: Path) -> RecordFile:
    return open_records(path)


def _named(items: list[Item]) -> list[Item]:
    """Let images of one stem (`a.jpg`, `a.png`) keep their endings, and refuse names that are still one."""
    by_key: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_key[item.key.casefold()].append(item)
    named = [
        item if len(by_key[item.key.casefold()]) == 1 else replace(item, key=item.key + item.path.suffix)
        for item in items
    ]
    twins: dict[str, list[Item]] = defaultdict(list)
    for item in named:
        twins[item.key.casefold()].append(item)
    clashes = [pair for pair in twins.values() if len(pair) > 1]
    if clashes:
        shown = "; ".join(" and ".join(item.source for item in pair) for pair in clashes[:_LISTED])
        raise OutputPathError(
            "the results of each image must have a name of their own, which is that of the image within its source",
            received=shown,
            repair="give the folder above both sources, or segment them into two output folders",
        )
    return named
