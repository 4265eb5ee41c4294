"""Texts of any length lie in an HDF5 file's global heaps, whose pieces the HDF5 library walks without looking.

A piece of free space without a length, or a length that wraps around, keeps the library's C code in that walk for ever,
and nothing in Python can end it; a heap that claims gigabytes takes them. So the heaps are walked here first. Layout:
section III.E of HDF5's file format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["endless_heap"]

# Signature, version 1, three reserved bytes; a chance of 2⁻⁶⁴ at each place of anything else.
_START = b"GCOL\x01\0\0\0"
_HEADER = 16
_PIECE = struct.Struct("<HHIQ")
# Read block by block: all of a mapped file counts as memory of the process once it was searched.
_BLOCK = 1 << 20


def endless_heap(path: Path) -> int | None:
    """Where a file has a global heap whose pieces do not add up; None if it has none.

    Raises:
        OSError: the file cannot be read.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        for place in _starts(file):
            if not _adds_up(file, place, end):
                return place
    return None


def _starts(file: BinaryIO) -> Iterator[int]:
    """Every place of the signature."""
    before, offset = b"", 0
    while True:
        file.seek(offset)
        block = file.read(_BLOCK)
        if not block:
            return
        window, start = before + block, offset - len(before)
        found = window.find(_START)
        while found >= 0:
            yield start + found
            found = window.find(_START, found + len(_START))
        before = window[1 - len(_START) :]
        offset += len(block)


def _adds_up(file: BinaryIO, place: int, end_of_file: int) -> bool:
    if place + _HEADER > end_of_file:
        return False
    file.seek(place + 8)
    (size,) = struct.unpack("<Q", file.read(8))
    end = place + size
    if end > end_of_file:  # memory for all of it would be taken first
        return False
    here = place + _HEADER
    while here + _PIECE.size <= end:
        file.seek(here)
        index, _, _, length = _PIECE.unpack(file.read(_PIECE.size))
        # Free space, which has number 0, counts its own head; every other piece is padded to eight bytes.
        step = length if index == 0 else _PIECE.size + (length + 7) // 8 * 8
        if not _PIECE.size <= step <= end - here:
            return False
        here += step
    return True
