"""Tell a waiting person what a long call is doing: an export, an evaluation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "announce", "progress_display"]

# None: show in a terminal; True, False: always, never; a callable is given (step, number, of how many).
Progress = bool | Callable[[str, int, int], None] | None
announce = Callable[[str], None]


@contextmanager
def progress_display(progress: Progress, steps: int) -> Iterator[announce]:
    """Yield a function that announces the next step.

    Args:
        progress: how to show it.
        steps: how many steps there will be.
    """
    if callable(progress):
        number = 0

        def tell(step: str) -> None:
            nonlocal number
            number += 1
            progress(step, number, steps)

        yield tell
        return
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=steps)
        started = False

        def show(step: str) -> None:
            nonlocal started
            bar.update(task, description=step, advance=1 if started else 0)
            started = True

        yield show
        bar.update(task, completed=steps)
