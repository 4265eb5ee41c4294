"""A store that hands out bytes; caching, locking, resuming and checking are done for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import ClassVar

from registry.errors import WeightsUnavailableError
from registry.stores.cache import CACHE_VARIABLE, Entry, cache_folder
from registry.stores.downloading import INSTEAD, AbsentError, download
from registry.stores.handle import Handle
from registry.stores.messages import missing_offline, unavailable
from registry.stores.opened import OpenedFile
from registry.stores.store import FetchOptions, Found, Store

__all__ = ["DownloadStore"]

# A version may end in a dot and a number, so that not every dot makes a file.
_FILE_SUFFIXES = (".h5", ".hdf5", ".keras", ".npz", ".safetensors", ".tflite")
_LONGEST_NAME = 200


class DownloadStore(Store):
    """A place that hands out the bytes of files.

    A subclass writes `open`, and sets `form`. Files come into atrous's cache; what was fetched once serves from there
    until it is cleaned, so that an address had better name a version.
    """

    needs_sha256: ClassVar[bool] = False
    """Whether a handle that no plugin names must state the SHA-256 of its file."""

    @abstractmethod
    def open(self, address: str, *, start: int, version: str | None) -> OpenedFile:
        """Open a file, to be read from some byte to its end.

        Args:
            address: what follows `scheme://`.
            start: the first byte that is wanted. A store that cannot begin there opens the file from its start, and
                says so.
            version: the version whose first `start` bytes are here already; of another one, open it from its start.
                None if there was none.

        Raises:
            FileNotFoundError: there is no such file.
            PermissionError: the caller may not have it.
            BusyError, ConnectionError, TimeoutError: asking again may help; that is done.
            OSError: it cannot be had, for another reason.
        """

    def check(self, handle: Handle) -> None:
        """Refuse an address that is malformed, before anything is asked.

        Raises:
            WeightsUnavailableError: it is.
        """

    def names_file(self, handle: Handle) -> bool:
        """Whether the address ends in the name of a weights file, as `.h5` or `.safetensors`."""
        return handle.address.lower().endswith(_FILE_SUFFIXES)

    def elsewhere(self, handle: Handle, name: str) -> Path | None:
        """A copy of the file that another program has fetched, and that has the stated hash."""
        return None

    def split(self, address: str) -> tuple[str, str]:
        """The folder and the name of a file."""
        folder, _, name = address.rpartition("/")
        return folder, name

    def fetch_file(self, handle: Handle, options: FetchOptions) -> Path:
        """Bring a file into the cache, unless it is there; see `Store`."""
        entry = self._entry(handle, options)
        kept = entry.intact(handle.digest) or self.elsewhere(handle, entry.name)
        if kept is not None:
            return kept
        try:
            return download(handle, entry, partial(self.open, handle.address), options)
        except AbsentError as error:
            raise self._unavailable(handle, error) from error

    def fetch_directory(
        self, handle: Handle, required: Sequence[str], optional: Sequence[str], options: FetchOptions
    ) -> Path:
        """Bring files of a folder into the cache, unless they are there; see `Store`."""
        if handle.digest is not None:
            raise WeightsUnavailableError(
                "a hash is that of a single file, not of a folder",
                received=handle.text,
                repair=f"leave out #{handle.digest.algorithm}=…",
            )
        self.check(handle)
        folder = Path()
        for names in required:
            folder = self._first(handle, names.split("|"), options)
        for name in optional:
            self._one(handle, name, options)
        return folder

    def look(self, handle: Handle, names: Sequence[str], options: FetchOptions) -> list[Found]:
        """Ask for the files and hang up; see `Store`."""
        self.check(handle)
        if self.names_file(handle):
            return list(self._look(handle, self._entry(handle, options), options))
        return [found for name in names for found in self._look(*self._member(handle, name), options)]

    def _entry(self, handle: Handle, options: FetchOptions) -> Entry:
        self.check(handle)
        if (
            self.needs_sha256
            and not options.declared
            and (handle.digest is None or handle.digest.algorithm != "sha256")
        ):
            raise WeightsUnavailableError(
                f"{handle.scheme}:// handles must state the SHA-256 of their file, unless a plugin names it",
                received=handle.text,
                repair="append #sha256=<hex>; `sha256sum FILE` prints it for a file that you trust. "
                "Or pass a local path",
            )
        folder, name = self.split(handle.address)
        _require_name(name, handle)
        return Entry.of(f"{handle.scheme}://{folder}", name)

    def _member(self, handle: Handle, name: str) -> tuple[Handle, Entry]:
        for part in name.split("/"):
            _require_name(part, handle)
        address = f"{handle.address.rstrip('/')}/{name}"
        member = Handle(f"{handle.scheme}://{address}", handle.scheme, address)
        return member, Entry.of(f"{handle.scheme}://{handle.address.rstrip('/')}", name)

    def _one(self, handle: Handle, name: str, options: FetchOptions) -> Path | None:
        """The folder on this machine, with one file in it; None if the store has no such file."""
        member, entry = self._member(handle, name)
        if entry.intact(None) is None:
            if options.offline:
                return None
            try:
                download(member, entry, partial(self.open, member.address), options)
            except AbsentError:
                return None
        return entry.folder

    def _first(self, handle: Handle, names: Sequence[str], options: FetchOptions) -> Path:
        kept = [name for name in names if self._member(handle, name)[1].intact(None) is not None]
        for name in kept[:1] or names:
            folder = self._one(handle, name, options)
            if folder is not None:
                return folder
        missing = " or ".join(names)
        if options.offline:
            cache = f"{CACHE_VARIABLE}={cache_folder()}"
            raise missing_offline(handle, missing, cache=cache, declared=options.declared)
        raise self._unavailable(handle, AbsentError(f"there is no {missing}"))

    def _look(self, handle: Handle, entry: Entry, options: FetchOptions) -> Iterator[Found]:
        kept = entry.intact(handle.digest) or self.elsewhere(handle, entry.name)
        if kept is not None:
            yield Found(entry.name, kept.stat().st_size, kept)
        elif not options.offline:
            try:
                with closing((opened := self.open(handle.address, start=0, version=None)).stream):
                    yield Found(entry.name, opened.size)
            except FileNotFoundError:
                return
            except OSError as error:
                raise self._unavailable(handle, error) from error

    def _unavailable(self, handle: Handle, error: OSError) -> WeightsUnavailableError:
        cache = f"{CACHE_VARIABLE}={cache_folder()}"
        return unavailable(handle, error, cache=cache, instead=INSTEAD)


def _require_name(name: str, handle: Handle) -> None:
    """Nothing in a name can leave the folder, or be taken for what the cache keeps beside a file."""
    if (
        name.startswith(".")
        or not name.isprintable()
        or set(name) & set('\\/:*?"<>|')
        or not 0 < len(name.encode()) <= _LONGEST_NAME
    ):
        raise WeightsUnavailableError(
            "the handle of a file ends with the file's name",
            received=f"{handle.text}: {name!r}",
            repair="use letters, digits, '.', '_', '+' and '-' in it, or download the file and pass its path",
        )
