"""Messages of Protocol Buffers, taken apart field by field: no schema, no allocation beyond the message itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["BYTES", "VARINT", "fields", "varint"]

VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field of a message of Protocol Buffers."""
    place = 0
    while place < len(message):
        tag, place = varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, place = varint(message, place)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, place = varint(message, place)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}[kind]
        held = message[place : place + length]
        if len(held) != length:
            raise ValueError("a field lies beyond its message")
        place += length
        yield number, kind, held if kind == BYTES else int.from_bytes(held, "little")


def varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at a place, seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number of more than ten bytes")
