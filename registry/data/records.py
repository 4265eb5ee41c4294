"""TFRecord files: byte strings one after the other, each framed by its length and two checksums.

::

    uint64  length of the content
    uint32  masked CRC-32C of these 8 bytes
    bytes   content
    uint32  masked CRC-32C of the content

All numbers are little-endian. A file has no table of contents; `open_records` walks from frame to frame, without
reading what is in them, so that any record can be read alone afterwards.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from registry.errors import DataError

__all__ = ["RecordFile", "open_records", "write_record"]

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LARGEST = 2**31 - 1
"""Bytes of a record at most; a protocol buffer cannot be larger."""
_GZIP = b"\x1f\x8b"
_ZLIB = b"\x78"


@dataclass(frozen=True, eq=False)
class RecordFile:
    """A TFRecord file whose records can be read in any order, from several threads.

    Args:
        path: the file.
        offsets: where the frame of each record begins, int64.
        lengths: bytes of the content of each record, int64.
    """

    path: Path
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of records."""
        return len(self.offsets)

    def place(self, number: int) -> str:
        """Where a record is, for messages."""
        return _place(self.path, number, int(self.offsets[number]))

    def read(self, number: int) -> bytes:
        """The content of a record.

        Raises:
            DataError: the file cannot be read, or the content is not what its checksum says.
        """
        length = int(self.lengths[number])
        try:
            # Opened anew: no limit on shards, nothing to close, and nothing that processes or threads would share.
            with self.path.open("rb") as stream:
                stream.seek(int(self.offsets[number]) + _HEADER.size)
                framed = stream.read(length + _FOOTER.size)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        content = framed[:length]
        if len(framed) < length + _FOOTER.size or _FOOTER.unpack(framed[length:])[0] != _masked(content):
            raise DataError(
                "the content of a TFRecord must agree with its checksum",
                received=self.place(number),
                repair="the file is damaged, or was changed since it was opened: copy or pack it again",
            )
        return content


def open_records(path: Path) -> RecordFile:
    """Find the records of a file.

    Raises:
        DataError: the file cannot be read, is no TFRecord file, or is cut off.
    """
    try:
        # Without a buffer: of each frame only its head is read.
        with path.open("rb", buffering=0) as stream:
            frames = list(_frames(path, stream, os.fstat(stream.fileno()).st_size))
    except OSError as error:
        raise _unreadable(path, error) from error
    table = np.array(frames, np.int64).reshape(-1, 2)
    return RecordFile(path, table[:, 0], table[:, 1])


def write_record(stream: BinaryIO, content: bytes) -> None:
    """Append a record to a file that is open for writing.

    Raises:
        DataError: the content is larger than a protocol buffer can be.
    """
    if len(content) > _LARGEST:
        raise DataError(
            f"a record holds at most {_LARGEST:,} bytes",
            received=f"{len(content):,} bytes",
            repair="store the image in a compressed format",
        )
    length = struct.pack("<Q", len(content))
    for part in (length, _FOOTER.pack(_masked(length)), content, _FOOTER.pack(_masked(content))):
        stream.write(part)


def _frames(path: Path, stream: io.RawIOBase, size: int) -> Iterator[tuple[int, int]]:
    offset = number = 0
    while offset < size:
        stream.seek(offset)
        head = stream.read(_HEADER.size) or b""
        if len(head) < _HEADER.size:
            raise _cut_off(path, number, offset, f"{len(head)} bytes of its head")
        length, checksum = _HEADER.unpack(head)
        if checksum != _masked(head[:8]) or length > _LARGEST:
            raise _no_frame(path, number, offset, head)
        end = offset + _HEADER.size + length + _FOOTER.size
        if end > size:
            raise _cut_off(path, number, offset, f"{size - offset:,} of {end - offset:,} bytes")
        yield offset, length
        offset, number = end, number + 1


def _masked(content: bytes) -> int:
    """CRC-32C, rotated and shifted, as TFRecord stores it: a checksum of data with checksums would be weak."""
    checksum = google_crc32c.value(content)
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _place(path: Path, number: int, offset: int) -> str:
    return f"{path}, record {number} at byte {offset}"


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError("a TFRecord file must be readable", received=f"{path}: {error}", repair="check the path")


def _cut_off(path: Path, number: int, offset: int, found: str) -> DataError:
    return DataError(
        "a TFRecord file must end where a record ends",
        received=f"{_place(path, number, offset)}: {found}",
        repair="the file is truncated: copy or pack it again",
    )


def _no_frame(path: Path, number: int, offset: int, head: bytes) -> DataError:
    compressed = offset == 0 and head.startswith((_GZIP, _ZLIB))
    return DataError(
        "each record of a TFRecord file begins with its length and a checksum of it",
        received=_place(path, number, offset),
        repair="decompress the file: in a compressed one, no record can be read alone"
        if compressed
        else "the file is damaged or no TFRecord file: copy or pack it again",
    )
