"""The entrance to weights of any format: a handle or a path becomes arrays by name, still in their files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py

from registry.catalog.saved import MODEL_FILE, is_saved_preset
from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.weights.arrays import StoredArray
from registry.weights.checkpoints import checkpoint_prefix, read_checkpoint
from registry.weights.handles import fetch_directory, fetch_file, fetch_preset, is_file_handle, is_handle
from registry.weights.keras_files import read_keras_file
from registry.weights.keras_hub import KerasHubPreset, open_preset
from registry.weights.safetensors_files import read_metadata, read_safetensors
from registry.weights.saved_layers import read_header

__all__ = ["OpenedWeights", "open_weights"]

Kind = Literal["keras_hub", "keras", "safetensors", "saved", "checkpoint"]


@dataclass(frozen=True)
class OpenedWeights:
    """Weights on this machine.

    Args:
        source: the handle or path that they came from, for messages.
        kind: `keras_hub`, a preset directory; `keras`, a `.h5` file; `safetensors`; `saved`, one of those that
            `registry.save_preset` wrote; `checkpoint`, one of TensorFlow.
        arrays: layer name → arrays in the order of its variables; of `safetensors`, parameter name → one array; of
            `saved`, `layer/variable`, and of `checkpoint`, variable name → one array. Of KerasHub's directory, those of
            the backbone.
        preset: KerasHub's directory that they lie in.
    """

    source: str
    kind: Kind
    arrays: dict[str, list[StoredArray]]
    preset: KerasHubPreset | None = None


def open_weights(source: str | os.PathLike[str], *, declared: bool = False) -> OpenedWeights:
    """Fetch weights and find what they hold. A file is told by its content, not by its name.

    Args:
        source: the path of a file, of a saved preset's folder or of a KerasHub preset directory, the prefix of a
            TensorFlow checkpoint (`model.ckpt-30000`); or a handle:
            `kaggle://…`, `hf://user/model`, `hf://user/model/file`, `https://host/file#sha256=<hex>`.
        declared: whether a plugin's `EncoderSpec` names it; a handle may then state another hash or none.

    Returns:
        What they hold; each array has been read once and checked, none is kept in memory.

    Raises:
        WeightsUnavailableError: nothing is there, or it cannot be fetched.
        WeightsFormatError: it is damaged, not the file whose hash is stated, or of no format that is read.
        EnvironmentUnsupportedError: the hub's client is not installed.
    """
    name = os.fspath(source)
    if is_file_handle(name):
        return _open_file(name, fetch_file(name, declared=declared))
    if is_handle(name) or Path(name).is_dir() or "://" in name:
        return _open_directory(name)
    path = Path(name)
    prefix = checkpoint_prefix(path)
    if prefix is not None:
        return OpenedWeights(name, "checkpoint", read_checkpoint(prefix))
    if not path.is_file():
        raise WeightsUnavailableError(
            "a weights path must be an existing file or preset directory",
            received=f"{path} ({'no regular file' if path.exists() else 'nothing'})",
            repair="pass a .h5 or .safetensors file, the prefix of a TensorFlow checkpoint, the folder of a preset, "
            "a handle, or weights=None",
        )
    return _open_file(name, path)


def _open_directory(source: str) -> OpenedWeights:
    directory = fetch_preset(source)
    if is_saved_preset(directory):
        fetch_directory(source, required=[MODEL_FILE], optional=())
        return _open_file(source, directory / MODEL_FILE)
    preset = open_preset(source)
    return OpenedWeights(source, "keras_hub", preset.backbone_arrays(), preset)


def _open_file(source: str, path: Path) -> OpenedWeights:
    kind = _kind_of(path)
    if kind is None:
        raise WeightsFormatError(
            "a weights file is Keras's .h5 or .safetensors",
            received=f"{source}: {_guess(path)}",
            repair="convert it where it came from: model.save_weights('x.h5') in Keras; in PyTorch, in three lines, "
            "state = torch.load('x.pth', weights_only=True); state = {k: v.contiguous() for k, v in state.items()}; "
            "safetensors.torch.save_file(state, 'x.safetensors')",
        )
    if kind == "keras":
        return OpenedWeights(source, kind, read_keras_file(path))
    is_saved = read_header(path, read_metadata(path)) is not None
    return OpenedWeights(source, "saved" if is_saved else kind, read_safetensors(path))


def _kind_of(path: Path) -> Kind | None:
    """What a file is; a damaged one is taken for what its name says, so that its reader explains the damage."""
    try:
        start = _start(path)
    except OSError as error:
        raise WeightsUnavailableError(
            "a weights file must be readable", received=f"{path}: {error.strerror}"
        ) from error
    if h5py.is_hdf5(path):
        return "keras"
    if start[8:9] == b"{":  # after the header's length
        return "safetensors"
    if start[:2] in _FOREIGN:
        return None
    return _BY_SUFFIX.get(path.suffix.lower())


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(9)


def _guess(path: Path) -> str:
    return _FOREIGN.get(_start(path)[:2], "an unknown format")


_BY_SUFFIX: dict[str, Kind] = {
    ".h5": "keras",
    ".hdf5": "keras",
    ".safetensors": "safetensors",
}
# First two bytes → what it is.
_FOREIGN = {
    b"PK": "a ZIP archive without a model of Keras; PyTorch's .pth are such, and the pickle in them is never read, "
    "because a pickle runs code"
} | {
    b"\x80" + bytes([protocol]): "a pickle, which is never read, because it runs code"
    for protocol in range(2, 6)
}
