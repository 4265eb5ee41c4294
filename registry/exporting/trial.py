"""A first run in a child process, where a kernel that ends the process ends no export."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from registry.errors import ExportError, ModelFileError
from registry.runtime.modelfile import probe_in_child

__all__ = ["require_runnable"]


def require_runnable(content: bytes, mode_name: str) -> None:
    """Refuse a file that the interpreter cannot run.

    The kernels for 16-bit activations check less than others: layer normalization makes them abort the process.

    Args:
        content: the bytes of a `.tflite` file.
        mode_name: of its precision, for the message.

    Raises:
        ExportError: the interpreter fails on it, or dies of it.
    """
    with tempfile.TemporaryDirectory(prefix="atrous-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        try:
            probe_in_child(path, None, os.cpu_count() or 1)
        except ModelFileError as error:
            raise ExportError(
                f"every operation must have a kernel of mode {mode_name!r}",
                received=f"{error.rule}: {error.received}",
                repair="choose float16, dynamic or int8; transformers and ConvNeXt have no int16x8 kernels",
            ) from error
