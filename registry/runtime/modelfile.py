"""Find out whether a `.tflite` file can be run, without risking the process.

The interpreter trusts its input: a damaged file can end the whole process with a segmentation fault. So the
outline of the file is checked first, and its first run happens in a child process.
"""

from __future__ import annotations

import stat
import struct
from pathlib import Path

from registry.errors import ModelFileError, RegistryError
from registry.runtime.child import Child

__all__ = ["PROBE_TIMEOUT", "check_structure", "probe_in_child"]

PROBE_TIMEOUT = 300.0
"""Seconds that the first run may take in the child process."""

_IDENTIFIER = b"TFL3"
_SMALLEST = 12
_REPAIR = "export the model again, or fetch the file again"


def check_structure(path: Path) -> None:
    """Refuse what cannot be a TFLite flatbuffer, by its first bytes and its size.

    Raises:
        ModelFileError: absent, not a regular file, empty, without the identifier `TFL3`, or with a root table
            that lies outside of the file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError("a model path must name a regular file", received=str(path))
        with path.open("rb") as stream:
            head = stream.read(_SMALLEST)
            _check_head(path, head, status.st_size)
            root = struct.unpack_from("<I", head)[0]
            stream.seek(root)
            _check_root(path, root, stream.read(4), status.st_size)
    except FileNotFoundError as error:
        raise ModelFileError(
            "the model file must exist",
            received=str(path),
            repair="`atrous export PRESET MODEL.tflite` writes one",
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, RegistryError):
            raise
        raise ModelFileError("the model file must be readable", received=f"{str(path)!r}: {error}") from error


def _check_head(path: Path, head: bytes, size: int) -> None:
    if size == 0:
        raise ModelFileError("a model file must not be empty", received=f"{path}: 0 bytes", repair=_REPAIR)
    if head[4:8] != _IDENTIFIER:
        raise ModelFileError(
            "a TFLite file carries the identifier b'TFL3' in its bytes 4 to 7",
            received=f"{path}: {head[4:8]!r}",
            repair=f"this is another format or a damaged file: {_REPAIR}",
        )


def _check_root(path: Path, root: int, word: bytes, size: int) -> None:
    """The root offset points to a table, which points back to its vtable."""
    table = root - struct.unpack("<i", word)[0] if len(word) == 4 else -1
    if root < 8 or not 0 <= table <= size - 4:
        raise ModelFileError(
            "the root table of a TFLite file must lie inside of the file",
            received=f"{path}: root at byte {root}, its layout at byte {table}, of {size} bytes",
            repair=f"the file is truncated or damaged: {_REPAIR}",
        )


def probe_in_child(path: Path, size: tuple[int, int] | None, num_threads: int) -> None:
    """Load the model in a child process and run it once there, on zeros.

    Args:
        path: the `.tflite` file.
        size: height and width to resize the input to; None keeps those of the file.
        num_threads: threads of the interpreter.

    Raises:
        RegistryError: the error that loading it here would raise.
        ModelFileError: the child crashed, or did not finish within `PROBE_TIMEOUT`.
    """
    with Child("registry.runtime.probe", path) as child:
        child.ask(
            "run once", seconds=PROBE_TIMEOUT, path=str(path.absolute()), size=size, num_threads=num_threads
        )
