"""Texts of any length lie in an HDF5 file's global heaps, whose pieces the HDF5 library walks without looking.

A piece of free space without a length, or a length that wraps around, keeps the library's C code in that walk for ever,
and nothing in Python can end it; a heap that claims gigabytes takes them. So the heaps are walked here first. Layout:
section III.E of HDF5's file format.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

__all__ = ["endless_heap"]

# Signature, version 1, three reserved bytes; a chance of 2⁻⁶⁴ at each place of anything else.
_START = b"GCOL\x01\0\0\0"
_HEADER = 16
_PIECE = struct.Struct("<HHIQ")


def endless_heap(path: Path) -> int | None:
    """Where a file has a global heap whose pieces do not add up; None if it has none.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size < _HEADER:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            place = content.find(_START)
            while place >= 0:
                if not _adds_up(content, place):
                    return place
                place = content.find(_START, place + len(_START))
    return None


def _adds_up(content: mmap.mmap, place: int) -> bool:
    if place + _HEADER > len(content):
        return False
    (size,) = struct.unpack_from("<Q", content, place + 8)
    end = place + size
    if end > len(content):  # memory for all of it would be taken first
        return False
    here = place + _HEADER
    while here + _PIECE.size <= end:
        index, _, _, length = _PIECE.unpack_from(content, here)
        # Free space, which has number 0, counts its own head; every other piece is padded to eight bytes.
        step = length if index == 0 else _PIECE.size + (length + 7) // 8 * 8
        if not _PIECE.size <= step <= end - here:
            return False
        here += step
    return True
