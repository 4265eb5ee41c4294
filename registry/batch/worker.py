"""The child process of `workers.run_workers`: `python -P -m registry.batch.worker`.

It may crash on what it is given; `registry.runtime.child` says how it is talked to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.batch.items import Item
from registry.batch.pipeline import run_pipeline
from registry.batch.results import Look, Results
from registry.runtime import Segmenter
from registry.runtime.child import serve

__all__ = ["Worker"]


class Worker:
    """What the child can do, with the one file that it has opened."""

    def __init__(self) -> None:
        self._segmenter: Segmenter
        self._results: Results
        self._look: Look

    def open(
        self,
        path: str,
        size: list[int] | None,
        threads: int,
        threshold: float,
        look: dict[str, Any],
        folder: str,
        overlays: bool,
    ) -> None:
        """Load the file; the parent has tried it already."""
        extent = None if size is None else (size[0], size[1])
        self._segmenter = Segmenter(path, size=extent, num_threads=threads, threshold=threshold, trusted=True)
        colors = tuple((red, green, blue) for red, green, blue in look["palette"])
        self._look = Look(labels=tuple(look["labels"]), palette=colors)
        self._results = Results(Path(folder), overlays)

    def segment(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Segment images and say what became of each."""
        outcomes = run_pipeline(map(Item.of, items), self._segmenter.segment, self._results, self._look)
        return [
            {"key": one.key, "source": one.source, "summary": one.summary, "error": one.error}
            for one in outcomes
        ]


if __name__ == "__main__":
    worker = Worker()
    serve({"open": worker.open, "segment": worker.segment})
