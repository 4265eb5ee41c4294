"""Several processes, each with an interpreter of its own, that share the images of a run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from registry.batch.items import Item
from registry.batch.report import Outcome
from registry.batch.results import Look, Results
from registry.errors import ModelFileError
from registry.runtime import Segmenter
from registry.runtime.child import Child

__all__ = ["run_workers"]

_MODULE = "registry.batch.worker"
# Images of one request: enough that decoding, inference and writing overlap, few enough that workers end together.
_CHUNK = 16
_OPEN_SECONDS = 600.0
# For one image of any size on a busy machine.
_IMAGE_SECONDS = 300.0


def run_workers(
    items: Sequence[Item], segmenter: Segmenter, results: Results, look: Look, *, workers: int, threads: int
) -> Iterator[Outcome]:
    """Segment images with several processes.

    A process that dies is replaced, and its images are tried again one by one, so that the one that it died of is told
    from the others.

    Args:
        items: the images.
        segmenter: the file, already tried.
        results: where masks and overlays go.
        look: names and colours of the classes.
        workers: number of processes.
        threads: threads of each interpreter.

    Yields:
        What became of each image, as they finish.

    Raises:
        ModelFileError: a process could not be started.
        OutputPathError: the disk is full.
    """
    size = max(1, min(_CHUNK, -(-len(items) // (2 * workers))))
    waiting: queue.SimpleQueue[Sequence[Item]] = queue.SimpleQueue()
    for start in range(0, len(items), size):
        waiting.put(items[start : start + size])
    answers: queue.SimpleQueue[list[Outcome] | BaseException | None] = queue.SimpleQueue()
    options = {
        "path": str(segmenter.path.absolute()),
        "size": list(segmenter.input_size),
        "threads": threads,
        "threshold": segmenter.threshold,
        "look": asdict(look),
        "folder": str(results.folder.absolute()),
        "overlays": results.overlays,
    }
    stop = threading.Event()
    hands = [_Hand(segmenter, options, waiting, answers, stop) for _ in range(workers)]
    for hand in hands:
        hand.start()
    running = workers
    try:
        while running:
            answer = answers.get()
            if answer is None:
                running -= 1
            elif isinstance(answer, BaseException):
                raise answer
            else:
                yield from answer
    finally:
        stop.set()
        for hand in hands:
            hand.end()


class _Hand(threading.Thread):
    """The thread that talks with one process."""

    def __init__(
        self,
        segmenter: Segmenter,
        options: dict[str, Any],
        waiting: queue.SimpleQueue[Sequence[Item]],
        answers: queue.SimpleQueue[list[Outcome] | BaseException | None],
        stop: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._segmenter, self._options = segmenter, options
        self._waiting, self._answers, self._stop = waiting, answers, stop
        self._child: Child | None = None

    def run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    chunk = self._waiting.get_nowait()
                except queue.Empty:
                    break
                self._answers.put(self._segment(chunk))
        except BaseException as error:  # whatever it is, the run must hear of it
            self._answers.put(error)
        finally:
            self.end()
            self._answers.put(None)

    def end(self) -> None:
        """End the process; what it was about to write appears whole or not at all."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _segment(self, chunk: Sequence[Item]) -> list[Outcome]:
        child = self._ready()
        try:
            answer = child.ask(
                "segment", seconds=_IMAGE_SECONDS * len(chunk), items=[item.to_dict() for item in chunk]
            )
            return [Outcome(**one) for one in answer]
        except ModelFileError as error:  # it died, or took too long
            if self._stop.is_set():
                return []
            self.end()
            if len(chunk) == 1:
                return [Outcome(chunk[0].key, chunk[0].source, error=str(error))]
        return [outcome for item in chunk for outcome in self._segment([item])]

    def _ready(self) -> Child:
        """A process that has opened the file, started if there is none."""
        if self._child is None:
            self._child = Child(_MODULE, self._segmenter.path)
            self._child.ask("open", seconds=_OPEN_SECONDS, **self._options)
        return self._child
