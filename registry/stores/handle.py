"""Handles: texts that say where a file or a folder is, and what a file must hash to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.errors import WeightsUnavailableError
from registry.stores.digest import Digest, split_digest

__all__ = ["Handle", "is_handle"]

# A scheme has two characters or more: a single letter is a drive.
_HANDLE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<address>.*)|(?P<file>file):(?P<path>.*)", re.DOTALL
)


@dataclass(frozen=True)
class Handle:
    """A handle, taken apart.

    Args:
        text: as it was written, for messages.
        scheme: the word before `://`, which names a store.
        address: what follows, without the hash.
        digest: what the file must hash to, where that is stated.
    """

    text: str
    scheme: str
    address: str
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Take a handle apart.

        Raises:
            WeightsUnavailableError: it is none, or states a hash that is none.
        """
        bare, digest = split_digest(text)
        match = _HANDLE.fullmatch(bare)
        if match is None:
            raise WeightsUnavailableError("a handle is scheme://address", received=text)
        if match["file"]:
            return cls(text, match["file"], match["path"], digest)
        return cls(text, match["scheme"], match["address"], digest)

    @property
    def place(self) -> str:
        """The handle without its hash: what it names, whatever is expected there."""
        return self.text.partition("#")[0]

    def without_digest(self) -> Handle:
        """The handle of whatever is there."""
        return Handle(self.place, self.scheme, self.address)


def is_handle(text: object) -> bool:
    """Whether a text is a handle rather than a name or a path, whether or not a store serves its scheme."""
    return isinstance(text, str) and _HANDLE.match(text) is not None
