"""From a handle to files in a local directory, by the hubs' own clients and caches.

`kaggle://owner/model/framework/variation/version` and `hf://user/model[@revision]`; anything else is a path. A
client is imported only when its handle is used. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from registry.errors import EnvironmentUnsupportedError, WeightsUnavailableError

__all__ = ["SCHEMES", "fetch_directory", "is_handle"]

# Seconds that a hub may take to answer a request for metadata.
_METADATA_TIMEOUT = 5


def is_handle(text: object) -> bool:
    """Whether a text is a handle on a hub rather than a path."""
    return isinstance(text, str) and text.split("://", 1)[0] in SCHEMES and "://" in text


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
    if is_handle(handle):
        scheme, _, rest = str(handle).partition("://")
        return SCHEMES[scheme](str(handle), rest, tuple(required), tuple(optional))
    if isinstance(handle, str) and "://" in handle:
        raise WeightsUnavailableError(
            f"a weights handle starts with {' or '.join(f'{scheme}://' for scheme in SCHEMES)}, or is a path",
            received=handle,
            repair="download it and pass the local path",
        )
    return _local(Path(handle), tuple(required))


def _local(directory: Path, required: tuple[str, ...]) -> Path:
    if not directory.is_dir():
        what = "a file" if directory.exists() else "nothing"
        raise WeightsUnavailableError(
            "a weights path must be an existing preset directory",
            received=f"{directory} ({what})",
            repair="pass the folder that holds config.json and the weights, a hub handle, or weights=None",
        )
    for names in required:
        if not any((directory / name).is_file() for name in names.split("|")):
            raise WeightsUnavailableError(
                f"a preset directory must hold {names.replace('|', ' or ')}",
                received=f"{directory} with {', '.join(sorted(p.name for p in directory.iterdir())[:12]) or 'no file'}",
                repair="write it with save_to_preset, or download the complete preset",
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
        raise _unavailable(handle, error, cache="HF_HOME (or HF_HUB_CACHE)") from error
    return _local(directory, required)


def _first_available(handle: str, names: list[str], fetch_file: Callable[[str], Path], *, cache: str) -> Path:
    failures: list[Exception] = []
    for name in names:
        try:
            return fetch_file(name)
        except Exception as error:
            failures.append(error)
    raise _unavailable(handle, failures[0], cache=cache) from failures[0]


def _unavailable(handle: str, error: BaseException, *, cache: str) -> WeightsUnavailableError:
    cause = " ".join(str(error).split())
    return WeightsUnavailableError(
        f"the weights at {handle} could not be fetched",
        received=f"{type(error).__name__}: {cause[:300]}",
        repair=(
            "check the network and the handle; or pass weights='path/to/preset_directory'; or fill the cache "
            f"({cache}) on a machine with network; or build with weights=None for fresh weights"
        ),
    )


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
