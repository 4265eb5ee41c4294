"""Where downloads are kept: one place per file, with a record of what it is.

::

    <cache>/files/<key>/NAME                a complete file, checked
                        .NAME.record        where it came from, its hash and size, when it was fetched, as JSON
                        .NAME.part          what has come of it so far, where a stated hash can tell that it fits
                        .NAME.state         what that is a part of, as JSON
                        .NAME.<hex>.stray   what is coming of a file without a stated hash
    <cache>/locks/                          empty files; whoever writes a file holds its lock

`<key>` stands for the folder that the file comes from, so that the files of a folder lie together and equal names from
two places do not meet. Nothing but a complete file ever bears a name that does not start with a dot.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from io import FileIO
from pathlib import Path
from typing import TypeVar

from registry.atomic import appear
from registry.errors import OutputPathError
from registry.stores.digest import Digest, digest_of

__all__ = [
    "CACHE_VARIABLE",
    "Entry",
    "Record",
    "State",
    "cache_folder",
    "files_folder",
    "locked",
    "owner_of",
    "writing_the_cache",
]

CACHE_VARIABLE = "ATROUS_CACHE"
_KEY = 16
# What is beside a file only while it is on its way.
_PASSING = ("part", "state", "state-new", "record-new")
# What is noted → how JSON gives it back.
_TYPES: dict[str, tuple[type, ...]] = {
    "place": (str,),
    "sha256": (str,),
    "size": (int, type(None)),
    "fetched": (int, float),
    "version": (str, type(None)),
}


def cache_folder() -> Path:
    """Where downloads are kept: `ATROUS_CACHE`, or the platform's own folder for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("atrous", appauthor=False)


def files_folder() -> Path:
    """Where the files of the cache are."""
    return cache_folder() / "files"


