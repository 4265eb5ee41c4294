"""Write metadata into the bytes of a model, and read it from a file."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from registry.errors import ModelFileError
from registry.metadata.archive import archive_start, pack_files, read_files
from registry.metadata.description import SegmenterMetadata
from registry.metadata.flat import damaged
from registry.metadata.grafting import find_entry, new_head, open_model, require_segmenter
from registry.metadata.schema import EXTRA_FILE, associated_files, decode, encode, labels_file_name

__all__ = ["read_metadata", "write_metadata"]


def write_metadata(content: bytes, metadata: SegmenterMetadata) -> bytes:
    """Add metadata to a model, or replace what it has.

    The model's own bytes stay as they are, behind a new head and in front of an archive with the associated files, so
    it computes what it did before. The same arguments give the same bytes.

    Args:
        content: a `.tflite` file of one input and one output.
        metadata: what to say about it.

    Returns:
        The file with metadata in TFLite's schema, as MediaPipe's ImageSegmenter reads it.

    Raises:
        ModelError: `metadata.extra` is no JSON.
        ModelFileError: `content` is no such model.
    """
    view = memoryview(content)
    model = open_model(view)
    require_segmenter(model)
    if find_entry(model) is not None:
        content = content[: archive_start(view)]
    head = new_head(content, encode(metadata))
    return b"".join((head, content, pack_files(associated_files(metadata), len(head) + len(content))))


def read_metadata(source: bytes | str | os.PathLike[str]) -> SegmenterMetadata | None:
    """Read the metadata of a model.

    Args:
        source: a `.tflite` file, or its bytes.

    Returns:
        What the file says; None if it says nothing.

    Raises:
        ModelFileError: the file cannot be read, or contradicts itself.
    """
    if isinstance(source, bytes):
        return _read(memoryview(source))
    path = Path(source)
    try:
        # Mapped, so that of a large model only the pages with metadata are read. Not closed by hand: that fails
        # while an error on its way out still refers to a part of it.
        with path.open("rb") as stream:
            return _read(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            "the model file must be readable", received=f"{path}: {error}", repair="check the path"
        ) from error


def _read(content: memoryview) -> SegmenterMetadata | None:
    if len(content) < 8:
        raise damaged(f"{len(content)} bytes")
    entry = find_entry(open_model(content))
    if entry is None:
        return None
    if len(entry) < 8:
        raise damaged(f"metadata of {len(entry)} bytes")
    labels = labels_file_name(entry)
    files = read_files(content, {name for name in (labels, EXTRA_FILE) if name})
    return decode(entry, files.get(labels, b"") if labels else b"", files.get(EXTRA_FILE))
