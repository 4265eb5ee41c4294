"""From a handle to files on this machine, by the hubs' own clients and caches.

Directories: `kaggle://owner/model/framework/variation/version` and `hf://user/model[@revision]`. Single files:
`hf://user/model[@revision]/file` and `https://host/file#sha256=<hex>`. Anything else is a path. A client is imported
only when its handle is used. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from registry.catalog.saved import PRESET_FILE
from registry.errors import EnvironmentUnsupportedError, WeightsUnavailableError
from registry.weights.downloads import Digest, download, require_digest, split_digest, unavailable

__all__ = ["SCHEMES", "fetch_directory", "fetch_file", "fetch_preset", "is_file_handle", "is_handle"]

_INSTEAD = "download it by other means and pass its path"
# Seconds that a hub may take to answer a request for metadata.
_METADATA_TIMEOUT = 5


# A revision is a branch, tag or commit; only pull requests and conversions have slashes in theirs.
_HF_FILE = re.compile(
    r"(?P<repository>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|(?!refs/)[^/]+))?/(?P<file>.+)"
)
_HTTP = ("https", "http")


def is_handle(text: object) -> bool:
    """Whether a text is a handle rather than a path."""
    return isinstance(text, str) and "://" in text and text.split("://", 1)[0] in (*SCHEMES, *_HTTP)


def is_file_handle(text: object) -> bool:
    """Whether a text is the handle of a single file."""
    if not is_handle(text):
        return False
    scheme, _, rest = str(text).partition("://")
    return scheme in _HTTP or (scheme == "hf" and _HF_FILE.fullmatch(rest) is not None)


def fetch_file(handle: str, *, declared: bool) -> Path:
    """Bring the file of a handle onto this machine, from a cache where one has it.

    Args:
        handle: `hf://user/model[@revision]/file`, `https://host/file`; `#sha256=<hex>` states its hash.
        declared: whether a plugin's `EncoderSpec` names it. Plugins are trusted: theirs may state an MD5, which is
            what tf-keras publishes, or none, as most of its sources; a preset's or a user's `https://` must state a
            SHA-256.

    Returns:
        The file, whose hash is the stated one.

    Raises:
        WeightsUnavailableError: the handle is malformed or states too little, or the file cannot be fetched.
        WeightsFormatError: the file is not the one whose hash is stated.
        EnvironmentUnsupportedError: the hub's client is not installed.
    """
    address, digest = split_digest(handle)
    scheme, _, rest = address.partition("://")
    if scheme == "hf":
        return _fetch_hf_file(handle, rest, digest)
    return download(handle, address, digest, declared=declared)


def fetch_directory(
    handle: str | os.PathLike[str], *, required: Iterable[str], optional: Iterable[str]
) -> Path:
    """Bring the files of a handle onto this machine, from the hub's cache where it has them.

    Args:
        handle: `kaggle://…`, `hf://…`, or the path of a directory.
        required: names of files that must be there. A name may list alternatives, `a.h5|b.json`: the first one
            that exists serves.
        optional: names of files that are taken where they exist.

    Returns:
        The directory that holds them.

    Raises:
        WeightsUnavailableError: the handle is malformed, or a required file is absent or cannot be fetched.
        EnvironmentUnsupportedError: the hub's client is not installed.
    """
    scheme, separator, rest = str(handle).partition("://")
    if isinstance(handle, str) and separator and scheme in SCHEMES:
        return SCHEMES[scheme](str(handle), rest, tuple(required), tuple(optional))
    if isinstance(handle, str) and "://" in handle:
        raise WeightsUnavailableError(
            f"the handle of a preset directory starts with {' or '.join(f'{scheme}://' for scheme in SCHEMES)}",
            received=handle,
            repair="download the directory and pass its path; single files hold weights of an encoder: encoder_weights",
        )
    return _local(Path(handle), tuple(required))


def fetch_preset(handle: str | os.PathLike[str]) -> Path:
    """Bring the description of a preset onto this machine: KerasHub's `config.json`, or our `preset.yaml`.

    Args:
        handle: `kaggle://…`, `hf://…`, or the path of a directory.

    Returns:
        The directory that holds one of them; what it names may have to be fetched yet.

    Raises:
        Errors of `fetch_directory`.
    """
    return fetch_directory(handle, required=[f"config.json|{PRESET_FILE}"], optional=())


def _local(directory: Path, required: tuple[str, ...]) -> Path:
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


def _fetch_kaggle(handle: str, rest: str, required: tuple[str, ...], optional: tuple[str, ...]) -> Path:
    if len([part for part in rest.split("/") if part]) not in (4, 5):
        raise WeightsUnavailableError(
            "a Kaggle handle is kaggle://owner/model/framework/variation[/version]",
            received=handle,
            repair="copy it from the model's page; with the version, the cache serves without network",
        )
    client = _client("kagglehub", "kaggle", handle)
    cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"

    def fetch_file(name: str) -> Path:
        return Path(client.model_download(rest, path=name))

    directory: Path | None = None
    for names in required:
        directory = _first_available(
            handle, names.split("|"), fetch_file, cache=f"KAGGLEHUB_CACHE={cache}"
        ).parent
    for name in optional:
        try:
            fetch_file(name)
        except Exception as error:
            # Absent on the hub (404), or not in the cache while there is no network. What an optional file would
            # have brought is accounted for when the weights are assigned.
            if isinstance(error, MemoryError):
                raise
    if directory is None:
        raise AssertionError("a handle is fetched for at least one required file")
    return directory


def _fetch_hf(handle: str, rest: str, required: tuple[str, ...], optional: tuple[str, ...]) -> Path:
    repository, _, revision = rest.partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise WeightsUnavailableError(
            "a Hugging Face handle is hf://user/model, optionally with @revision",
            received=handle,
            repair="copy user/model from the model's page",
        )
    client = _client("huggingface_hub", "hf", handle)
    names = [alternative for entry in required for alternative in entry.split("|")]
    try:
        directory = Path(
            client.snapshot_download(
                repository,
                revision=revision or None,
                # Shards of large weights are named model_00000.weights.h5, …
                allow_patterns=[*names, *optional, "model_*.weights.h5"],
                etag_timeout=_METADATA_TIMEOUT,
                library_name="atrous",
            )
        )
    except Exception as error:
        raise unavailable(handle, error, cache="HF_HOME (or HF_HUB_CACHE)") from error
    return _local(directory, required)


def _fetch_hf_file(handle: str, rest: str, digest: Digest | None) -> Path:
    match = _HF_FILE.fullmatch(rest)
    if match is None or ".." in match["file"].split("/"):
        raise WeightsUnavailableError(
            "the handle of a file on Hugging Face is hf://user/model/file, optionally with @revision after the model",
            received=handle,
            repair="copy user/model and the file's name from the model's page",
        )
    client = _client("huggingface_hub", "hf", handle)
    try:
        path = Path(
            client.hf_hub_download(
                match["repository"],
                match["file"],
                revision=match["revision"],
                etag_timeout=_METADATA_TIMEOUT,
                library_name="atrous",
            )
        )
    except Exception as error:
        raise unavailable(handle, error, cache="HF_HOME (or HF_HUB_CACHE)", instead=_INSTEAD) from error
    if digest is not None:
        require_digest(path, digest, handle)
    return path


def _first_available(handle: str, names: list[str], fetch_file: Callable[[str], Path], *, cache: str) -> Path:
    failures: list[Exception] = []
    for name in names:
        try:
            return fetch_file(name)
        except Exception as error:
            failures.append(error)
    raise unavailable(handle, failures[0], cache=cache) from failures[0]


def _client(module: str, extra: str, handle: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EnvironmentUnsupportedError(
            f"fetching {handle} needs the package {module}",
            received=str(error),
            repair=f"pip install 'atrous[{extra}]', or pass a local path, or weights=None",
        ) from error


SCHEMES: dict[str, Callable[[str, str, tuple[str, ...], tuple[str, ...]], Any]] = {
    "kaggle": _fetch_kaggle,
    "hf": _fetch_hf,
}
