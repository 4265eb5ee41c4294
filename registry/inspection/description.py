"""What a file says about itself: its metadata, as far as it can be trusted to be readable."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from registry.errors import ModelFileError
from registry.inspection.text import printable
from registry.metadata import read_metadata

__all__ = ["MEDIAPIPE_ENTRY", "appended_files", "read_description"]

MEDIAPIPE_ENTRY = "TFLITE_METADATA"
_MOST_FILES = 100


def read_description(content: bytes, entries: Sequence[str]) -> tuple[dict[str, Any] | None, str | None]:
    """Labels, normalization and the like.

    Args:
        content: the bytes of a `.tflite` file.
        entries: names of its metadata entries.

    Returns:
        What it says, JSON-ready, and what is wrong with it; either may be None.
    """
    if MEDIAPIPE_ENTRY not in entries:
        return None, None
    try:
        said = read_metadata(content)
    except ModelFileError as error:
        return None, printable(f"{error.rule}: {error.received}")
    if said is None:
        return None, None
    return {
        "name": printable(said.name),
        "version": printable(said.version),
        "license": printable(said.license),
        "labels": [printable(label) for label in said.labels],
        "activation": said.activation,
        "output": said.output,
        "mean": list(said.mean),
        "std": list(said.std),
        "input_range": list(said.input_range),
        "size": None if said.size is None else list(said.size),
    }, None


def appended_files(content: bytes) -> tuple[str, ...]:
    """Names in the ZIP that metadata writers append, such as `labels.txt`; nothing is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return tuple(map(printable, archive.namelist()[:_MOST_FILES]))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, OSError, EOFError, NotImplementedError):
        return ()
