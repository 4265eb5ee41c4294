"""Tell a waiting person how a run is going."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "training_progress"]

# None: show in a terminal, and lines elsewhere; True, False: a bar always, nothing ever; a callable is given
# (finished steps, of how many, values).
Progress = bool | Callable[[int, int, dict[str, Any]], None] | None
Report = Callable[[int, dict[str, Any]], None]


@contextmanager
def training_progress(progress: Progress, steps: int, start: int) -> Iterator[Report]:
    """Yield a function of (finished steps, values to show).

    Args:
        progress: how to show it.
        steps: length of the run.
        start: steps that were finished before.
    """
    if callable(progress):
        yield lambda step, values: progress(step, steps, values)
    elif progress is False:
        yield lambda step, values: None
    elif progress or sys.stderr.isatty():
        with _bar(steps, start) as report:
            yield report
    else:
        yield lambda step, values: _say(step, steps, values)


def _say(step: int, steps: int, values: dict[str, Any]) -> None:
    if values:
        print(f"step {step}/{steps}  {_text(values)}", file=sys.stderr, flush=True)


def _text(values: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


@contextmanager
def _bar(steps: int, start: int) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    shown: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=steps, completed=start)

        def report(step: int, values: dict[str, Any]) -> None:
            shown.update(values)
            bar.update(task, completed=step, description=_text(shown))

        yield report
