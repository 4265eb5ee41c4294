"""Time `.tflite` files against each other: in turns, each in a process of its own.

In turns, because a machine's speed drifts: what differs between two files within one round is the files. In
processes of their own, because a damaged file can end its process, and because memory can be told apart then.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.errors import ModelError, ModelFileError
from registry.inspection.delegates import LOAD_SECONDS, WORKER
from registry.runtime.child import Child
from registry.runtime.modelfile import check_structure

__all__ = ["BenchmarkReport", "Measurement", "Speedup", "Step", "benchmark"]

_MOST_FILES = 16
_MOST_RUNS = 10_000
_FEWEST_ROUNDS = 3
_PROFILED_RUNS = 5


@dataclass(frozen=True)
class Step:
    """A step of a profile: the kernel that ran and its mean time."""

    kernel: str
    ms: float


@dataclass(frozen=True)
class Measurement:
    """What one file took.

    Args:
        path: the file.
        size_bytes: its length.
        input_shapes: shapes that it ran with.
        times_ms: milliseconds of every timed run, in the order of the rounds.
        load_ms: milliseconds from the file to allocated tensors.
        peak_bytes: highest resident memory of its process; 0 where the system does not say.
        model_bytes: what of it came with the model, above interpreter and libraries.
        profile: kernel by kernel, in the order of execution; None if not asked for, or not to be had.
        profile_problem: why there is no profile.
    """

    path: Path
    size_bytes: int
    input_shapes: tuple[tuple[int, ...], ...]
    times_ms: tuple[float, ...]
    load_ms: float
    peak_bytes: int
    model_bytes: int
    profile: tuple[Step, ...] | None = None
    profile_problem: str | None = None

    @property
    def median_ms(self) -> float:
        """Half of the runs took less."""
        return statistics.median(self.times_ms)

    @property
    def quartiles_ms(self) -> tuple[float, float]:
        """The middle half of the runs lies between these."""
        return _quartiles(self.times_ms)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            **asdict(self),
            "path": str(self.path),
            "median_ms": self.median_ms,
            "quartiles_ms": self.quartiles_ms,
            "min_ms": min(self.times_ms),
            "max_ms": max(self.times_ms),
        }


@dataclass(frozen=True)
class Speedup:
    """How much faster a file is than the one it was run against: 2 means half of the time.

    Args:
        path: the file.
        against: the file it was run against.
        ratio: ratio of the medians.
        paired_ratio: median of the ratios within each round; drift cancels out in it.
        paired_quartiles: the middle half of those ratios.
    """

    path: Path
    against: Path
    ratio: float
    paired_ratio: float
    paired_quartiles: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {**asdict(self), "path": str(self.path), "against": str(self.against)}


@dataclass(frozen=True)
class BenchmarkReport:
    """One benchmark.

    Args:
        measurements: one per file; the one that the others are compared with comes last.
        speedups: one per other file; empty for a single file.
        threads: threads of each interpreter.
        warmup: runs of each file before the timed ones.
    """

    measurements: tuple[Measurement, ...]
    speedups: tuple[Speedup, ...]
    threads: int
    warmup: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "threads": self.threads,
            "warmup": self.warmup,
            "rounds": len(self.measurements[0].times_ms),
            "measurements": [measurement.to_dict() for measurement in self.measurements],
            "speedups": [speedup.to_dict() for speedup in self.speedups],
        }

    def __str__(self) -> str:
        """Several lines for a terminal."""
        rounds = len(self.measurements[0].times_ms)
        lines = [f"{rounds} rounds in turns, {self.threads} threads, {self.warmup} warm-up runs"]
        for measurement in self.measurements:
            low, high = measurement.quartiles_ms
            lines += [
                f"{measurement.path}",
                f"  median  {measurement.median_ms:.2f} ms, middle half {low:.2f}–{high:.2f}, "
                f"{min(measurement.times_ms):.2f}–{max(measurement.times_ms):.2f} in all",
                f"  memory  {_megabytes(measurement.peak_bytes)} at most, "
                f"{_megabytes(measurement.model_bytes)} of it with the model",
                f"  file    {_megabytes(measurement.size_bytes)}, loaded in {measurement.load_ms:.0f} ms",
            ]
        for speedup in self.speedups:
            low, high = speedup.paired_quartiles
            lines.append(
                f"{speedup.path} is {speedup.ratio:.2f} × as fast as {speedup.against} "
                f"(within rounds {speedup.paired_ratio:.2f}, middle half {low:.2f}–{high:.2f})"
            )
        return "\n".join(lines)


def benchmark(
    paths: Sequence[Path | str],
    *,
    against: Path | str | None = None,
    threads: int = 2,
    runs: int = 30,
    warmup: int = 3,
    seconds: float = 60.0,
    size: tuple[int, int] | None = None,
    profile: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> BenchmarkReport:
    """Time files in turns.

    Args:
        paths: `.tflite` files, trusted or not.
        against: the file to compare them with; None takes the first of several.
        threads: threads of each interpreter.
        runs: rounds at most; in each one every file runs once.
        warmup: untimed runs of each file.
        seconds: the rounds end when they have taken so long, though not before the third.
        size: height and width, for files that leave them open.
        profile: whether to run each file once more under the runtime's profiler.
        progress: called with (what, number, of how many) as it goes on.

    Returns:
        Times, memory and ratios.

    Raises:
        ModelError: an argument is out of range.
        ModelFileError: a file is damaged, crashes the interpreter or takes too long.
    """
    files = _order([Path(path) for path in paths], None if against is None else Path(against))
    _check("threads", threads, 1, 4 * (os.cpu_count() or 1))
    _check("runs", runs, _FEWEST_ROUNDS, _MOST_RUNS)
    _check("warmup", warmup, 0, _MOST_RUNS)
    if not 0 < seconds < float("inf"):
        raise ModelError("`seconds` must be positive and finite", received=seconds, repair="for instance 60")
    tell = progress or (lambda what, number, total: None)
    with ExitStack() as stack:
        entrants = [_Entrant(stack, file, size, threads) for file in files]
        for number, entrant in enumerate(entrants, 1):
            tell(f"warming up {entrant.path.name}", number, len(entrants))
            entrant.start(warmup, seconds)
        _race(entrants, runs, seconds, tell)
        memory = [entrant.memory() for entrant in entrants]
    profiles = [_profile(file, size, threads, tell) if profile else (None, None) for file in files]
    measurements = [
        entrant.measurement(peak, *profiled)
        for entrant, peak, profiled in zip(entrants, memory, profiles, strict=True)
    ]
    return BenchmarkReport(
        measurements=tuple(measurements),
        speedups=tuple(_compare(measurement, measurements[-1]) for measurement in measurements[:-1]),
        threads=threads,
        warmup=warmup,
    )


class _Entrant:
    """A file and the process that runs it."""

    def __init__(self, stack: ExitStack, path: Path, size: tuple[int, int] | None, threads: int) -> None:
        check_structure(path)
        self.path = path
        self._child = stack.enter_context(Child(WORKER, path))
        self._options = {"path": str(path.absolute()), "size": size and list(size), "threads": threads}
        self._loaded: dict[str, Any] = {}
        self._times: list[float] = []

    def start(self, warmup: int, seconds: float) -> None:
        self._loaded = self._child.ask("load", seconds=LOAD_SECONDS, **self._options)
        deadline = time.monotonic() + seconds
        for _ in range(warmup):
            self._child.ask("run", seconds=LOAD_SECONDS, times=1)
            if time.monotonic() > deadline:
                break

    def run(self) -> None:
        self._times += self._child.ask("run", seconds=LOAD_SECONDS, times=1)

    def memory(self) -> dict[str, int]:
        return self._child.ask("memory", seconds=LOAD_SECONDS)

    def measurement(
        self, memory: dict[str, int], steps: tuple[Step, ...] | None, problem: str | None
    ) -> Measurement:
        return Measurement(
            path=self.path,
            size_bytes=self.path.stat().st_size,
            input_shapes=tuple(tuple(shape) for shape in self._loaded["input_shapes"]),
            times_ms=tuple(self._times),
            load_ms=self._loaded["load_ms"],
            peak_bytes=memory["peak"],
            model_bytes=max(0, memory["peak"] - memory["before"]),
            profile=steps,
            profile_problem=problem,
        )


def _order(paths: list[Path], against: Path | None) -> list[Path]:
    """The files, the one to compare with last."""
    if not paths or len(paths) > _MOST_FILES:
        raise ModelError(
            f"a benchmark takes 1 to {_MOST_FILES} files",
            received=len(paths),
            repair="give the paths of .tflite files",
        )
    if against is None:
        return [*paths[1:], paths[0]]
    return [*paths, against]


def _check(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ModelError(f"`{name}` must be an integer from {low} to {high}", received=value)


def _race(entrants: list[_Entrant], runs: int, seconds: float, tell: Callable[[str, int, int], None]) -> None:
    deadline = time.monotonic() + seconds
    for number in range(runs):
        tell("timing", number + 1, runs)
        # Every other round runs backwards: who comes first finds another cache than who comes second.
        for entrant in entrants if number % 2 == 0 else reversed(entrants):
            entrant.run()
        if number + 1 >= _FEWEST_ROUNDS and time.monotonic() > deadline:
            break


def _profile(
    path: Path, size: tuple[int, int] | None, threads: int, tell: Callable[[str, int, int], None]
) -> tuple[tuple[Step, ...] | None, str | None]:
    """The steps, or why there are none: a profile explains a measurement, whose lack must not spoil it."""
    tell(f"profiling {path.name}", 1, 1)
    if size is not None:
        return None, "the runtime profiles files of a fixed size only"
    try:
        with Child(WORKER, path) as child:
            child.ask("load", seconds=LOAD_SECONDS, path=str(path.absolute()), size=None, threads=threads)
            steps = child.ask("profile", seconds=LOAD_SECONDS, runs=_PROFILED_RUNS)
    except ModelFileError as error:
        return None, str(error.received)
    if not steps:
        return None, "this runtime gives no profile of it"
    return tuple(Step(**step) for step in steps), None


def _compare(measurement: Measurement, against: Measurement) -> Speedup:
    ratios = [theirs / ours for ours, theirs in zip(measurement.times_ms, against.times_ms, strict=True)]
    return Speedup(
        path=measurement.path,
        against=against.path,
        ratio=against.median_ms / measurement.median_ms,
        paired_ratio=statistics.median(ratios),
        paired_quartiles=_quartiles(ratios),
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else "unknown"
