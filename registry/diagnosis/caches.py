"""Where downloads are kept: how much lies there, and whether more can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from registry.diagnosis.finding import Finding
from registry.stores.cache import cache_folder
from registry.stores.inventory import size_of
from registry.weights.handles import foreign_caches

__all__ = ["examine_caches"]

_AREA = "caches"
_LITTLE_ROOM = 1 << 30


def examine_caches() -> Iterator[Finding]:
    """The cache of atrous, and those of hubs' own clients."""
    for name, variable, folder in _places():
        yield _examine(name, variable, folder)


def _places() -> Iterator[tuple[str, str, Path]]:
    """Name, the variable that moves it, and folder."""
    yield "atrous", "ATROUS_CACHE", cache_folder()
    for scheme, place in foreign_caches().items():
        yield f"{scheme}://", place.variable, place.path


def _examine(name: str, variable: str, folder: Path) -> Finding:
    folder = folder.expanduser().absolute()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        what = "is no folder" if not existing.is_dir() else "cannot be written to"
        return Finding(
            area=_AREA,
            subject=name,
            status="problem" if name == "atrous" else "note",
            detail=f"{folder}: {existing} {what}, so that nothing can be downloaded",
            repair=f"set {variable} to a folder that you own",
        )
    free = shutil.disk_usage(existing).free
    held = f"{_bytes_text(size_of(folder))} in it" if folder.is_dir() else "not there yet"
    return Finding(
        area=_AREA,
        subject=name,
        status="note" if free < _LITTLE_ROOM else "ok",
        detail=f"{folder}, {held}, writable, {_bytes_text(free)} free",
        repair=f"free some space, or set {variable} to a folder on a larger disk"
        if free < _LITTLE_ROOM
        else None,
    )


def _bytes_text(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
