from __future__ import annotations

import platform

import pytest

from registry.training.allocation import return_large_blocks


def test_the_environments_own_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not return_large_blocks()


def test_glibc_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    assert return_large_blocks() == (platform.libc_ver()[0] == "glibc")
