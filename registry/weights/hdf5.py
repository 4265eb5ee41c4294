"""What every HDF5 file of weights is held to: its arrays lie in it, are as large as they say, and are finite.

HDF5 can point into other files of the machine (external and soft links, external storage, virtual datasets) and can
claim gigabytes that a few bytes decompress to. No weights file needs any of it. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from registry.errors import WeightsError, WeightsFormatError
from registry.weights.arrays import StoredArray
from registry.weights.hdf5_heaps import endless_heap

__all__ = [
    "Malformed",
    "attribute",
    "check_file",
    "check_links",
    "follow",
    "reading",
    "stored_dataset",
    "text_attribute",
]

# Makes a format's own error from the file and what is wrong with it.
Malformed = Callable[[Path, str], WeightsFormatError]

# Trained weights hardly compress. Beyond this, a small file would ask for much memory.
_LARGEST_COMPRESSION = 16
_SMALL = 1 << 20
_MOST_OBJECTS = 200_000
_LARGEST_ATTRIBUTE = 64 << 20
# Filters of the HDF5 library itself: deflate, shuffle, Fletcher's checksum, szip, n-bit, scale-offset; and h5py's LZF.
# For any other it would look for a shared library and run it.
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})


@contextmanager
def reading(path: Path, malformed: Malformed) -> Iterator[Any]:
    """Yield the opened file, walked before; whatever a damaged one raises becomes the format's error."""
    with _as_malformed(path, malformed):
        heap = endless_heap(path)
        if heap is not None:
            raise malformed(path, f"the pieces of its heap of texts at byte {heap} do not add up")
        with h5py.File(path, "r") as file:
            yield file


@contextmanager
def _as_malformed(path: Path, malformed: Malformed) -> Iterator[None]:
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:  # damage surfaces as any of OSError, KeyError, RuntimeError, ValueError, …
        raise malformed(path, f"{type(error).__name__}: {error}") from error


def check_links(path: Path, group: Any, malformed: Malformed) -> None:
    """Refuse a group with a member that lies elsewhere."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise malformed(path, f"{group.name}/{name} is a link to somewhere else")


def follow(path: Path, group: Any, key: str, malformed: Malformed) -> Any:
    """The member `a/b/c` of a group, or None; a link on the way is refused."""
    item = group
    for name in filter(None, key.split("/")):
        if not isinstance(item, h5py.Group) or name not in item:
            return None
        if not isinstance(item.get(name, getlink=True), h5py.HardLink):
            raise malformed(path, f"{item.name}/{name} is a link to somewhere else")
        item = item[name]
    return item


def check_file(path: Path, malformed: Malformed) -> None:
    """Hold every object of a file to these rules, without reading an array: for a reader that is not ours.

    Args:
        path: an HDF5 file.
        malformed: makes the error.

    Raises:
        WeightsFormatError: a link leads elsewhere, an array is not what it says, or there are too many of them.
    """
    count = total = 0

    def visit(name: Any, item: Any) -> None:
        nonlocal count, total
        count += 1
        if count > _MOST_OBJECTS:
            raise malformed(path, f"it holds more than {_MOST_OBJECTS:,} objects")
        if isinstance(item, h5py.Group):
            check_links(path, item, malformed)
        elif isinstance(item, h5py.Dataset):
            _check_dataset(path, item, malformed)
            total += _bytes_of(item.shape, item.dtype)
        else:
            raise malformed(path, f"{name!r} is neither a group nor an array")

    with reading(path, malformed) as file:
        check_links(path, file, malformed)
        file.visititems(visit)
        if total > _allowed(path):
            raise malformed(path, f"its arrays claim {total:,} bytes, more than the file can hold")


def attribute(path: Path, group: Any, name: str, malformed: Malformed) -> Any:
    """An attribute of a group, of bounded size.

    Raises:
        WeightsFormatError: it is larger.
    """
    # Not by its size in the file, which h5py cannot tell of an empty one.
    stored = group.attrs.get_id(name)
    if _bytes_of(stored.shape or (), stored.dtype) > _LARGEST_ATTRIBUTE:
        raise malformed(path, f"the attribute {name!r} is larger than {_LARGEST_ATTRIBUTE:,} bytes")
    return group.attrs[name]


def text_attribute(path: Path, group: Any, name: str, malformed: Malformed) -> str | None:
    """A text that is an attribute of a group, of bounded size; None if there is none."""
    if name not in group.attrs:
        return None
    value = attribute(path, group, name, malformed)
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(text, str) or len(text) > _LARGEST_ATTRIBUTE:
        raise malformed(path, f"the attribute {name!r} is no text, or too long")
    return text


def stored_dataset(path: Path, dataset: Any, malformed: Malformed) -> StoredArray:
    """Check a dataset by reading it once, and keep only where it is."""
    key = dataset.name
    _check_dataset(path, dataset, malformed)
    if not np.isfinite(dataset[()]).all():
        raise malformed(path, f"the array {key!r} holds NaN or Inf")

    def read() -> np.ndarray:
        # Heaps were walked when the file was first opened; to do it for each array would take most of the time.
        with _as_malformed(path, malformed), h5py.File(path, "r") as file:
            return np.asarray(file[key][()])

    return StoredArray(tuple(dataset.shape), read, dataset.dtype)


def _check_dataset(path: Path, dataset: Any, malformed: Malformed) -> None:
    key = dataset.name
    if dataset.external or dataset.is_virtual:
        raise malformed(path, f"the values of {key!r} lie in another file")
    if dataset.dtype.kind not in "fiub":
        raise malformed(path, f"the array {key!r} has dtype {dataset.dtype}, not numbers")
    if _bytes_of(dataset.shape, dataset.dtype) > _allowed(path):
        raise malformed(
            path,
            f"the array {key!r} claims {_bytes_of(dataset.shape, dataset.dtype):,} bytes, more than the file can hold",
        )
    if dataset.chunks is not None and _bytes_of(dataset.chunks, dataset.dtype) > _allowed(path):
        raise malformed(
            path, f"the array {key!r} is stored in pieces of {dataset.chunks}, larger than the file"
        )
    filters = dataset.id.get_create_plist()
    foreign = {filters.get_filter(number)[0] for number in range(filters.get_nfilters())} - _FILTERS
    if foreign:
        raise malformed(
            path, f"the array {key!r} needs the filter {min(foreign)}, which is code of another library"
        )


def _allowed(path: Path) -> int:
    return max(_SMALL, _LARGEST_COMPRESSION * path.stat().st_size)


def _bytes_of(shape: tuple[int, ...], dtype: Any) -> int:
    return math.prod(shape) * dtype.itemsize
