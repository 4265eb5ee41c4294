"""What every HDF5 file of weights is held to: its arrays lie in it, are as large as they say, and are finite.

HDF5 can point into other files of the machine (external and soft links, external storage, virtual datasets) and can
claim gigabytes that a few bytes decompress to. No weights file needs any of it. Nothing here imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from registry.errors import WeightsError, WeightsFormatError
from registry.weights.arrays import StoredArray

__all__ = ["Malformed", "check_links", "follow", "reading", "stored_dataset"]

# Makes a format's own error from the file and what is wrong with it.
Malformed = Callable[[Path, str], WeightsFormatError]

# Trained weights hardly compress. Beyond this, a small file would ask for much memory.
_LARGEST_COMPRESSION = 16
_SMALL = 1 << 20


@contextmanager
def reading(path: Path, malformed: Malformed) -> Iterator[Any]:
    """Yield the opened file; whatever a damaged one raises becomes the format's error."""
    try:
        with h5py.File(path, "r") as file:
            yield file
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


def stored_dataset(path: Path, dataset: Any, malformed: Malformed) -> StoredArray:
    """Check a dataset by reading it once, and keep only where it is."""
    key = dataset.name
    if dataset.external or dataset.is_virtual:
        raise malformed(path, f"the values of {key!r} lie in another file")
    if dataset.dtype.kind not in "fiub":
        raise malformed(path, f"the array {key!r} has dtype {dataset.dtype}, not numbers")
    if dataset.nbytes > max(_SMALL, _LARGEST_COMPRESSION * path.stat().st_size):
        raise malformed(
            path, f"the array {key!r} claims {dataset.nbytes:,} bytes, more than the file can hold"
        )
    if not np.isfinite(dataset[()]).all():
        raise malformed(path, f"the array {key!r} holds NaN or Inf")

    def read() -> np.ndarray:
        with reading(path, malformed) as file:
            return np.asarray(file[key][()])

    return StoredArray(tuple(dataset.shape), read, dataset.dtype)
