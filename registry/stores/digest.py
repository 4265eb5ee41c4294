"""What the content of a file must hash to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from registry.errors import WeightsFormatError, WeightsUnavailableError

__all__ = ["Digest", "another_file", "digest_of", "require_digest", "split_digest"]

# Algorithm → hexadecimal digits. MD5 tells damage, not malice: it is for files that a plugin names.
_LENGTHS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Digest:
    """What the content of a file must hash to.

    Args:
        algorithm: `sha256` or `md5`.
        value: the hash in hexadecimal, lower case.
    """

    algorithm: str
    value: str


def split_digest(handle: str) -> tuple[str, Digest | None]:
    """Take the hash off a handle: `…#sha256=<hex>` or `…#md5=<hex>`.

    Raises:
        WeightsUnavailableError: what follows the `#` is neither.
    """
    address, mark, fragment = handle.partition("#")
    if not mark:
        return address, None
    algorithm, _, value = fragment.partition("=")
    if len(value) != _LENGTHS.get(algorithm) or not re.fullmatch("[0-9a-fA-F]+", value):
        raise WeightsUnavailableError(
            "a handle states the file's hash as #sha256=<64 hexadecimal digits> or #md5=<32 hexadecimal digits>",
            received=handle,
            repair="copy the hash from where the file is published, or compute it from a file that you trust",
        )
    return address, Digest(algorithm, value.lower())


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def require_digest(path: Path, digest: Digest | None, handle: str) -> Path:
    """Refuse a file whose content does not hash to `digest`; None takes any.

    Raises:
        WeightsFormatError: it does not.
        WeightsUnavailableError: it cannot be read.
    """
    if digest is not None:
        try:
            actual = digest_of(path, digest.algorithm)
        except OSError as error:
            raise WeightsUnavailableError(
                "a weights file must be readable", received=f"{path}: {error.strerror}"
            ) from error
        if actual != digest.value:
            raise another_file(handle, digest, actual)
    return path


def another_file(handle: str, digest: Digest, actual: str) -> WeightsFormatError:
    """The error for content that does not hash to what was stated."""
    return WeightsFormatError(
        f"the file at {handle} must have the stated {digest.algorithm} hash",
        received=f"{actual}; nothing was read from it",
        repair="the file was damaged or replaced: fetch it again, or state the hash of the file that you trust",
    )
