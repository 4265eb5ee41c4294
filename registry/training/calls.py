"""Python called from the threads of `tf.data`, in a way that lets the process end.

When the interpreter shuts down, a thread that still waits for its turn to run Python never gets it, and the destructor
of the pipeline waits for that thread: a script that ends with a pipeline in hand, by an error for instance, would hang
for ever. So at exit calls return at once, with nothing in them, until the pipeline has filled its buffers and rests.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import tf

__all__ = ["called"]

_RESTING = 0.2
"""Seconds without a call after which none is to be expected."""
_PATIENCE = 5.0
"""Seconds after which exit goes on in any case."""

Pair = tuple[NDArray[np.uint8], NDArray[Any]]


def called(
    function: Callable[[int], Pair], number: Any, size: tuple[int, int], mask_dtype: Any
) -> tuple[Any, Any]:
    """Call a Python function from inside of a pipeline.

    Args:
        function: number → image (*size, 3) and mask (*size); it may run on several threads at once.
        number: int64 tensor.
        size: height and width in pixels.
        mask_dtype: of the mask.

    Returns:
        Tensors of the image, uint8 (*size, 3), and of the mask (*size).
    """

    def call(value: NDArray[np.int64]) -> Pair:
        with _calls:
            if _calls.are_ending:
                return np.zeros((*size, 3), np.uint8), np.zeros(size, mask_dtype)
            return function(int(value))

    image, mask = tf.numpy_function(call, [number], [tf.uint8, tf.as_dtype(mask_dtype)], stateful=False)
    return tf.ensure_shape(image, (*size, 3)), tf.ensure_shape(mask, size)


class _Calls:
    """Counts calls that are under way."""

    def __init__(self) -> None:
        self.are_ending = False
        self._lock = threading.Lock()
        self._under_way = 0
        self._latest = -_RESTING

    def __enter__(self) -> None:
        with self._lock:
            self._under_way += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._under_way -= 1
            self._latest = time.monotonic()

    def end(self) -> None:
        """Let calls return at once, and wait until there are none."""
        self.are_ending = True
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with self._lock:
                rests = not self._under_way and time.monotonic() - self._latest >= _RESTING
            if rests:
                return
            time.sleep(0.01)


_calls = _Calls()
atexit.register(_calls.end)
