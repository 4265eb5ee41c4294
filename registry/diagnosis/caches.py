"""Where downloads are kept: how much lies there, and whether more can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from registry.diagnosis.finding import Finding
from registry.weights.downloads import cache_folder

__all__ = ["examine_caches"]

_AREA = "caches"
_LITTLE_ROOM = 1 << 30
# A cache of more files is not counted to its end.
_MOST_FILES = 200_000


def examine_caches() -> Iterator[Finding]:
    """The caches of atrous, kagglehub, Hugging Face and Keras."""
    for name, variable, folder in _places():
        yield _examine(name, variable, folder)


def _places() -> Iterator[tuple[str, str, Path]]:
    """Name, the variable that moves it, and folder, as each project documents them."""
    environment, home = os.environ, Path.home()
    yield "atrous", "ATROUS_CACHE", cache_folder()
    kaggle = environment.get("KAGGLEHUB_CACHE")
    yield "kagglehub", "KAGGLEHUB_CACHE", Path(kaggle) if kaggle else home / ".cache" / "kagglehub"
    cached = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    hub = (
        environment.get("HF_HUB_CACHE") or Path(environment.get("HF_HOME") or cached / "huggingface") / "hub"
    )
    yield "Hugging Face", "HF_HUB_CACHE", Path(hub)
    yield "Keras", "KERAS_HOME", Path(environment.get("KERAS_HOME") or home / ".keras")


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
    held = f"{_size_text(folder)} in it" if folder.is_dir() else "not there yet"
    return Finding(
        area=_AREA,
        subject=name,
        status="note" if free < _LITTLE_ROOM else "ok",
        detail=f"{folder}, {held}, writable, {_bytes_text(free)} free",
        repair=f"free some space, or set {variable} to a folder on a larger disk"
        if free < _LITTLE_ROOM
        else None,
    )


def _size_text(folder: Path) -> str:
    total = count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                # Hubs link one file to several names: what a link points to is counted where it lies.
                total += os.lstat(Path(place, name)).st_size
            except OSError:
                continue  # just removed
            count += 1
            if count >= _MOST_FILES:
                return f"more than {_bytes_text(total)}"
    return _bytes_text(total)


def _bytes_text(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
