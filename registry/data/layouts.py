"""Find images and their annotations in a folder tree: shared steps of every layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from registry.data.dataset import Sample
from registry.errors import DataError, nearest

__all__ = ["IMAGE_SUFFIXES", "existing", "names_in", "require_folder", "require_split"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_LISTED = 5


def require_folder(folder: Path, layout: str) -> Path:
    """The folder itself.

    Raises:
        DataError: it does not exist.
    """
    if not folder.is_dir():
        raise DataError(
            layout,
            received=f"no folder {folder}",
            repair="check `root`, and that the archive was unpacked whole",
        )
    return folder


def require_split(split: str, known: Iterable[str]) -> str:
    """The split itself.

    Raises:
        DataError: the layout has no such split.
    """
    names = sorted(known)
    if split not in names:
        raise DataError(
            f"the splits of this data set are {', '.join(names)}",
            received=split,
            repair=nearest(split, names),
        )
    return split


def names_in(path: Path) -> list[str]:
    """The lines of a list of images, without empty ones.

    Raises:
        DataError: the list cannot be read or is empty.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "a split is a text file with one image name per line",
            received=f"{path}: {error}",
            repair="check `root` and `split`",
        ) from error
    names = [name for name in names if name]
    if not names:
        raise DataError("a split must name at least one image", received=f"{path} is empty")
    return names


def existing(samples: Iterable[Sample], origin: str) -> tuple[Sample, ...]:
    """The samples, once all of their files were seen.

    Raises:
        DataError: there are none, or files are missing; names the first of them.
    """
    found = tuple(samples)
    if not found:
        raise DataError(f"{origin} must hold at least one image", received="none")
    missing = list(_missing(found))
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DataError(
            f"every image of {origin} needs its annotation, and every annotation its image",
            received=f"missing: {', '.join(map(str, missing[:_LISTED]))}{more}",
            repair="unpack all archives of the data set into one tree",
        )
    return found


def _missing(samples: Sequence[Sample]) -> Iterator[Path]:
    # A listing of each folder costs far less than asking for ten thousand files one by one.
    contents: dict[Path, set[str]] = {}
    for sample in samples:
        for path in (sample.image, sample.mask):
            if path.parent not in contents:
                contents[path.parent] = (
                    {entry.name for entry in path.parent.iterdir()} if path.parent.is_dir() else set()
                )
            if path.name not in contents[path.parent]:
                yield path
