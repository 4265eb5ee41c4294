"""A library that costs nothing to import: what the tests of the benchmark run."""

from __future__ import annotations

import time

from tests.benchmarks.task import Task


def import_library() -> None:
    """Nothing to import."""


load = import_library


def count(start: int = 0, last: int = 1_000_000) -> Task:
    """Count the runs; beyond the last one it fails."""
    numbers = iter(range(start, last + 1))
    return Task(lambda: next(numbers), {"start": start})


def hold(mebibytes: int) -> Task:
    """Keep memory that was written to."""
    held = []
    return Task(lambda: held.append(b"\1" * (mebibytes << 20)))


def wait(seconds: float) -> Task:
    """Take time, but not the processor's."""
    return Task(lambda: time.sleep(seconds))


def refuse() -> Task:
    """Fail while it prepares."""
    raise RuntimeError("no such model")