@contextmanager
def locked(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that no other thread or process of this machine holds.

    The system frees it when its holder ends, however that happens. The lock's file stays: whoever waits for it has
    opened it already, and would not share a new one.

    Args:
        name: of the lock; any text.
        wait: whether to wait for it.

    Yields:
        Whether it is held.

    Raises:
        OutputPathError: the cache cannot be written.
    """
    from filelock import FileLock, Timeout

    path = cache_folder() / "locks" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"
    with writing_the_cache():
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if wait else 0)
            held = True
        except Timeout:
            held = False
    try:
        yield held
    finally:
        if held:
            lock.release()


@contextmanager
def writing_the_cache() -> Iterator[None]:
    """Around what makes files in the cache: an error says which folder it is and how to choose another one."""
    try:
        yield
    except OutputPathError:
        raise
    except (OSError, NotImplementedError) as error:  # the latter where the disk knows no locks
        raise OutputPathError(
            "the cache must be a folder that can be written",
            received=f"{cache_folder()}: {getattr(error, 'strerror', None) or error}",
            repair=f"set {CACHE_VARIABLE} to another folder",
        ) from error


@dataclass(frozen=True)
class Record:
    """What a file of the cache is.

    Args:
        place: the handle that it came from, without a hash.
        sha256: hash of its content.
        size: bytes.
        fetched: when it came, in seconds since 1970.
        version: what the store calls this content.
    """

    place: str
    sha256: str
    size: int
    fetched: float
    version: str | None = None


@dataclass(frozen=True)
class State:
    """What a part of a file is a part of.

    Args:
        place: the handle, without a hash.
        size: bytes of the whole, where that is known.
        version: what the store calls this content.
    """

    place: str
    size: int | None = None
    version: str | None = None


_Note = TypeVar("_Note", Record, State)


@dataclass(frozen=True)
class Entry:
    """The place of one file.

    Args:
        folder: the folder in the cache that stands for the one that the file comes from.
        name: the file's path in there.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, origin: str, name: str) -> Entry:
        """The place of a file.

        Args:
            origin: what the file's folder is called in its store, scheme included.
            name: the file's path in there.
        """
        return cls(files_folder() / hashlib.sha256(origin.encode()).hexdigest()[:_KEY], name)

    @property
    def path(self) -> Path:
        """The complete file, whether or not it is there."""
        return self.folder / self.name

    @property
    def part(self) -> Path:
        """What has come of it."""
        return self._hidden("part")

    def intact(self, digest: Digest | None) -> Path | None:
        """The file, if it is there and as it must be.

        Args:
            digest: what it must hash to; None stands for the hash that it had when it was fetched.
        """
        if digest is None:
            record = self.record()
            digest = None if record is None else Digest("sha256", record.sha256)
        try:
            if digest is None or digest_of(self.path, digest.algorithm) != digest.value:
                return None
        except OSError:
            return None
        # When it was last used decides what is cleaned first; a cache that cannot be written serves all the same.
        with suppress(OSError):
            os.utime(self._hidden("record"))
        return self.path

    def record(self) -> Record | None:
        """What is known about the file; None if that is nothing."""
        return _read(self._hidden("record"), Record)

    def used(self) -> float:
        """When the file was last asked for, in seconds since 1970."""
        # Without a record: when it was written, or when something last came of it.
        paths = (self._hidden("record"), self.path, self.part, *self._strays(), self._hidden("state"))
        for path in paths:
            with suppress(OSError):
                return path.stat().st_mtime
        return 0.0

    def state(self) -> State | None:
        """What the part is a part of; None if that is not known."""
        return _read(self._hidden("state"), State)

    def note(self, state: State) -> None:
        """Write down what the part is a part of."""
        self._write("state", state)

    @contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the lock without which nobody writes or removes this file; see `locked`."""
        with locked(f"{self.folder.name}/{self.name}", wait=wait) as held:
            yield held

    @contextmanager
    def writing(self, *, kept: bool) -> Iterator[tuple[FileIO, Path]]:
        """Open the part, under the lock.

        Args:
            kept: whether it stays when the block fails, to be taken up by the next one.

        Yields:
            The part, which may hold something if it is kept, and its path.
        """
        # Without a stated hash nothing would tell a mixture, so such a part is nobody else's, ever.
        path = self.part if kept else self._hidden(f"{secrets.token_hex(6)}.stray")
        with writing_the_cache():
            file = self._opened(path)
        try:
            with file:
                yield file, path
        finally:
            with suppress(OSError):
                if not kept or path.stat().st_size == 0:
                    _remove(path)
                    _remove(self._hidden("state"))

    def settle(self, path: Path, record: Record) -> Path:
        """Give a complete file its name, under the lock; what it is is written down first."""
        with writing_the_cache():
            self._write("record", record)
            appear(path, self.path)
            self.forget_part()
        return self.path

    def forget_part(self) -> int:
        """Remove what has come of the file, under the lock; the bytes that this freed."""
        return sum(_remove(self._hidden(kind)) for kind in _PASSING) + self._forget_strays()

    def remove(self) -> int:
        """Remove the file with all that belongs to it, under the lock; the bytes that this freed."""
        freed = self.forget_part() + _remove(self.path) + _remove(self._hidden("record"))
        folder = self.path.parent
        with suppress(OSError):  # other files are in there
            while folder != files_folder():
                folder.rmdir()
                folder = folder.parent
        return freed

    def part_size(self) -> int:
        """Bytes that have come of it so far."""
        size = 0
        for path in (self.part, *self._strays()):
            with suppress(OSError):
                size += path.stat().st_size
        return size

    def _opened(self, path: Path) -> FileIO:
        self._forget_strays()
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return path.open("r+b" if path.exists() else "w+b", buffering=0)
            except FileNotFoundError:
                # Whoever cleans removes folders that are empty, this one at this moment.
                continue

    def _hidden(self, kind: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{kind}")

    def _strays(self) -> list[Path]:
        """Parts that nobody will take up; while the lock is held, nobody is writing them either."""
        try:
            return [
                path for path in self.path.parent.iterdir() if owner_of(path) == (self.path.name, "stray")
            ]
        except OSError:
            return []

    def _forget_strays(self) -> int:
        return sum(_remove(path) for path in self._strays())

    def _write(self, kind: str, content: Record | State) -> None:
        new = self._hidden(f"{kind}-new")
        new.write_text(json.dumps(asdict(content), ensure_ascii=False), encoding="utf-8")
        appear(new, self._hidden(kind))


def owner_of(path: Path) -> tuple[str, str] | None:
    """The name of the file that a hidden file in the cache belongs to, and what it is of it; None for others."""
    if not path.name.startswith("."):
        return None
    name, _, kind = path.name[1:].rpartition(".")
    if kind == "stray":
        name = name.rpartition(".")[0]
    return (name, kind) if name and kind in (*_PASSING, "record", "stray") else None


def _remove(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


def _read(path: Path, kind: type[_Note]) -> _Note | None:
    """What was noted, or None where there is nothing that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        note = kind(**content)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    fitting = all(isinstance(getattr(note, field.name), _TYPES[field.name]) for field in fields(note))
    return note if fitting else None
