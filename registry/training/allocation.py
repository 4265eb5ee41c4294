"""How this process's memory is given back between the tensors of a training step."""

from __future__ import annotations

import ctypes
import os

__all__ = ["return_large_blocks"]

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # M_… of glibc's malloc.h
_LARGE_BLOCK = 8 << 20
_OWN_SETTINGS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def return_large_blocks() -> bool:
    """Let tensors of 8 MiB and more go back to the system when they are freed, and keep all others in one heap.

    Left to itself, glibc raises the size from which it does so to 32 MiB, and keeps a heap for each thread, so that a
    step holds more than its tensors ever were at once. Smaller blocks would cost time: each comes back page by page.
    What the environment says about malloc is left alone; with another C library nothing happens.

    Returns:
        Whether it was set.
    """
    if any(name in os.environ for name in _OWN_SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)) and bool(mallopt(_ARENA_MAX, 1))
