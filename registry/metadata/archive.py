"""The associated files of a `.tflite` file: a ZIP archive behind the flatbuffer.

Written and read here, not by `zipfile`. Written: the archive starts behind a model of any size without a copy of
it, and the bytes depend on the content alone. Read: sizes and counts are known to be bounded before anything is
inflated, and nothing is ever extracted to a disk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from registry.metadata.flat import damaged

__all__ = ["MOST_BYTES", "MOST_FILES", "archive_start", "pack_files", "read_files"]

MOST_FILES = 64
"""Largest number of associated files."""

MOST_BYTES = 1 << 20
"""Largest size of one associated file that is read, and of the archive's directory."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_VERSION = 20
_UTF8 = 1 << 11
_ENCRYPTED = 1
_STORED, _DEFLATED = 0, 8
# 1980-01-01 00:00, the first moment that ZIP knows: the same content gives the same bytes on every day.
_TIME, _DATE = 0, 0x21


def pack_files(files: Mapping[str, bytes], offset: int) -> bytes:
    """An archive of uncompressed files (MediaPipe reads no others) that stands behind `offset` other bytes."""
    body, directory = bytearray(), bytearray()
    for name, data in files.items():
        raw = name.encode()
        common = (_UTF8, _STORED, _TIME, _DATE, zlib.crc32(data), len(data), len(data), len(raw), 0)
        start = offset + len(body)
        body += _LOCAL.pack(_LOCAL_MARK, _VERSION, *common) + raw + data
        directory += _CENTRAL.pack(_CENTRAL_MARK, _VERSION, _VERSION, *common, 0, 0, 0, 0, start) + raw
    count = len(files)
    end = _END.pack(_END_MARK, 0, 0, count, count, len(directory), offset + len(body), 0)
    return bytes(body + directory + end)


@dataclass(frozen=True)
class _Entry:
    """What the directory says about one file."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int


def read_files(content: memoryview, wanted: Collection[str]) -> dict[str, bytes]:
    """The associated files of these names, as far as they are there.

    Args:
        content: the whole `.tflite` file.
        wanted: their names.

    Returns:
        Name → content.

    Raises:
        ModelFileError: the archive is damaged, or a wanted file exceeds the limits.
    """
    return {entry.name: _extract(content, entry) for entry in _entries(content) if entry.name in wanted}


def archive_start(content: memoryview) -> int:
    """Where the archive begins: the length of the file if it has none.

    Raises:
        ModelFileError: the archive is damaged.
    """
    return min((entry.start for entry in _entries(content)), default=len(content))


def _entries(content: memoryview) -> Iterator[_Entry]:
    end = _end_record(content)
    if end is None:
        return
    position, count, size, stated = end
    first = position - size
    # An archive may count its offsets from its own start instead of the file's.
    shift = first - stated
    if count > MOST_FILES or size > MOST_BYTES or first < 0 or shift < 0:
        raise damaged(f"an archive of {count} files, with a directory of {size} bytes at byte {stated}")
    at = first
    for _ in range(count):
        if at + _CENTRAL.size > position:
            raise damaged("the directory of the associated files ends early")
        fields = _CENTRAL.unpack_from(content, at)
        if fields[0] != _CENTRAL_MARK:
            raise damaged("the directory of the associated files is overwritten")
        _, _, _, flags, method, _, _, crc, packed, length, name, extra, comment, _, _, _, start = fields
        raw = bytes(content[at + _CENTRAL.size : at + _CENTRAL.size + name])
        yield _Entry(raw.decode(errors="replace"), flags, method, crc, packed, length, start + shift)
        at += _CENTRAL.size + name + extra + comment


def _end_record(content: memoryview) -> tuple[int, int, int, int] | None:
    """Position of the archive's last record; number of files, size and stated position of its directory."""
    tail_start = max(0, len(content) - _END.size - 0xFFFF)
    tail = bytes(content[tail_start:])
    found = tail.rfind(_END_MARK)
    if found < 0 or found + _END.size > len(tail):
        return None
    _, _, _, _, count, size, stated, comment = _END.unpack_from(tail, found)
    # Weights may hold these four bytes by chance; a last record ends where the file does.
    if found + _END.size + comment != len(tail):
        return None
    return tail_start + found, count, size, stated


def _extract(content: memoryview, entry: _Entry) -> bytes:
    if entry.size > MOST_BYTES or entry.packed > MOST_BYTES or entry.flags & _ENCRYPTED:
        raise damaged(f"the associated file {entry.name!r} is encrypted or larger than {MOST_BYTES} bytes")
    if not 0 <= entry.start <= len(content) - _LOCAL.size:
        raise damaged(f"the associated file {entry.name!r} at byte {entry.start}")
    mark, *_, name, extra = _LOCAL.unpack_from(content, entry.start)
    begin = entry.start + _LOCAL.size + name + extra
    packed = bytes(content[begin : begin + entry.packed])
    data = _inflate(packed, entry) if entry.method == _DEFLATED else packed
    known = mark == _LOCAL_MARK and entry.method in (_STORED, _DEFLATED)
    if not known or len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise damaged(f"the associated file {entry.name!r} has other bytes than its checksum says")
    return data


def _inflate(packed: bytes, entry: _Entry) -> bytes:
    try:
        # One byte more than stated is enough to see that the statement was a lie.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size + 1)
    except zlib.error as error:
        raise damaged(f"the associated file {entry.name!r}: {error}") from error
