"""Contestants run in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.child import Child, ChildError, Run
from tests.benchmarks.figures import Measure

__all__ = ["Contestant", "Race", "race", "turns"]


@dataclass(frozen=True)
class Contestant:
    """A task and the environment that it runs in.

    Args:
        python: interpreter; None where the environment could not be made.
        library: module of `tests.benchmarks.libraries`.
        task: function in it.
        options: its arguments.
        problem: why there is no interpreter.
    """

    python: Path | None
    library: str
    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    def start(self) -> Child:
        """Prepare the task.

        Raises:
            ChildError: it cannot be prepared.
        """
        if self.python is None:
            raise ChildError(self.problem)
        return Child(self.python, self.library, self.task, self.options)


@dataclass
class Race:
    """What the turns gave, by contestant."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    peaks: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def wall(self, name: str, unit: str = "ms") -> Measure:
        """Elapsed time."""
        return self._measure(name, unit, lambda run: run.wall_ms)

    def cpu(self, name: str, unit: str = "ms") -> Measure:
        """Time of all threads on the processor, which others on the machine hardly change."""
        return self._measure(f"{name}, processor time", unit, lambda run: run.cpu_ms)

    def peak(self, name: str) -> Measure:
        """Peak of resident memory above the import."""
        return Measure(f"{name}, peak memory above the import", "MiB", self.peaks)

    def fail(self, who: str, error: ChildError) -> None:
        """Take a contestant out, with all that it did."""
        self.problems[who] = str(error)
        for kept in (self.runs, self.peaks, self.facts):
            kept.pop(who, None)

    def _measure(self, name: str, unit: str, value: Callable[[Run], float]) -> Measure:
        scale = {"ms": 1.0, "s": 1e-3}[unit]
        return Measure(
            name, unit, {who: [value(run) * scale for run in runs] for who, runs in self.runs.items()}
        )


def turns(names: list[str], count: int) -> list[list[str]]:
    """Orders of the contestants: each turn begins with another one, since the first may find a colder machine."""
    return [names[number % len(names) :] + names[: number % len(names)] for number in range(count) if names]


def race(
    contestants: Mapping[str, Contestant], rounds: int, *, warmup: int = 1, afresh: bool = False
) -> Race:
    """Run contestants in turns.

    Args:
        contestants: by the name that tables show.
        rounds: number of turns.
        warmup: untimed runs of each before the first turn; afresh, untimed processes.
        afresh: whether every run gets a process of its own, for what only the first time costs.

    Returns:
        Runs, peak memory and facts; contestants that failed are left out, with the reason.
    """
    return _afresh(contestants, rounds, warmup) if afresh else _in_turns(contestants, rounds, warmup)


def _in_turns(contestants: Mapping[str, Contestant], rounds: int, warmup: int) -> Race:
    result = Race()
    children: dict[str, Child] = {}
    with ExitStack() as stack:
        for who, contestant in contestants.items():
            try:
                child = stack.enter_context(contestant.start())
                result.facts[who] = {**child.facts}
                first = [child.run() for _ in range(warmup)]
            except ChildError as error:
                result.fail(who, error)
                continue
            children[who], result.runs[who] = child, []
            if first and first[0].result is not None:
                result.facts[who]["first_result"] = first[0].result
        for order in turns(list(children), rounds):
            for who in order:
                if who in result.problems:
                    continue
                try:
                    result.runs[who].append(children[who].run())
                except ChildError as error:
                    result.fail(who, error)
        for who in list(result.runs):
            try:
                result.peaks[who] = [children[who].finish()]
            except ChildError as error:
                result.fail(who, error)
    return result


def _afresh(contestants: Mapping[str, Contestant], rounds: int, warmup: int) -> Race:
    result = Race()
    for number, order in enumerate(turns(list(contestants), warmup + rounds)):
        for who in order:
            if who in result.problems:
                continue
            try:
                with contestants[who].start() as child:
                    run, peak = child.run(), child.finish()
                    result.facts[who] = {**child.facts}
            except ChildError as error:
                result.fail(who, error)
                continue
            if number >= warmup:
                result.runs.setdefault(who, []).append(run)
                result.peaks.setdefault(who, []).append(peak)
            if run.result is not None:
                result.facts[who]["first_result"] = run.result
    # In the contestants' own order, whoever began the first turn.
    for kept in (result.runs, result.peaks, result.facts):
        for who in [who for who in contestants if who in kept]:
            kept[who] = kept.pop(who)
    return result
