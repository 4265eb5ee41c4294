"""What happened in a run: one JSON line per report, and TensorBoard's event files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.atomic import atomic_path
from registry.backend import tf
from registry.errors import TrainingError

__all__ = ["History", "read_history"]


# What tf.summary.scalar and tf.summary.image write. These need the package tensorboard, which only a viewer needs.
_SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR")
_IMAGES = tf.compat.v1.SummaryMetadata(
    plugin_data={"plugin_name": "images"}, data_class="DATA_CLASS_BLOB_SEQUENCE"
)


class History:
    """The record of a run.

    Args:
        lines: the file of JSON lines.
        events: the folder of TensorBoard's files.
        step: number of finished steps; what an interrupted run recorded beyond it is taken back.
    """

    def __init__(self, lines: Path, events: Path, step: int) -> None:
        self._path = lines
        self._keep_until(step)
        self._writer = tf.summary.create_file_writer(str(events))

    def record(self, step: int, values: Mapping[str, float | Sequence[float | None]]) -> None:
        """Add a line; numbers go to TensorBoard as well.

        Args:
            step: number of finished steps.
            values: name → number, or one per class.
        """
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")
        with self._writer.as_default(step):
            for name, value in values.items():
                if isinstance(value, int | float):
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)
        self._writer.flush()

    def draw(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Show a picture, uint8 (H, W, 3), in TensorBoard."""
        height, width, _ = picture.shape
        content = [str(width).encode(), str(height).encode(), tf.io.encode_png(picture).numpy()]
        with self._writer.as_default(step):
            tf.summary.write(name, tf.constant(content), metadata=_IMAGES)
        self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        self._writer.close()

    def _keep_until(self, step: int) -> None:
        kept = [entry for entry in read_history(self._path) if entry["step"] <= step]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")


def read_history(path: Path) -> list[dict[str, Any]]:
    """The entries of a history, oldest first; a last line that was cut off does not count.

    Raises:
        TrainingError: a line is no entry.
    """
    if not path.is_file():
        return []
    # What a damaged disk left is no text: such a line is then no entry.
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            entry["step"] = int(entry["step"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            if number == len(lines):
                break
            raise TrainingError(
                "every line of a history is a JSON object with the key `step`",
                received=f"{path}, line {number}: {line[:80]}",
                repair="remove the line",
            ) from error
        entries.append(entry)
    return entries
