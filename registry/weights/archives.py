"""What every `.keras` archive is held to before one byte of it is unpacked.

A ZIP file can name files outside the folder that it is unpacked to, links, one name twice, and a few kilobytes can
stand for terabytes. A model's archive needs none of it: three files, of which the weights hardly compress. Nothing
here imports TensorFlow, and nothing is ever unpacked under a name of the archive's choosing.
"""

from __future__ import annotations

import json
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.errors import WeightsError, WeightsFormatError

__all__ = ["CONFIG_MEMBER", "WEIGHTS_MEMBER", "parse_json", "read_config", "unpacked_weights"]

CONFIG_MEMBER, WEIGHTS_MEMBER, _METADATA_MEMBER = "config.json", "model.weights.h5", "metadata.json"
_MEMBERS = frozenset({CONFIG_MEMBER, WEIGHTS_MEMBER, _METADATA_MEMBER})

LARGEST_JSON = 64 << 20
# Trained weights hardly compress; a configuration does, and is bounded by itself.
_LARGEST_COMPRESSION = 16
_SMALL = 1 << 20
_DEEPEST = 500
# Of the list of members, which the library reads whole and makes an object of each.
_MOST_MEMBERS, _LARGEST_LIST = 1000, 1 << 20


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield the archive, checked; whatever a damaged one raises becomes one error."""
    try:
        _check_list_size(path)
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            yield archive
    except WeightsError:
        raise
    except Exception as error:  # damage surfaces as BadZipFile, zlib.error, EOFError, NotImplementedError, …
        raise malformed(path, f"{type(error).__name__}: {error}") from error


def read_config(path: Path) -> Mapping[str, Any]:
    """The configuration in an archive as plain data; nothing is made of it.

    Args:
        path: a `.keras` file.

    Raises:
        WeightsFormatError: the archive is damaged, or holds what no model's archive holds.
    """
    with _opened(path) as archive:
        return parse_json(archive.read(CONFIG_MEMBER), path, CONFIG_MEMBER)


@contextmanager
def unpacked_weights(path: Path) -> Iterator[Path]:
    """Yield the archive's HDF5 file under a name of our own, which is gone afterwards.

    Args:
        path: a `.keras` file.

    Raises:
        WeightsFormatError: as `read_config`.
    """
    with tempfile.TemporaryDirectory(prefix="atrous-") as folder:
        unpacked = Path(folder) / WEIGHTS_MEMBER
        with (
            _opened(path) as archive,
            archive.open(WEIGHTS_MEMBER) as source,
            unpacked.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        yield unpacked


def parse_json(content: bytes | str, path: Path, what: str) -> Mapping[str, Any]:
    """An object of JSON, neither too large nor too deep.

    Args:
        content: the text.
        path: the file, for messages.
        what: the part of it, for messages.

    Raises:
        WeightsFormatError: it is none.
    """
    if len(content) > LARGEST_JSON:
        raise malformed(path, f"{what} has {len(content):,} bytes, more than {LARGEST_JSON:,}")
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise malformed(path, f"{what}: {type(error).__name__}: {error}") from error
    if not isinstance(parsed, dict):
        raise malformed(path, f"{what} holds a {type(parsed).__name__}, not an object")
    if _depth(parsed) > _DEEPEST:
        raise malformed(path, f"{what} is nested more than {_DEEPEST} levels deep")
    return parsed


def malformed(path: Path, why: str) -> WeightsFormatError:
    """The error of an archive that is not what `model.save` writes."""
    return WeightsFormatError(
        f"a .keras file is an intact ZIP archive of {CONFIG_MEMBER}, {_METADATA_MEMBER} and {WEIGHTS_MEMBER}, as "
        "model.save('x.keras') writes it",
        received=f"{path}: {why}",
        repair="download or save it again",
    )


def _check_list_size(path: Path) -> None:
    """Refuse a list of members that is large by itself."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 22))
        end = file.read()
        place = end.rfind(b"PK\5\6")
        if place < 0 or len(end) < place + 22:
            raise malformed(path, "it has no list of members at its end")
        count, listed = struct.unpack_from("<HI", end, place + 10)
        if (
            place >= 20 and end[place - 20 : place - 16] == b"PK\6\7"
        ):  # an archive beyond 4 GB states them again
            (offset,) = struct.unpack_from("<Q", end, place - 12)
            file.seek(min(offset, size))
            record = file.read(56)
            if len(record) < 56 or record[:4] != b"PK\6\6":
                raise malformed(path, "its list of members is not where it says")
            count, listed = struct.unpack_from("<QQ", record, 32)
    if count > _MOST_MEMBERS or listed > _LARGEST_LIST:
        raise malformed(
            path, f"it lists {count:,} members in {listed:,} bytes, where a model has {len(_MEMBERS)}"
        )


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise malformed(path, f"a name occurs twice: {', '.join(sorted(names))}")
    size = path.stat().st_size
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.filename not in _MEMBERS:
            raise malformed(path, f"it holds {member.filename!r}, which no model needs")
        if kind not in (0, stat.S_IFREG):
            raise malformed(path, f"{member.filename!r} is a link or a special file")
        if member.flag_bits & 1:
            raise malformed(path, f"{member.filename!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise malformed(path, f"{member.filename!r} is compressed by method {member.compress_type}")
        is_text = member.filename != WEIGHTS_MEMBER
        allowed = LARGEST_JSON if is_text else max(_SMALL, _LARGEST_COMPRESSION * size)
        if member.file_size > allowed:
            raise malformed(
                path, f"{member.filename!r} claims {member.file_size:,} bytes of an archive of {size:,}"
            )
    missing = {CONFIG_MEMBER, WEIGHTS_MEMBER} - set(names)
    if missing:
        raise malformed(path, f"it holds no {' and no '.join(sorted(missing))}")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        held = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack.extend((one, level + 1) for one in held)
    return deepest
