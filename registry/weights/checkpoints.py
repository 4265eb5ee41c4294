"""TensorFlow's checkpoints: `model.ckpt-30000.index` with `model.ckpt-30000.data-00000-of-00001` beside it.

The index is a sorted table of blocks (LevelDB's format, uncompressed) from a variable's name to its dtype, shape, place
and checksum; the data are raw numbers. Both are read here, so that no TensorFlow is needed and nothing is allocated
before it is known to lie in the file: TensorFlow's own reader takes the index at its word.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from registry.errors import WeightsError, WeightsFormatError
from registry.weights.arrays import StoredArray
from registry.weights.messages import BYTES, VARINT, fields, varint

__all__ = ["OBJECT_GRAPH", "checkpoint_prefix", "read_checkpoint"]

# The text beside the arrays of TensorFlow 2: which object holds which by what name.
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_MAGIC = 0xDB4775248B80FB57
_FOOTER, _TRAILER = 48, 5
_LARGEST_INDEX = 256 << 20
_LARGEST_GRAPH = 16 << 20
_MOST_VARIABLES = 200_000
_MASK = 0xA282EAD8
_DTYPES: dict[int, Any] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    9: np.int64,
    10: np.bool_,
    17: np.uint16,
    19: np.float16,
    22: np.uint32,
    23: np.uint64,
}
_STRING = 7


@dataclass
class _Entry:
    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    sliced: bool = False


def checkpoint_prefix(path: str | os.PathLike[str]) -> Path | None:
    """The prefix of a checkpoint's files, if a path means one: the prefix itself, or the name of one of the files."""
    text = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", os.fspath(path))
    return Path(text) if Path(f"{text}.index").is_file() else None


def read_checkpoint(prefix: Path) -> dict[str, list[StoredArray]]:
    """Arrays of a checkpoint by variable name, each read once and checked, and left in the file.

    Args:
        prefix: path of the files without `.index` and `.data-…`.

    Returns:
        Variable name → a list of one array. Texts are left out, but for `OBJECT_GRAPH`, which comes as its bytes.

    Raises:
        WeightsFormatError: a file is damaged, absent, or claims more than it holds.
    """
    index = Path(f"{prefix}.index")
    try:
        table = dict(_table(index))
        shards = _shard_files(prefix, table.pop("", b""))
        entries = {name: _entry(value) for name, value in table.items()}
        arrays = {
            name: [_stored(index, name, entry, shards)]
            for name, entry in entries.items()
            if entry.dtype != _STRING and not entry.sliced
        }
        is_empty = not arrays
        arrays |= {
            name: [_text(index, name, entry, shards)]
            for name, entry in entries.items()
            if name == OBJECT_GRAPH and entry.dtype == _STRING and not entry.shape and not entry.sliced
        }
    except WeightsError:
        raise
    except Exception as error:  # damage surfaces as IndexError, ValueError, struct.error, OSError, …
        raise _malformed(index, f"{type(error).__name__}: {error}") from error
    if is_empty:
        raise _malformed(index, "it holds no array")
    return arrays


