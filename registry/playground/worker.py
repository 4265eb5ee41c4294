"""The child process that holds one model file: `python -P -m registry.playground.worker`.

File and image may come from anywhere, and may end it; `registry.runtime.child` says how it is talked to.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from registry.images import load_image
from registry.runtime import Segmenter
from registry.runtime.child import serve

__all__ = ["Worker"]


class Worker:
    """What the child can do, with the one file that it has opened."""

    def __init__(self) -> None:
        self._segmenter: Segmenter

    def open(self, path: str, size: list[int] | None, threads: int) -> dict[str, Any]:
        """Load a file, and say what it is."""
        extent = None if size is None else (size[0], size[1])
        # This process is the trial run.
        self._segmenter = segmenter = Segmenter(path, size=extent, num_threads=threads, trusted=True)
        black = np.zeros((*segmenter.input_size, 3), np.uint8)
        segmenter.segment(black)
        return {
            "input_size": list(segmenter.input_size),
            "output_kind": segmenter.output_kind,
            "num_classes": segmenter.num_classes,
            "labels": list(segmenter.labels),
            "palette": [list(color) for color in segmenter.palette],
        }

    def segment(self, image: str, name: str, mask: str) -> dict[str, Any]:
        """Segment an image file, write its mask as `.npy`, and say how long the model took."""
        pixels = load_image(Path(image).read_bytes(), name=name)
        started = time.perf_counter()
        indices = self._segmenter.segment(pixels)
        milliseconds = (time.perf_counter() - started) * 1e3
        with Path(mask).open("wb") as file:
            np.save(file, indices, allow_pickle=False)
        return {"ms": milliseconds}


if __name__ == "__main__":
    worker = Worker()
    serve({"open": worker.open, "segment": worker.segment})
