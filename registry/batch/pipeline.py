"""Decode ‖ infer ‖ write: images pass through three stages at once, and never more of them than fit a window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.atomic import is_out_of_space
from registry.batch.items import Item
from registry.batch.report import Outcome
from registry.batch.results import Look, Results
from registry.errors import OutputPathError, RegistryError
from registry.images import load_image

__all__ = ["run_pipeline"]

Pixels = NDArray[np.uint8]
Segment = Callable[[Pixels], NDArray[Any]]

_HELPERS = 2
"""Threads that decode, and threads that write: Pillow works outside of Python's lock."""
_WINDOW = 4
"""Images that are decoded ahead, and images that wait to be written."""


def run_pipeline(items: Iterable[Item], segment: Segment, results: Results, look: Look) -> Iterator[Outcome]:
    """Segment images one after the other, while others are decoded and written.

    Args:
        items: the images.
        segment: pixels → mask of their size; called from one thread only.
        results: where masks and overlays go.
        look: names and colours of the classes.

    Yields:
        What became of each image, in their order. An image that fails does not stop the others.

    Raises:
        OutputPathError: the disk is full: the rest would fail as well.
    """
    source = iter(items)
    with (
        ThreadPoolExecutor(_HELPERS, thread_name_prefix="decode") as decoders,
        ThreadPoolExecutor(_HELPERS, thread_name_prefix="write") as writers,
    ):
        decoding: deque[tuple[Item, Future[Pixels]]] = deque()
        writing: deque[tuple[Item, Future[dict[str, Any]] | RegistryError]] = deque()

        def decode_more() -> None:
            while len(decoding) < _WINDOW and (item := next(source, None)) is not None:
                decoding.append((item, decoders.submit(_decode, item)))

        decode_more()
        while decoding:
            item, decoded = decoding.popleft()
            try:
                pixels = decoded.result()
                del decoded  # it would keep the pixels
                decode_more()
                mask = segment(pixels)
                writing.append((item, writers.submit(results.write, item, pixels, mask, look)))
                del pixels, mask
            except RegistryError as error:
                decode_more()
                writing.append((item, error))
            while len(writing) >= _WINDOW:
                yield _outcome(*writing.popleft())
        while writing:
            yield _outcome(*writing.popleft())


def _decode(item: Item) -> Pixels:
    return load_image(item.read(), name=item.source)


def _outcome(item: Item, written: Future[dict[str, Any]] | RegistryError) -> Outcome:
    try:
        if isinstance(written, RegistryError):
            raise written
        return Outcome(item.key, item.source, summary=written.result())
    except RegistryError as error:
        if isinstance(error, OutputPathError) and is_out_of_space(error):
            raise
        return Outcome(item.key, item.source, error=str(error))
    except OSError as error:  # a folder of the results that cannot be made
        if is_out_of_space(error):
            raise OutputPathError(
                "the disk must have room for the results",
                received=f"{item.key}: {error.strerror}",
                repair="free some space, then run the same command again",
            ) from error
        return Outcome(item.key, item.source, error=f"{error.strerror}: {error.filename}")
