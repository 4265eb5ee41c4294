"""Give a TFLite model one more metadata entry, in front of what is there.

Offsets of a flatbuffer point forward only, so a vector that grows cannot move behind the tables it refers to. It can
move before them: a new root table with its grown vectors is put in front of the file, and refers to the old content,
whose bytes stay as they are. Weights are neither parsed nor copied piecewise, alignment is kept, and a model of
150 MB takes the time of copying it.
"""

from __future__ import annotations

from flatbuffers import Builder

from registry.errors import ModelFileError
from registry.metadata.flat import FlatTable, damaged, write_bytes, write_offsets, write_table

__all__ = ["METADATA_NAME", "find_entry", "new_head", "open_model", "require_segmenter"]

METADATA_NAME = "TFLITE_METADATA"
"""Name of the entry that holds the ModelMetadata flatbuffer."""

_IDENTIFIER = b"TFL3"
# Fields of `Model` in TFLite's schema.
_VERSION, _SUBGRAPHS, _BUFFERS, _METADATA = 0, 2, 4, 6
_LAST_KNOWN = 9
# Fields of `SubGraph`, `Buffer` and `Metadata`.
_INPUTS, _OUTPUTS = 1, 2
_DATA, _FILE_OFFSET = 0, 1
_NAME, _BUFFER = 0, 1
# The old content moves by a multiple of this: constants stay on their 16 bytes, and on cache lines.
_ALIGNMENT = 64
_DATA_ALIGNMENT = 16


def open_model(content: memoryview) -> FlatTable:
    """The root table of a TFLite model.

    Raises:
        ModelFileError: it is none.
    """
    return FlatTable.root(content, _IDENTIFIER)


def find_entry(model: FlatTable, name: str = METADATA_NAME) -> memoryview | None:
    """The bytes of a metadata entry; None if the model has none of that name."""
    index = _entry_index(model, name)
    if index is None:
        return None
    buffers = model.tables(_BUFFERS)
    if index >= len(buffers):
        raise damaged(f"metadata in buffer {index} of {len(buffers)}")
    return buffers[index].data(_DATA)


def require_segmenter(model: FlatTable) -> None:
    """Refuse a model whose tensors this metadata cannot describe.

    Raises:
        ModelFileError: not exactly one subgraph, one input and one output.
    """
    graphs = model.tables(_SUBGRAPHS)
    counts = [(graph.length(_INPUTS), graph.length(_OUTPUTS)) for graph in graphs]
    if counts != [(1, 1)]:
        raise ModelFileError(
            "a segmenter with metadata has one subgraph with one input and one output",
            received=f"(inputs, outputs) per subgraph: {counts}",
            repair="export a model with one output, or leave its metadata out",
        )


def new_head(content: bytes, data: bytes, name: str = METADATA_NAME) -> bytes:
    """What has to stand in front of a model for it to have an entry, or another entry of that name.

    Args:
        content: the model's flatbuffer, without associated files.
        data: what the entry holds.
        name: of the entry.

    Returns:
        The head; followed by `content` it is the new flatbuffer. They are not joined here, so that a large model is
        copied once only.

    Raises:
        ModelFileError: `content` is no flatbuffer, or keeps its constants outside of it.
    """
    model = open_model(memoryview(content))
    builder = Builder(1024 + len(data))
    builder.Prep(_ALIGNMENT, 0)
    buffers = [_outside(buffer) for buffer in model.tables(_BUFFERS)]
    _require_own_constants(model)
    added = write_table(builder, [(_DATA, "offset", write_bytes(builder, data, _DATA_ALIGNMENT))])
    index = _entry_index(model, name)
    if index is None or index >= len(buffers):
        index = len(buffers)
        buffers.append(added)
    else:
        buffers[index] = added
    entry = write_table(builder, [(_NAME, "offset", builder.CreateString(name)), (_BUFFER, "uint", index)])
    kept = [_outside(table) for table in model.tables(_METADATA) if table.string(_NAME) != name]
    grown = {
        _BUFFERS: write_offsets(builder, buffers),
        _METADATA: write_offsets(builder, [*kept, entry]),
    }
    builder.Finish(_write_root(builder, model, grown), _IDENTIFIER)
    return bytes(builder.Output())


def _write_root(builder: Builder, model: FlatTable, grown: dict[int, int]) -> int:
    present = model.slots()
    if max(present, default=0) > _LAST_KNOWN:
        raise ModelFileError(
            f"metadata can be added to models whose root has the fields 0 to {_LAST_KNOWN}",
            received=f"fields {present}",
            repair="the file is newer than this version of atrous: update it",
        )
    targets = {slot: -target for slot in present if slot != _VERSION and (target := model.target(slot))}
    return write_table(
        builder,
        [
            (_VERSION, "uint", model.unsigned(_VERSION, "I")),
            *((slot, "offset", target) for slot, target in sorted({**targets, **grown}.items())),
        ],
    )


def _outside(table: FlatTable) -> int:
    """The builder counts from its end, which is where the old content begins: what lies beyond is negative."""
    return -table.position


def _entry_index(model: FlatTable, name: str) -> int | None:
    return next(
        (entry.unsigned(_BUFFER, "I") for entry in model.tables(_METADATA) if entry.string(_NAME) == name),
        None,
    )


def _require_own_constants(model: FlatTable) -> None:
    """Constants behind the flatbuffer are found by their position in the file, which would change."""
    if any(buffer.unsigned(_FILE_OFFSET, "Q") > 1 for buffer in model.tables(_BUFFERS)):
        raise ModelFileError(
            "metadata can be added to models that hold their constants inside of the flatbuffer",
            received="a buffer with an offset into the file, as in models beyond 2 GB",
            repair="export a smaller model",
        )
