"""What a hub's file was when it was first seen, where the hub's client does not check that each time.

A hub promises that a version does not change. The hash of the first time is kept in atrous's own cache, and held
against the file whenever it is used: a disk that loses bits, or a hand that edits the client's cache, is noticed before
weights are read.
"""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from registry.atomic import atomic_path
from registry.errors import WeightsFormatError
from registry.stores.cache import cache_folder
from registry.stores.digest import digest_of

__all__ = ["require_unchanged"]


def require_unchanged(path: Path, place: str) -> Path:
    """Refuse a file that is not what it was when it was first seen.

    Args:
        path: the file.
        place: what it is, for good: a handle with its version.

    Raises:
        WeightsFormatError: it has changed.
    """
    note = cache_folder() / "seen" / f"{sha256(place.encode()).hexdigest()[:32]}.json"
    actual = digest_of(path)
    try:
        before = json.loads(note.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        # A cache that cannot be written remembers nothing, and serves.
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(note) as temporary:
                temporary.write_text(json.dumps({"place": place, "sha256": actual}), encoding="utf-8")
        return path
    if actual != before:
        raise WeightsFormatError(
            f"{place} must be what it was when it was fetched first",
            received=f"SHA-256 {actual} instead of {before}; nothing was read from it",
            repair=f"the file was damaged or replaced: remove {path}, and it will be fetched again; "
            f"or remove {note} if it was replaced on purpose",
        )
    return path
