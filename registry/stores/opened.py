"""A file that a store has opened, and how a store says that it should be asked again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["BusyError", "ByteStream", "OpenedFile"]


class ByteStream(Protocol):
    """What can be read and closed."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, as soon as there are some; none at the end."""

    def close(self) -> None:
        """Let go of the connection."""


@dataclass(frozen=True)
class OpenedFile:
    """The content of a file in a store, from some byte to the end.

    Args:
        stream: has `read(size)` and `close()`, as an open file has them.
        start: the first byte that the stream gives: the one that was asked for, or 0.
        size: bytes of the whole file; None if the store does not know.
        version: what changes when the content does, for instance an ETag; None if the store has nothing like it. A
            download that was cut off goes on only where this is the same, or a stated hash tells.
    """

    stream: ByteStream
    start: int = 0
    size: int | None = None
    version: str | None = None


class BusyError(OSError):
    """A store asks to be asked again.

    Args:
        message: what it said.
        retry_after: seconds that it asks for; None if it states none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
