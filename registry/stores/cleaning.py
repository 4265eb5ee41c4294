"""Removing files from the cache, but none that is being written."""

from __future__ import annotations

import fnmatch
import shutil
import time
from dataclasses import dataclass

from registry.stores.cache import Entry, cache_folder, writing_the_cache
from registry.stores.inventory import CachedFile, entries, list_cache

__all__ = ["Cleaned", "Selection", "clean_cache"]


@dataclass(frozen=True)
class Selection:
    """Which complete files are removed: those that all stated conditions hold for. Parts of files always are.

    Args:
        everything: all files.
        handle: a handle, with * and ? as wildcards; a hash in it is ignored.
        unused_for: seconds since a file was last asked for.
        larger_than: bytes.
        down_to: bytes that may stay in all; those that were not used for the longest time go first.
    """

    everything: bool = False
    handle: str | None = None
    unused_for: float | None = None
    larger_than: int | None = None
    down_to: int | None = None

    def pick(self, files: list[CachedFile]) -> list[CachedFile]:
        """The files that are removed.

        Args:
            files: all of them.
        """
        conditions = (self.handle, self.unused_for, self.larger_than)
        picked = (
            [file for file in files if self._holds_for(file)]
            if any(c is not None for c in conditions)
            else []
        )
        if self.everything:
            picked = files
        if self.down_to is not None:
            left = sum(file.size for file in files) - sum(file.size for file in picked)
            for file in sorted(files, key=lambda file: file.used):
                if left <= self.down_to:
                    break
                if file not in picked:
                    picked = [*picked, file]
                    left -= file.size
        return picked

    def _holds_for(self, file: CachedFile) -> bool:
        pattern = self.handle and self.handle.partition("#")[0]
        return (
            (pattern is None or fnmatch.fnmatchcase(file.handle or "", pattern))
            and (self.unused_for is None or time.time() - file.used >= self.unused_for)
            and (self.larger_than is None or file.size > self.larger_than)
        )


@dataclass(frozen=True)
class Cleaned:
    """What was removed.

    Args:
        removed: complete files.
        parts: files of which parts were removed.
        busy: files that another process is writing; they were left alone.
        freed: bytes.
    """

    removed: tuple[CachedFile, ...]
    parts: tuple[CachedFile, ...]
    busy: tuple[CachedFile, ...]
    freed: int


def clean_cache(selection: Selection, *, dry_run: bool = False) -> Cleaned:
    """Remove parts of files that nobody is writing, and the complete files that are selected.

    Args:
        selection: which complete files.
        dry_run: only say what would be removed.

    Raises:
        OutputPathError: the cache cannot be written.
    """
    places = {entry.path: entry for entry in entries()}
    files = [file for file in list_cache() if file.path in places]
    picked = {file.path for file in selection.pick([file for file in files if file.complete])}
    removed: list[CachedFile] = []
    parts: list[CachedFile] = []
    busy: list[CachedFile] = []
    freed = 0
    for file in files:
        if file.path not in picked and file.complete and not file.partial:
            continue
        entry = places[file.path]
        with entry.lock(wait=False) as held:
            if not held:
                busy.append(file)
                continue
            (removed if file.path in picked else parts).append(file)
            freed += _remove(entry, file, whole=file.path in picked or not file.complete, dry_run=dry_run)
    if selection.everything and not dry_run:
        # What hubs' files were; it is written anew when they are used.
        shutil.rmtree(cache_folder() / "seen", ignore_errors=True)
    return Cleaned(tuple(removed), tuple(parts), tuple(busy), freed)


def _remove(entry: Entry, file: CachedFile, *, whole: bool, dry_run: bool) -> int:
    if dry_run:
        return file.partial + (file.size if whole else 0)
    with writing_the_cache():
        return entry.remove() if whole else entry.forget_part()