def _table(index: Path) -> Iterator[tuple[str, bytes]]:
    size = index.stat().st_size
    if not _FOOTER <= size <= _LARGEST_INDEX:
        raise _malformed(index, f"it has {size:,} bytes")
    content = index.read_bytes()
    footer = content[-_FOOTER:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise _malformed(index, "it does not end as a table of TensorFlow does")
    _, place = _handle(footer, 0)
    blocks, _ = _handle(footer, place)
    count, previous = 0, None
    for _, where in _block(index, content, blocks):
        handle, _ = _handle(where, 0)
        for key, value in _block(index, content, handle):
            name = key.decode("utf-8")
            if previous is not None and name <= previous:
                raise _malformed(index, f"its names are not in order: {name!r} after {previous!r}")
            count, previous = count + 1, name
            if count > _MOST_VARIABLES:
                raise _malformed(index, f"it lists more than {_MOST_VARIABLES:,} variables")
            yield name, value


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return (offset, size), place


def _block(index: Path, content: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Keys, each stored as what differs from the one before, and values."""
    offset, size = handle
    data = content[offset : offset + size]
    trailer = content[offset + size : offset + size + _TRAILER]
    if len(data) != size or len(trailer) != _TRAILER or size < 4:
        raise _malformed(index, "a block lies beyond its end")
    if trailer[0] != 0:
        raise _malformed(index, "a block is compressed, which TensorFlow does not do in checkpoints")
    if _masked(google_crc32c.value(data + trailer[:1])) != struct.unpack("<I", trailer[1:])[0]:
        raise _malformed(index, "the checksum of a block is wrong")
    (restarts,) = struct.unpack("<I", data[-4:])
    end = size - 4 - 4 * restarts
    if end < 0:
        raise _malformed(index, "a block claims more restarts than it has room for")
    place, key = 0, b""
    while place < end:
        shared, place = varint(data, place)
        own, place = varint(data, place)
        length, place = varint(data, place)
        if shared > len(key) or place + own + length > end:
            raise _malformed(index, "an entry lies beyond its block")
        key = key[:shared] + data[place : place + own]
        place += own
        yield key, data[place : place + length]
        place += length


def _shard_files(prefix: Path, header: bytes) -> list[Path]:
    count = 1
    for number, _, value in fields(header):
        if number == 1:
            count = int(value)
        if number == 2 and value:
            raise _malformed(prefix, "its numbers are big-endian")
    if not 1 <= count <= 10_000:
        raise _malformed(prefix, f"it claims {count} files of data")
    return [Path(f"{prefix}.data-{number:05}-of-{count:05}") for number in range(count)]


def _entry(value: bytes) -> _Entry:
    entry = _Entry()
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size", 6: "checksum"}
    for number, kind, held in fields(value):
        if number == 2 and kind == BYTES:
            entry.shape = [_extent(dim) for at, _, dim in fields(held) if at == 2]
        elif number == 7:
            entry.sliced = True
        elif number in names and kind != BYTES:
            setattr(entry, names[number], int(held))
    return entry


def _extent(dim: bytes) -> int:
    return next((int(value) for number, kind, value in fields(dim) if number == 1 and kind == VARINT), 0)


def _stored(index: Path, name: str, entry: _Entry, shards: list[Path]) -> StoredArray:
    dtype = _DTYPES.get(entry.dtype)
    if dtype is None:
        raise _malformed(index, f"the array {name!r} has TensorFlow's dtype {entry.dtype}, not numbers")
    dtype = np.dtype(dtype)
    file = _shard(index, name, entry, shards)
    if prod(entry.shape) * dtype.itemsize != entry.size or entry.offset + entry.size > file.stat().st_size:
        raise _malformed(index, f"the array {name!r} of shape {entry.shape} is not what lies in {file.name}")

    def read() -> np.ndarray:
        content = _content(file, entry)
        if len(content) != entry.size or _masked(google_crc32c.value(content)) != entry.checksum:
            raise _malformed(file, f"the checksum of {name!r} is wrong")
        return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(entry.shape)

    array = StoredArray(tuple(entry.shape), read, dtype)
    if dtype.kind == "f" and not np.isfinite(read()).all():
        raise _malformed(file, f"the array {name!r} holds NaN or Inf")
    return array


def _text(index: Path, name: str, entry: _Entry, shards: list[Path]) -> StoredArray:
    """One text: its length, the checksum of that, its bytes."""
    file = _shard(index, name, entry, shards)
    if entry.size > _LARGEST_GRAPH or entry.offset + entry.size > file.stat().st_size:
        raise _malformed(index, f"the text {name!r} of {entry.size:,} bytes is not what lies in {file.name}")
    content = _content(file, entry)
    length, place = varint(content, 0)
    text = content[place + 4 :]
    # The checksum is over the length as four bytes, whatever room it takes.
    checksum = google_crc32c.value(struct.pack("<I", len(text)) + content[place : place + 4] + text)
    if len(text) != length or _masked(checksum) != entry.checksum:
        raise _malformed(file, f"the checksum of {name!r} is wrong")
    array = np.frombuffer(text, np.uint8)
    return StoredArray(array.shape, lambda: array, array.dtype)


def _shard(index: Path, name: str, entry: _Entry, shards: list[Path]) -> Path:
    if entry.shard >= len(shards):
        raise _malformed(index, f"the array {name!r} lies in file {entry.shard} of {len(shards)}")
    file = shards[entry.shard]
    if not file.is_file():
        raise _malformed(index, f"there is no {file.name} beside it")
    return file


def _content(file: Path, entry: _Entry) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(entry.offset)
            return stream.read(entry.size)
    except OSError as error:
        raise _malformed(file, str(error)) from error


def _masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


def _malformed(path: Path, why: str) -> WeightsFormatError:
    return WeightsFormatError(
        "a TensorFlow checkpoint is an intact .index file with its .data files beside it",
        received=f"{path}: {why}",
        repair="download or unpack it again, all files into one folder",
    )
