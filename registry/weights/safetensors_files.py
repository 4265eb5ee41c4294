"""`.safetensors` files: name → array, as timm, torchvision and transformers publish parameters, and as we save layers.

The format holds a JSON header and raw numbers, no code. Nothing here imports TensorFlow or PyTorch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import WeightsError, WeightsFormatError
from registry.weights.arrays import StoredArray

__all__ = ["read_metadata", "read_safetensors"]

_DTYPES = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "BF16": np.float32,  # read as float32, which holds each of its values
    "BOOL": np.bool_,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
}


def read_safetensors(path: Path) -> dict[str, list[StoredArray]]:
    """Arrays of a file by parameter name, each read once and checked, and left in the file.

    Args:
        path: a `.safetensors` file.

    Returns:
        Parameter name → a list of one array, so that all formats look alike.

    Raises:
        WeightsFormatError: the file is damaged, empty, or holds values that are not finite numbers.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: [_stored(path, file, name)] for name in file.keys()}  # noqa: SIM118 - no mapping
    except WeightsError:
        raise
    except Exception as error:
        raise _malformed(path, f"{type(error).__name__}: {error}") from error
    if not arrays:
        raise _malformed(path, "it holds no array")
    return arrays


def read_metadata(path: Path) -> dict[str, str]:
    """What a file says about itself; reads its header alone.

    Raises:
        WeightsFormatError: the file is damaged.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise _malformed(path, f"{type(error).__name__}: {error}") from error


def _stored(path: Path, file: Any, name: str) -> StoredArray:
    view = file.get_slice(name)
    dtype = _DTYPES.get(view.get_dtype())
    if dtype is None:
        raise _malformed(path, f"the array {name!r} has dtype {view.get_dtype()}")
    if not np.isfinite(_read(file, name, dtype)).all():
        raise _malformed(path, f"the array {name!r} holds NaN or Inf")

    def read() -> np.ndarray:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as again:
                return _read(again, name, dtype)
        except (OSError, SafetensorError) as error:
            raise _malformed(path, f"{type(error).__name__}: {error}") from error

    return StoredArray(tuple(view.get_shape()), read, np.dtype(dtype))


def _read(file: Any, name: str, dtype: Any) -> np.ndarray:
    return np.asarray(file.get_tensor(name)).astype(dtype, copy=False)


def _malformed(path: Path, why: str) -> WeightsFormatError:
    return WeightsFormatError(
        "a .safetensors file is intact and holds finite numbers",
        received=f"{path}: {why}",
        repair="download or save it again",
    )
