"""Write a file, or a folder of files, completely or not at all.

Whoever writes an artifact (a mask, a `.tflite`, a `.keras` archive) writes to the path that `atomic_path`
yields; only a complete file, flushed to disk, ever appears under the name that the user gave. `atomic_folder` does the
same for files that belong together (a saved preset). Nothing here imports TensorFlow.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.errors import OutputPathError

__all__ = [
    "appear",
    "atomic_folder",
    "atomic_path",
    "check_output_folder",
    "check_output_path",
    "is_out_of_space",
    "make_folder",
]

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Keeps the temporary name below the usual limit of 255 bytes, whatever the user's own name is.
_KEPT_TAIL = 40
# Names of files in a message.
_LISTED = 8
# Of Linux, for renameat2: relative paths start at the working directory; two names change places.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


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
        with _naming_a_full_disk(target):
            yield temporary
            _flush(temporary, target)
            _replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _flush_folder(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, and rename it to `path` if the block succeeds.

    The temporary folder is empty from the start, with the permissions that the umask asks for. On any failure,
    `KeyboardInterrupt` included, it is removed and `path` keeps what it had. A folder that is replaced exchanges its
    name with the new one in one step where the system can do that (Linux), else it steps aside for an instant.

    Args:
        path: the folder to write. An empty one counts as nothing.
        replace: replace a folder that holds something; whether it may be lost is the caller's to know.

    Yields:
        The folder to write into, in the same folder as `path`.

    Raises:
        OutputPathError: the folder above is missing or not writable; `path` is a file, a symbolic link, or a folder
            that holds something and is not to be replaced; or the disk is full.
    """
    target = Path(path)
    _check_folder(target, replace=replace)
    temporary = _create_temporary(target, folder=True)
    try:
        with _naming_a_full_disk(target):
            yield temporary
            _flush_tree(temporary)
            _replace_folder(temporary, target)
    finally:
        # By now, it may be the folder that was replaced.
        shutil.rmtree(temporary, ignore_errors=True)
    _flush_folder(target.parent)


def appear(complete: Path, target: Path) -> None:
    """Give a file that is complete its name: flush it to disk, rename it, flush the folder.

    For a writer that keeps its temporary file when it is cut off, as a download does; others use `atomic_path`.

    Args:
        complete: the file under its temporary name, in the folder of `target`.
        target: its name; replaced if it is there.

    Raises:
        OutputPathError: there is no such file, or `target` cannot be replaced.
    """
    _flush(complete, target)
    _replace(complete, target)
    _flush_folder(target.parent)


def is_out_of_space(error: BaseException) -> bool:
    """Whether a write failed because there is no room: on the disk, in the user's share, or in the largest file."""
    return _out_of_space(error) is not None


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


def make_folder(folder: Path) -> Path:
    """Make a folder that several results are written into, if need be, and return it.

    Raises:
        OutputPathError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputPathError(
            "the folder of the results must be one that can be made",
            received=f"{folder}: {error.strerror}",
            repair="choose another one",
        ) from error
    return folder


def check_output_folder(path: str | os.PathLike[str], *, replace: bool = False) -> None:
    """Refuse, before any work is done, a path that `atomic_folder` could not write to.

    Args:
        path: the folder to be written.
        replace: whether a folder that holds something is to be replaced.

    Raises:
        OutputPathError: as `atomic_folder`.
    """
    target = Path(path)
    _check_folder(target, replace=replace)
    _create_temporary(target, folder=True).rmdir()


def _check_target(target: Path) -> None:
    mode = _mode_of(target)
    if mode is None or stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise OutputPathError(
            "the output must be a file, not a folder",
            received=str(target),
            repair="add a file name to the path",
        )
    _refuse_link(target, mode)
    raise OutputPathError(
        "the output must be a regular file, because it is replaced as a whole",
        received=str(target),
        repair="write to a regular file and copy it from there",
    )


def _check_folder(target: Path, *, replace: bool) -> None:
    mode = _mode_of(target)
    if target.name in ("", ".."):
        raise OutputPathError(
            "the output folder must have a name of its own",
            received=str(target),
            repair="add a folder name to the path",
        )
    if mode is None:
        return
    _refuse_link(target, mode)
    if not stat.S_ISDIR(mode):
        raise OutputPathError(
            "the output must be a folder, not a file", received=str(target), repair="choose another name"
        )
    held = _first_names(target)
    if held and not replace:
        raise OutputPathError(
            "the output folder must not exist yet, or be empty",
            received=f"{target} with {held}",
            repair="choose another name, or move that folder away",
        )


def _mode_of(target: Path) -> int | None:
    """What stands at a path, links not followed; None for nothing."""
    try:
        return target.lstat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise OutputPathError(
            "the output path must be reachable", received=f"{str(target)!r}: {error}"
        ) from error


def _refuse_link(target: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        # Renaming onto a link would replace the link; writing through it would not be atomic.
        raise OutputPathError(
            "the output must not be a symbolic link",
            received=f"{target} -> {target.readlink()}",
            repair="give the path that the link points to, or remove the link",
        )


def _first_names(folder: Path) -> str:
    """Names of some entries of a folder; empty if it holds none."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise OutputPathError(
            "the output folder must be readable", received=f"{folder}: {error.strerror}"
        ) from error
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


@contextmanager
def _naming_a_full_disk(target: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = _out_of_space(error)
        if cause is None:
            raise
        raise OutputPathError(
            "the disk must have room for the whole output",
            received=f"{target}: {os.strerror(cause)}",
            repair="free some space or write somewhere else",
        ) from error


def _out_of_space(error: BaseException | None) -> int | None:
    """The number of the system's refusal behind an error.

    A library that fails to write fails again when it closes the file, with an error of another kind (HDF5 does), or
    has the number in its text alone.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OUT_OF_SPACE:
            return error.errno
        stated = re.search(r"errno = (\d+)", str(error))
        if stated is not None and int(stated[1]) in _OUT_OF_SPACE:
            return int(stated[1])
        error = error.__cause__ or error.__context__
    return None


def _create_temporary(target: Path, *, folder: bool = False) -> Path:
    temporary = target.parent / f".{secrets.token_hex(6)}-{target.name[-_KEPT_TAIL:]}"
    try:
        if folder:
            temporary.mkdir()
            return temporary
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
        raise _irreplaceable(target, error) from error


def _flush_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            _flush_folder(path)
        else:
            _flush(path, path)
    _flush_folder(folder)


def _replace_folder(temporary: Path, target: Path) -> None:
    """Give the new folder its name; what had it before is then called `temporary`, or is gone."""
    try:
        if not (target.exists() and _first_names(target)):
            temporary.rename(target)
        elif not _exchange(temporary, target):
            aside = temporary.with_name(f"{temporary.name}-replaced")
            target.rename(aside)
            try:
                temporary.rename(target)
            except BaseException:
                aside.rename(target)
                raise
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise _irreplaceable(target, error) from error


def _irreplaceable(target: Path, error: OSError) -> OutputPathError:
    return OutputPathError(
        "the output must be replaceable",
        received=f"{target}: {error.strerror}",
        repair="choose another name",
    )


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders exchange their names in one step; False where the system or its disk cannot."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or another C library
        return False
    names = (os.fsencode(one), os.fsencode(other))
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def _flush_folder(folder: Path) -> None:
    """Make the rename survive a power cut, where the platform lets folders be opened at all."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
