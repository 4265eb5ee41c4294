"""Write a file completely or not at all.

Whoever writes an artifact (a mask, a `.tflite`, a `.keras` archive) writes to the path that `atomic_path`
yields; only a complete file, flushed to disk, ever appears under the name that the user gave. Nothing here
imports TensorFlow.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.errors import OutputPathError

__all__ = ["atomic_path", "check_output_path"]

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Keeps the temporary name below the usual limit of 255 bytes, whatever the user's own name is.
_KEPT_TAIL = 40


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    The temporary file exists (empty) from the start, with the permissions that the umask asks for, and its
    name ends like the name of `path`, so that writers which look at the suffix (`.keras`, `.weights.h5`,
    `.png`) behave. On any failure, `KeyboardInterrupt` included, it is removed and `path` keeps what it had.

    Args:
        path: the file to write; replaced if it is a regular file.

    Yields:
        The path to write to, in the same folder.

    Raises:
        OutputPathError: the folder is missing or not writable, `path` is a folder, a symbolic link or a
            special file, the block left no file, or the disk is full.
    """
    target = Path(path)
    _check_target(target)
    temporary = _create_temporary(target)
    try:
        yield temporary
        _flush(temporary, target)
        _replace(temporary, target)
    except OSError as error:
        if error.errno in _OUT_OF_SPACE:
            raise OutputPathError(
                "the disk must have room for the whole file",
                received=f"{target}: {error.strerror}",
                repair="free some space or write somewhere else",
            ) from error
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _flush_folder(target.parent)


def check_output_path(path: str | os.PathLike[str], *, suffixes: tuple[str, ...] = ()) -> None:
    """Refuse, before any work is done, a path that `atomic_path` could not write to.

    Args:
        path: the file to be written.
        suffixes: file name endings to choose from, lower case, with their dot; empty allows all.

    Raises:
        OutputPathError: as `atomic_path`, or the name has another ending.
    """
    target = Path(path)
    if suffixes and target.suffix.lower() not in suffixes:
        raise OutputPathError(
            f"the file name must end in {' or '.join(suffixes)}",
            received=str(target),
            repair=f"name it {target.stem or 'output'}{suffixes[0]}",
        )
    _check_target(target)
    _create_temporary(target).unlink()


def _check_target(target: Path) -> None:
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise OutputPathError(
            "the output path must be reachable", received=f"{str(target)!r}: {error}"
        ) from error
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise OutputPathError(
            "the output must be a file, not a folder",
            received=str(target),
            repair="add a file name to the path",
        )
    if stat.S_ISLNK(mode):
        # Renaming onto a link would replace the link; writing through it would not be atomic.
        raise OutputPathError(
            "the output must not be a symbolic link",
            received=f"{target} -> {target.readlink()}",
            repair="give the path that the link points to, or remove the link",
        )
    raise OutputPathError(
        "the output must be a regular file, because it is replaced as a whole",
        received=str(target),
        repair="write to a regular file and copy it from there",
    )


def _create_temporary(target: Path) -> Path:
    temporary = target.parent / f".{secrets.token_hex(6)}-{target.name[-_KEPT_TAIL:]}"
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OutputPathError(
            "the folder of the output must exist",
            received=str(target),
            repair=f"mkdir -p '{target.parent}'",
        ) from error
    except OSError as error:
        raise OutputPathError(
            "the folder of the output must be writable",
            received=f"{target}: {error.strerror}",
            repair="write to a folder that you own",
        ) from error
    os.close(descriptor)
    return temporary


def _flush(temporary: Path, target: Path) -> None:
    try:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    except FileNotFoundError as error:
        raise OutputPathError(
            "the writer must leave a file behind", received=f"nothing for {target}"
        ) from error


def _replace(temporary: Path, target: Path) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        raise OutputPathError(
            "the output must be replaceable",
            received=f"{target}: {error.strerror}",
            repair="choose another name",
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make the rename survive a power cut, where the platform lets folders be opened at all."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
