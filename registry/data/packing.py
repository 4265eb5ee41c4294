"""Write annotated images as TFRecord shards: few large files instead of many small ones."""

from __future__ import annotations

import glob
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from registry.atomic import atomic_path
from registry.data.dataset import AnnotatedImages, checked_example, stored_example
from registry.data.records import write_record
from registry.data.shards import shard_name, to_message
from registry.errors import DataError, OutputPathError

__all__ = ["pack"]

_PER_SHARD = 1000
_MOST = 99_999


def pack(
    data: AnnotatedImages,
    folder: Path,
    name: str,
    *,
    shards: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write annotated images as TFRecord shards, all of them or none.

    Images keep their own files' bytes where those are JPEG or PNG that every decoder reads alike; masks become gray
    PNG of class indices, with 16 bits where there are more than 255 classes. The order is that of the data set, and the
    same data set gives the same bytes.

    Args:
        data: annotated images.
        folder: an existing folder.
        name: what file names begin with: `<name>-00000-of-00010.tfrecord`.
        shards: number of files; None: one for each thousand images.
        progress: called with the number of images that are done, and of all.

    Returns:
        The files.

    Raises:
        ImageError, DataError: an image or mask is not as it should be; `registry.data.check_data` lists all of them.
        OutputPathError: a file cannot be written, or the folder holds another set of shards of that name.
    """
    total = len(data)
    count = max(1, -(-total // _PER_SHARD)) if shards is None else shards
    if not name or Path(name).name != name:
        raise OutputPathError(
            "the name of shards is what their file names begin with",
            received=name,
            repair="for instance train",
        )
    if not 1 <= count <= min(total, _MOST):
        raise DataError(
            "there are as many shards as images at most, and at least one",
            received=f"{count} shards for {total} images",
            repair="leave the number out: one shard for each thousand images",
        )
    folder = Path(folder)
    paths = [folder / shard_name(name, number, count) for number in range(count)]
    _refuse_another_set(folder, name, paths)
    with ExitStack() as stack:
        # All are renamed at the end, so that no incomplete set is ever seen.
        files = [stack.enter_context(atomic_path(path)) for path in paths]
        for number, file in enumerate(files):
            with file.open("wb") as stream:
                for index in range(number * total // count, (number + 1) * total // count):
                    stored = stored_example(data, index)
                    example = checked_example(stored, data)
                    write_record(stream, to_message(stored.name, stored.encoded_image(), example))
                    if progress is not None:
                        progress(index + 1, total)
    return paths


def _refuse_another_set(folder: Path, name: str, paths: list[Path]) -> None:
    others = sorted(set(folder.glob(f"{glob.escape(name)}-?????-of-?????.tfrecord")) - set(paths))
    if others:
        raise OutputPathError(
            "a folder holds one set of shards of a name, or a reader would mix them",
            received=f"{others[0]} and {len(others) - 1} more" if len(others) > 1 else str(others[0]),
            repair="remove the old shards, or choose another name or folder",
        )
