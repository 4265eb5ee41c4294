"""How this process's memory is given back: what glibc's malloc keeps of what was freed, and when cycles are looked for.

With another C library malloc is not touched, and what the environment says about it is left alone.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["loading_memory", "return_large_blocks", "uncollected"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # M_… of glibc's malloc.h
_OWN_SETTINGS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
# Blocks from this size on go back when they are freed, and what is free at the end of the heap beyond the second size.
# glibc gets to 32 MiB by itself, as larger and larger blocks are freed; what one prediction frees, the next one wants.
_USUAL = (32 << 20, 256 << 20)
_TRAINING = (8 << 20, 16 << 20)
_LOADING = (1 << 20, 2 << 20)

# Outside of `loading_memory`.
_lasting = {"thresholds": _USUAL}


@contextmanager
def loading_memory() -> Iterator[None]:
    """Hold as little as possible beside the weights while a model is made and its weights enter.

    Initial values, arrays of the file and their copies live side by side otherwise: a freed tensor has no room for
    another of its size, since tensors are aligned, and stays with the process. Here each goes back to the system when
    it is freed. Afterwards blocks of less than 32 MiB stay with the process, as they do in the end by themselves.
    """
    if not _set(_LOADING):
        yield
        return
    try:
        yield
    finally:
        _set(_lasting["thresholds"])
        _c_function("malloc_trim")(0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Let Python's collector of cycles rest while a model is made and its weights enter.

    Layers are tens of thousands of objects, none of which becomes garbage, and they make the collector walk through all
    of TensorFlow's: a fifth of the time that a first build took.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def return_large_blocks() -> bool:
    """Let tensors of 8 MiB and more go back to the system when they are freed, and keep all others in one heap.

    Left to itself, glibc raises the size from which it does so to 32 MiB, and keeps a heap for each thread, so that a
    training step holds more than its tensors ever were at once. Smaller blocks would cost time: each comes back page by
    page.

    Returns:
        Whether it was set.
    """
    if not _set(_TRAINING):
        return False
    _lasting["thresholds"] = _TRAINING
    return bool(_c_function("mallopt")(_ARENA_MAX, 1))


def _set(thresholds: tuple[int, int]) -> bool:
    if any(name in os.environ for name in _OWN_SETTINGS):
        return False
    try:
        mallopt = _c_function("mallopt")
    except (AttributeError, OSError, TypeError):
        return False
    block, end_of_heap = thresholds
    return bool(mallopt(_MMAP_THRESHOLD, block)) and bool(mallopt(_TRIM_THRESHOLD, end_of_heap))


def _c_function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name)
