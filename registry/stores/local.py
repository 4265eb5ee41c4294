"""`file:///path#sha256=<hex>`, and plain paths: files that are on this machine already."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.request import url2pathname

from registry.errors import WeightsUnavailableError
from registry.stores.digest import require_digest
from registry.stores.handle import Handle
from registry.stores.store import FetchOptions, Found, Store

__all__ = ["LocalStore", "require_files"]


class LocalStore(Store):
    """This machine's own files. A path does as well; a handle may state a hash."""

    form: ClassVar[str] = "file:///path"

    def names_file(self, handle: Handle) -> bool:
        """Whether it is no folder."""
        return not _path_of(handle).is_dir()

    def fetch_file(self, handle: Handle, options: FetchOptions) -> Path:
        """The file itself, once its hash is the stated one."""
        path = _path_of(handle)
        if not path.is_file():
            raise WeightsUnavailableError(
                "a file:// handle must name an existing file",
                received=f"{handle.text} ({'no regular file' if path.exists() else 'nothing'})",
                repair="correct the path",
            )
        return require_digest(path, handle.digest, handle.text)

    def fetch_directory(
        self, handle: Handle, required: Sequence[str], optional: Sequence[str], options: FetchOptions
    ) -> Path:
        """The folder itself, if what is required is in it."""
        return require_files(_path_of(handle), required)

    def title(self, handle: Handle) -> str:
        """The folder's name."""
        return _path_of(handle).name

    def look(self, handle: Handle, names: Sequence[str], options: FetchOptions) -> list[Found]:
        """The files that are there."""
        path = _path_of(handle)
        paths = [path / name for name in names] if path.is_dir() else [path]
        return [Found(path.name, path.stat().st_size, path) for path in paths if path.is_file()]


def require_files(directory: Path, required: Sequence[str]) -> Path:
    """Refuse a path that is no folder, or lacks a file.

    Args:
        directory: the path.
        required: names of files; one may list alternatives, `a.h5|b.json`.

    Raises:
        WeightsUnavailableError: something is missing.
    """
    if not directory.is_dir():
        what = "a file" if directory.exists() else "nothing"
        raise WeightsUnavailableError(
            "a weights path must be an existing preset directory",
            received=f"{directory} ({what})",
            repair="pass the folder of a saved preset or KerasHub's with config.json, a hub handle, or weights=None",
        )
    for names in required:
        if not any((directory / name).is_file() for name in names.split("|")):
            raise WeightsUnavailableError(
                f"a preset directory must hold {names.replace('|', ' or ')}",
                received=f"{directory} with {', '.join(sorted(p.name for p in directory.iterdir())[:12]) or 'no file'}",
                repair="write it with registry.save_preset or KerasHub's save_to_preset, or download all of it",
            )
    return directory


def _path_of(handle: Handle) -> Path:
    parts = urllib.parse.urlsplit(handle.place)
    path = Path(url2pathname(parts.path))
    if parts.netloc not in ("", "localhost") or parts.query or "\0" in str(path) or not path.is_absolute():
        raise WeightsUnavailableError(
            "a file:// handle is file:///absolute/path, of this machine",
            received=handle.text,
            repair="write three slashes, or pass the path itself, which may be relative",
        )
    return path
