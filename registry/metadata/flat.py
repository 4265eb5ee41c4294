"""Flatbuffers by field number: a reader that trusts nothing, and the few strokes that a writer needs.

The `flatbuffers` package reads with generated classes that believe every offset. What is read here comes from files
of strangers, so each access is checked against the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Literal

from flatbuffers import Builder

from registry.errors import ModelFileError

__all__ = ["FlatTable", "damaged", "write_bytes", "write_floats", "write_offsets", "write_table"]

# Above any model and any metadata that exists; below what would exhaust memory as Python objects.
_MOST_ELEMENTS = 1 << 18


def damaged(what: str) -> ModelFileError:
    """The error for bytes that contradict themselves."""
    return ModelFileError(
        "a TFLite file and its metadata must be flatbuffers that keep within their bytes",
        received=what,
        repair="the file is truncated or damaged: export the model again, or fetch the file again",
    )


class FlatTable:
    """A table somewhere in a flatbuffer. Every method raises `ModelFileError` rather than leave the bytes.

    Args:
        content: the whole flatbuffer.
        position: where the table starts.
    """

    def __init__(self, content: memoryview, position: int) -> None:
        self._content = content
        self.position = position
        self._vtable = position - self._read("<i", position)
        self._vtable_size = self._read("<H", self._vtable)
        if self._vtable_size < 4:
            raise damaged(f"a table at byte {position} without a layout")

    @classmethod
    def root(cls, content: memoryview, identifier: bytes) -> FlatTable:
        """The root table of a flatbuffer with that identifier."""
        if bytes(content[4:8]) != identifier:
            raise damaged(f"identifier {bytes(content[4:8])!r} instead of {identifier!r}")
        return cls(content, struct.unpack_from("<I", content)[0])

    def slots(self) -> list[int]:
        """Numbers of the fields that are present."""
        return [slot for slot in range((self._vtable_size - 4) // 2) if self._field(slot) is not None]

    def unsigned(self, slot: int, code: Literal["B", "I", "Q"], default: int = 0) -> int:
        """An unsigned integer of 1, 4 or 8 bytes."""
        position = self._field(slot)
        return default if position is None else self._read(f"<{code}", position)

    def target(self, slot: int) -> int | None:
        """Where a table, vector or string starts; None if the field is absent."""
        position = self._field(slot)
        return None if position is None else position + self._read("<I", position)

    def table(self, slot: int) -> FlatTable | None:
        """A table in a field."""
        target = self.target(slot)
        return None if target is None else FlatTable(self._content, target)

    def tables(self, slot: int) -> list[FlatTable]:
        """A vector of tables; empty if absent."""
        start, count = self._vector(slot, 4)
        positions = range(start, start + 4 * count, 4)
        return [FlatTable(self._content, position + self._read("<I", position)) for position in positions]

    def length(self, slot: int) -> int:
        """Number of elements (of 4 bytes) of a vector; 0 if absent."""
        return self._vector(slot, 4)[1]

    def floats(self, slot: int) -> tuple[float, ...]:
        """A vector of float32; empty if absent."""
        start, count = self._vector(slot, 4)
        return struct.unpack_from(f"<{count}f", self._content, start)

    def data(self, slot: int) -> memoryview:
        """A vector of bytes, not copied; empty if absent."""
        start, count = self._vector(slot, 1)
        return self._content[start : start + count]

    def string(self, slot: int) -> str:
        """A string; empty if absent."""
        try:
            return bytes(self.data(slot)).decode()
        except UnicodeDecodeError as error:
            raise damaged(f"a name that is no UTF-8: {error}") from error

    def _field(self, slot: int) -> int | None:
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return None
        offset = self._read("<H", self._vtable + entry)
        return self.position + offset if offset else None

    def _vector(self, slot: int, width: int) -> tuple[int, int]:
        """First byte and number of elements."""
        target = self.target(slot)
        if target is None:
            return 0, 0
        count = self._read("<I", target)
        if count * width > len(self._content) - target - 4 or (width > 1 and count > _MOST_ELEMENTS):
            raise damaged(f"a vector of {count} elements at byte {target} of {len(self._content)}")
        return target + 4, count

    def _read(self, code: str, position: int) -> int:
        # `struct` takes negative positions as counted from the end, so both bounds are ours to check.
        if not 0 <= position <= len(self._content) - struct.calcsize(code):
            raise damaged(f"a reference to byte {position} of {len(self._content)}")
        return int(struct.unpack_from(code, self._content, position)[0])


Field = tuple[int, Literal["offset", "byte", "uint"], int]


def write_table(builder: Builder, fields: Iterable[Field]) -> int:
    """Write a table.

    Args:
        builder: where to.
        fields: slot, kind and value of each field that is present. A zero is written, not left out, so that what
            it means does not depend on the default of whoever reads.

    Returns:
        Its offset.
    """
    present = list(fields)
    builder.StartObject(max((slot for slot, _, _ in present), default=-1) + 1)
    for slot, kind, value in present:
        if kind == "offset":
            builder.PrependUOffsetTRelative(value)
        elif kind == "byte":
            builder.PrependByte(value)
        else:
            builder.PrependUint32(value)
        builder.Slot(slot)
    return int(builder.EndObject())


def write_offsets(builder: Builder, offsets: Sequence[int]) -> int:
    """Write a vector of references."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def write_floats(builder: Builder, values: Sequence[float]) -> int:
    """Write a vector of float32."""
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


def write_bytes(builder: Builder, data: bytes, alignment: int) -> int:
    """Write a vector of bytes whose first byte is aligned."""
    builder.StartVector(1, len(data), alignment)
    builder.head = builder.head - len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())
