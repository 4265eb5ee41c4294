from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from registry.allocation import loading_memory, return_large_blocks, uncollected

_SETTINGS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
_IS_GLIBC = platform.libc_ver()[0] == "glibc"

# Blocks as those of weights, each between two that stay, so that no end of the heap becomes free.
_FREED = """
import ctypes, sys
from contextlib import nullcontext
from pathlib import Path
from registry.allocation import loading_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.mallopt(-3, 32 << 20)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


before = resident()
with loading_memory() if sys.argv[1] == "loading" else nullcontext():
    blocks = []
    for _ in range(50):
        blocks.append(libc.malloc(2 << 20))
        ctypes.memset(blocks[-1], 1, 2 << 20)
        libc.malloc(64 << 10)
    held = resident()
    for block in blocks:
        libc.free(block)
print(held - before, resident() - before)
"""


def test_the_environments_own_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not return_large_blocks()
    with loading_memory():
        pass


def test_glibc_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert return_large_blocks() == _IS_GLIBC


@pytest.mark.skipif(not _IS_GLIBC, reason="another C library has another malloc")
def test_what_is_freed_while_loading_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    held, kept = _freed("usual")
    assert held >= 100
    assert kept >= 90
    held, kept = _freed("loading")
    assert held >= 100
    assert kept <= 10


def test_the_collector_rests_and_goes_on_as_before() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def _freed(how: str) -> list[int]:
    """MiB that a hundred take, and that stay when they are freed."""
    done = subprocess.run(
        [sys.executable, "-c", _FREED, how], capture_output=True, text=True, check=True, timeout=60
    )
    return [int(part) for part in done.stdout.split()]
