"""One file from a store into the cache: once for all processes, taken up where it was cut off, complete or not at all.

A file gets its name in three steps: its bytes are on disk (fsync), its hash is the stated one, it is renamed. Whatever
happens before, by a signal or a power cut too, there is no such file; after it, it is whole.

What has come of a file goes on where the connection ended. Within one process that needs a version of the content
which stayed the same (an ETag). Across processes it needs a stated hash, since a part may have holes after a power cut.
What was taken up is read again from the disk before it is believed; if the whole has another hash then, it is fetched
anew, once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from io import FileIO
from pathlib import Path
from typing import Protocol

from registry.atomic import is_out_of_space
from registry.errors import OutputPathError, WeightsError
from registry.progress import transfer_display, waiting_display
from registry.stores import patience
from registry.stores.cache import CACHE_VARIABLE, Entry, Record, State, cache_folder
from registry.stores.digest import Digest, another_file, digest_of
from registry.stores.handle import Handle
from registry.stores.messages import missing_offline, unavailable
from registry.stores.opened import OpenedFile
from registry.stores.store import FetchOptions

__all__ = ["INSTEAD", "LARGEST", "AbsentError", "Opener", "download"]

# Bytes. No network for segmentation comes near; a server that goes on and on does.
LARGEST = 16 << 30
_CHUNK = 1 << 18
# How often a file may turn out to be another one while it is fetched.
_CHANGES = 3
INSTEAD = "download it by other means and pass its path"


class AbsentError(OSError):
    """A store has no file of that name."""


class Opener(Protocol):
    """How a store is asked for a file from some byte on."""

    def __call__(self, *, start: int, version: str | None) -> OpenedFile:
        """Open the file; raises `FileNotFoundError`, `PermissionError`, `BusyError` or another `OSError`."""


def download(handle: Handle, entry: Entry, opener: Opener, options: FetchOptions) -> Path:
    """Bring a file into the cache that was not there a moment ago.

    Args:
        handle: of the file.
        entry: its place in the cache.
        opener: opens it in its store.
        options: how to fetch it.

    Returns:
        The file; its content has been checked.

    Raises:
        WeightsUnavailableError: it cannot be fetched completely, or the cache cannot be written.
        WeightsFormatError: what was fetched does not have the stated hash.
        AbsentError: the store says that there is no such file.
    """
    cache = f"{CACHE_VARIABLE}={cache_folder()}"
    if options.offline:
        raise missing_offline(handle, entry.name, cache=cache, declared=options.declared)
    try:
        with ExitStack() as stack:
            if not stack.enter_context(entry.lock(wait=False)):
                with waiting_display(options.progress, f"{entry.name} is being fetched by another process"):
                    stack.enter_context(entry.lock())
            # Whoever held the lock may have fetched it.
            kept = entry.intact(handle.digest)
            return _Transfer(handle, entry, opener, options).run() if kept is None else kept
    except (WeightsError, AbsentError):
        raise
    except OSError as error:
        raise unavailable(handle, error, cache=cache, instead=INSTEAD) from error


class _Transfer:
    """Under the lock: one file, in as many pieces as it takes.

    Args:
        handle: of the file.
        entry: its place in the cache.
        opener: opens it in its store.
        options: how to fetch it.
    """

    def __init__(self, handle: Handle, entry: Entry, opener: Opener, options: FetchOptions) -> None:
        self._handle = handle
        self._entry = entry
        self._open = opener
        self._options = options
        self._stated = handle.digest
        self._changes = 0
        # Whether the part is from more than one answer of the store.
        self._pieced = False
        self._begin(State(handle.place))

    def run(self) -> Path:
        """Fetch, check, settle."""
        with self._entry.writing(kept=self._stated is not None) as (file, path):
            try:
                self._take_up(file)
                self._receive_all(file)
                actual = self._hash_of(file, path)
                if actual != self._expected.value and self._pieced:
                    self._discard(file)
                    self._receive_all(file)
                    actual = self._hash_of(file, path)
                if actual != self._expected.value:
                    self._discard(file)
                    raise another_file(self._handle.text, self._expected, actual)
            except OSError as error:
                if is_out_of_space(error):
                    self._discard(file)
                    raise self._no_room(error) from error
                raise
            record = Record(
                self._state.place,
                self._hashes["sha256"].hexdigest(),
                self._received,
                time.time(),
                self._state.version,
            )
            return self._entry.settle(path, record)

    def _begin(self, state: State) -> None:
        self._state = state
        self._received = 0
        algorithms = {"sha256", self._stated.algorithm if self._stated else "sha256"}
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}

    def _discard(self, file: FileIO) -> None:
        self._begin(State(self._handle.place))
        self._pieced = False
        file.seek(0)
        file.truncate()

    def _take_up(self, file: FileIO) -> None:
        """Go on with what an earlier process has left, if it is known what that is."""
        size = os.fstat(file.fileno()).st_size
        state = self._entry.state()
        if not size or state is None or state.place != self._handle.place or size > (state.size or LARGEST):
            self._discard(file)
            return
        self._begin(state)
        while chunk := file.read(_CHUNK):
            self._take(chunk)
        self._pieced = True

    def _receive_all(self, file: FileIO) -> None:
        attempts = patience.Attempts(patience.DEFAULT)
        with transfer_display(self._options.progress, self._entry.name) as show:
            while self._received != self._state.size:
                before = self._received
                try:
                    self._receive(file, show)
                except patience.TRANSIENT as error:
                    attempts.failed(error, received=self._received - before)
                else:
                    return

    def _receive(self, file: FileIO, show: Callable[[int, int | None], None]) -> None:
        """Ask the store once, and take what it gives to the end."""
        may_continue = self._stated is not None or self._state.version is not None
        start = self._received if may_continue else 0
        try:
            opened = self._open(start=start, version=self._state.version if start else None)
        except FileNotFoundError as error:
            raise AbsentError(str(error)) from error
        with closing(opened.stream):
            if opened.start and (opened.start != start or not self._continues(opened)):
                self._discard(file)
                self._changes += 1
                message = "the file was changed while it was fetched"
                raise ConnectionError(message) if self._changes < _CHANGES else OSError(message)
            if not opened.start:
                self._discard(file)
                self._begin(State(self._handle.place, opened.size, opened.version))
                self._require_room(opened.size)
                if self._stated is not None:
                    self._entry.note(self._state)
            self._pieced = self._received > 0
            watch = patience.Watch(patience.DEFAULT)
            while chunk := self._read(opened):
                self._take(chunk)
                self._require_bounds()
                _write_all(file, chunk)
                show(self._received, self._state.size)
                watch.received(len(chunk))

    def _read(self, opened: OpenedFile) -> bytes:
        """The next bytes; none at the end, and only there."""
        size, cause = self._state.size, None
        try:
            chunk = opened.stream.read(_CHUNK)
        except ConnectionError as error:
            chunk, cause = b"", error
        if chunk or (cause is None and (size is None or self._received >= size)):
            return chunk
        known = "" if size is None else f" of {size:,}"
        raise ConnectionError(f"the connection ended after {self._received:,}{known} bytes") from cause

    def _continues(self, opened: OpenedFile) -> bool:
        known = self._state
        return opened.version == known.version and (known.size is None or opened.size in (known.size, None))

    def _take(self, chunk: bytes) -> None:
        self._received += len(chunk)
        for hasher in self._hashes.values():
            hasher.update(chunk)

    def _require_bounds(self) -> None:
        size = self._state.size
        if size is not None and self._received > size:
            raise OSError(f"more than the {size:,} bytes came that were announced")
        if self._received > LARGEST:
            raise OSError(f"more than {LARGEST:,} bytes came, the most that is taken")

    def _require_room(self, size: int | None) -> None:
        if size is None:
            return
        if not 0 <= size <= LARGEST:
            raise OSError(f"{size:,} bytes are announced, and {LARGEST:,} is the most that is taken")
        free = shutil.disk_usage(self._entry.folder).free
        if size > free:
            raise self._no_room(f"{size:,} bytes, and {free:,} are free")

    def _no_room(self, reason: object) -> OutputPathError:
        return OutputPathError(
            "the disk must have room for the whole file",
            received=f"{self._entry.path}: {reason}",
            repair=f"free some space, for instance by atrous cache clean, or set {CACHE_VARIABLE} to another disk",
        )

    @property
    def _expected(self) -> Digest:
        """The stated hash; without one, what came must at least be what is on the disk."""
        return self._stated or Digest("sha256", self._hashes["sha256"].hexdigest())

    def _hash_of(self, file: FileIO, path: Path) -> str:
        """Hash of what came; of the file on the disk if that was put together."""
        os.fsync(file.fileno())
        algorithm = self._expected.algorithm
        return digest_of(path, algorithm) if self._pieced else self._hashes[algorithm].hexdigest()


def _write_all(file: FileIO, chunk: bytes) -> None:
    # Unbuffered, so that a full disk shows here and nothing is left to be written when the file is closed.
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) or 0 :]
