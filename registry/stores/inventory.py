"""What is in the cache: its files, what has come of others, and what hubs keep elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.stores.cache import Entry, files_folder, owner_of

__all__ = ["CachedFile", "entries", "list_cache", "size_of"]


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache.

    Args:
        name: its name, with its path in the folder that it comes from.
        handle: where it comes from, without a hash; None if nothing tells.
        path: where it is.
        size: bytes; 0 if it is not complete.
        sha256: its hash when it was fetched; None if nothing tells.
        fetched: when it was fetched, in seconds since 1970; None if nothing tells, or it is not complete.
        used: when it was last asked for.
        partial: bytes of it that have come and are not in their place yet.
    """

    name: str
    handle: str | None
    path: Path
    size: int
    sha256: str | None
    fetched: float | None
    used: float
    partial: int

    @property
    def complete(self) -> bool:
        """Whether the file is there as a whole."""
        return self.path.is_file()

    def to_dict(self) -> dict[str, Any]:
        """Values, ready for JSON."""
        return {**asdict(self), "path": str(self.path), "complete": self.complete}


def list_cache() -> list[CachedFile]:
    """Every file in the cache, the one that was used last first."""
    files = [file for entry in entries() if (file := _described(entry)) is not None]
    return sorted(files, key=lambda file: (-file.used, file.name))


def entries() -> Iterator[Entry]:
    """The place of every file in the cache, complete or not."""
    for folder in sorted(_folders(files_folder())):
        seen: set[str] = set()
        for path in sorted(folder.rglob("*")):
            owner = owner_of(path)
            if path.is_symlink() or not path.is_file() or (path.name.startswith(".") and owner is None):
                continue
            name = path.with_name(owner[0]) if owner else path
            seen.add(name.relative_to(folder).as_posix())
        yield from (Entry(folder, name) for name in sorted(seen))


def size_of(folder: Path) -> int:
    """Bytes in a folder, links not followed; 0 if there is none."""
    size, folders = 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for item in found:
                    if item.is_dir(follow_symlinks=False):
                        folders.append(Path(item.path))
                    elif item.is_file(follow_symlinks=False):
                        size += item.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return size


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _described(entry: Entry) -> CachedFile | None:
    record, state = entry.record(), entry.state()
    note = record or state
    try:
        is_there = entry.path.is_file()
        return CachedFile(
            name=entry.name,
            handle=None if note is None else note.place,
            path=entry.path,
            size=entry.path.stat().st_size if is_there else 0,
            sha256=record.sha256 if record is not None and is_there else None,
            fetched=record.fetched if record is not None and is_there else None,
            used=entry.used(),
            partial=entry.part_size(),
        )
    except OSError:  # removed at this moment
        return None
