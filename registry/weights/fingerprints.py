"""Which files weights lie in, and the SHA-256 of each: what a lock file states, compared before an array is read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from registry.catalog.saved import MODEL_FILE, is_saved_preset
from registry.errors import WeightsUnavailableError
from registry.weights.checkpoints import checkpoint_prefix
from registry.weights.handles import fetch_directory, fetch_file, fetch_preset, is_file_handle, is_handle
from registry.weights.keras_hub import open_preset

__all__ = ["fingerprints"]


def fingerprints(source: str | os.PathLike[str], *, declared: bool = False) -> dict[str, str]:
    """Fetch weights, and hash the files that hold them.

    Args:
        source: as in `registry.weights.opening.open_weights`.
        declared: whether a plugin's `EncoderSpec` names it; a handle may then state another hash or none.

    Returns:
        Name of the file, without its folder → SHA-256 of its content in hexadecimal; sorted by name.

    Raises:
        WeightsUnavailableError: nothing is there, or it cannot be fetched or read.
        WeightsFormatError: a KerasHub directory's JSON files are broken.
        EnvironmentUnsupportedError: the hub's client is not installed.
    """
    paths = _files(os.fspath(source), declared=declared)
    return {path.name: _sha256(path) for path in sorted(paths)}


def _files(source: str, *, declared: bool) -> list[Path]:
    if is_file_handle(source):
        return [fetch_file(source, declared=declared)]
    if is_handle(source) or Path(source).is_dir():
        directory = fetch_preset(source)
        if is_saved_preset(directory):
            fetch_directory(source, required=[MODEL_FILE], optional=())
            return [directory / MODEL_FILE]
        return open_preset(source).files()
    prefix = checkpoint_prefix(source)
    if prefix is not None:
        return [Path(f"{prefix}.index"), *prefix.parent.glob(f"{prefix.name}.data-?????-of-?????")]
    return [Path(source)]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsUnavailableError(
            "a weights path must be an existing file or preset directory",
            received=f"{path}: {error.strerror}",
            repair="check the path and its permissions",
        ) from error
