"""From a handle to files on this machine: the store of its scheme, atrous's own or a plugin's, does it.

Folders: `kaggle://owner/model/framework/variation/version` and `hf://user/model[@revision]`. Single files: the same
with `/file`, `https://host/file#sha256=<hex>` and `file:///path`. Anything without a scheme is a path.
`registry.stores` says what a store does; a store is imported when its handle is used. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from registry.catalog.saved import PRESET_FILE
from registry.discovery import RESERVED_SCHEMES, load_store, store_schemes
from registry.errors import UnknownPluginError, WeightsUnavailableError, nearest
from registry.stores import FetchOptions, ForeignCache, Found, Handle, Store
from registry.stores.digest import require_digest
from registry.stores.handle import is_handle
from registry.stores.local import require_files

__all__ = [
    "DESCRIPTIONS",
    "fetch_directory",
    "fetch_file",
    "fetch_file_named",
    "fetch_preset",
    "foreign_caches",
    "is_file_handle",
    "is_handle",
    "look",
    "title_of",
]

# What describes a preset in its folder: KerasHub's file, or ours.
DESCRIPTIONS = f"config.json|{PRESET_FILE}"
_OWN = frozenset(RESERVED_SCHEMES)
# Whose clients have caches of their own.
_HUBS = ("hf", "kaggle")


def is_file_handle(text: object) -> bool:
    """Whether a text is the handle of a single file.

    Raises:
        WeightsUnavailableError: no store serves its scheme.
        PluginError: the store of its scheme cannot serve.
    """
    if not isinstance(text, str) or not is_handle(text):
        return False
    handle = Handle.parse(text)
    return bool(_call(handle, "names_file"))


def fetch_file(handle: str, *, declared: bool = False, options: FetchOptions | None = None) -> Path:
    """Bring the file of a handle onto this machine, from a cache where one has it.

    Args:
        handle: `hf://user/model[@revision]/file`, `https://host/file`, …; `#sha256=<hex>` states its hash.
        declared: whether a plugin's `EncoderSpec` names it. Plugins are trusted: theirs may state an MD5, which is
            what tf-keras publishes, or none, as most of its sources; a preset's or a user's `https://` must state a
            SHA-256.
        options: how to fetch it, instead of `declared`.

    Returns:
        The file, whose hash is the stated one.

    Raises:
        WeightsUnavailableError: no store serves the scheme, the handle is malformed or states too little, or the file
            cannot be fetched.
        WeightsFormatError: the file is not the one whose hash is stated.
        PluginError: the store is a plugin's that cannot serve.
        EnvironmentUnsupportedError: the hub's client is not installed.
    """
    parsed = Handle.parse(handle)
    path = Path(_call(parsed, "fetch_file", options or FetchOptions(declared=declared)))
    # Whatever a plugin's store has checked, what was stated is not its to judge.
    return path if parsed.scheme in _OWN else require_digest(path, parsed.digest, handle)


def fetch_file_named(source: object, *suffixes: str, declared: bool = False) -> Any:
    """Bring a file onto this machine if a handle names one that ends in some way; anything else stays what it is.

    For those who tell by the ending of a path what to do with it.

    Args:
        source: a handle, a path or something else.
        *suffixes: endings in lower case, as `.keras`.
        declared: as in `fetch_file`.

    Returns:
        The file's path, or `source`.

    Raises:
        Errors of `fetch_file`.
    """
    if not isinstance(source, str) or not is_handle(source):
        return source
    name = Handle.parse(source).address.partition("?")[0]
    if not name.lower().endswith(suffixes) or not is_file_handle(source):
        return source
    return fetch_file(source, declared=declared)


def fetch_directory(
    handle: str | os.PathLike[str],
    *,
    required: Iterable[str],
    optional: Iterable[str] = (),
    options: FetchOptions | None = None,
) -> Path:
    """Bring the files of a folder onto this machine, from a cache where one has them.

    Args:
        handle: `kaggle://…`, `hf://…`, …, or the path of a directory.
        required: names of files that must be there. A name may list alternatives, `a.h5|b.json`: the first one
            that exists serves.
        optional: names of files that are taken where they exist.
        options: how to fetch them.

    Returns:
        The directory that holds them.

    Raises:
        WeightsUnavailableError: no store serves the scheme, the handle is malformed, or a required file is absent or
            cannot be fetched.
        PluginError: the store is a plugin's that cannot serve.
        EnvironmentUnsupportedError: the hub's client is not installed.
    """
    if not isinstance(handle, str) or not is_handle(handle):
        return require_files(Path(handle), tuple(required))
    parsed = Handle.parse(handle)
    return Path(_call(parsed, "fetch_directory", tuple(required), tuple(optional), options or FetchOptions()))


def fetch_preset(handle: str | os.PathLike[str], *, options: FetchOptions | None = None) -> Path:
    """Bring the description of a preset onto this machine: KerasHub's `config.json`, or our `preset.yaml`.

    Args:
        handle: `kaggle://…`, `hf://…`, …, or the path of a directory.
        options: how to fetch it.

    Returns:
        The directory that holds one of them; what it names may have to be fetched yet.

    Raises:
        Errors of `fetch_directory`.
    """
    return fetch_directory(handle, required=[DESCRIPTIONS], options=options)


def look(handle: str, names: Sequence[str], options: FetchOptions) -> list[Found]:
    """Which of some files a store has, and how large they are, as far as it knows; nothing is fetched.

    Args:
        handle: of a folder, or of a file.
        names: files of the folder.
        options: how one would fetch them.

    Raises:
        Errors of `fetch_directory`.
    """
    return list(_call(Handle.parse(handle), "look", tuple(names), options))


def title_of(handle: str) -> str:
    """What a preset that is fetched from a handle is called."""
    return str(_call(Handle.parse(handle), "title"))


def foreign_caches() -> dict[str, ForeignCache]:
    """Scheme → cache of its hub's own client."""
    caches = {scheme: _own_store(scheme).foreign_cache() for scheme in _HUBS}
    return {scheme: place for scheme, place in caches.items() if place is not None}


def _call(handle: Handle, method: str, *arguments: Any) -> Any:
    """Let the store of a handle do something; a plugin's is blamed for what it raises."""
    if handle.scheme in _OWN:
        return getattr(_own_store(handle.scheme), method)(handle, *arguments)
    try:
        plugin = load_store(handle.scheme)
    except UnknownPluginError as error:
        schemes = store_schemes()
        raise WeightsUnavailableError(
            f"the scheme of a handle is one that a store serves: {', '.join(schemes)}",
            received=handle.text,
            repair=f"{nearest(handle.scheme, schemes)} Or pip install the plugin that serves {handle.scheme}://; "
            "or download it by other means and pass its path",
        ) from error
    return plugin.call(method, handle, *arguments)


@cache
def _own_store(scheme: str) -> Store:
    if scheme == "hf":
        from registry.stores.hugging_face import HuggingFaceStore

        return HuggingFaceStore()
    if scheme == "kaggle":
        from registry.stores.kaggle import KaggleStore

        return KaggleStore()
    if scheme == "file":
        from registry.stores.local import LocalStore

        return LocalStore()
    from registry.stores.web import WebStore

    return WebStore(scheme)
