"""Tell a waiting person what a long call is doing: an export, an evaluation, a download."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "announce", "progress_display", "transfer_display", "waiting_display"]

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
    if _is_silent(progress):
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


@contextmanager
def transfer_display(progress: Progress, name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function that takes how many bytes have come, and how many there are if that is known.

    Args:
        progress: how to show it; a callable is given (name, bytes, of how many), with 0 for an unknown number.
        name: what is transferred.
    """
    if callable(progress):
        yield lambda received, size: progress(name, received, size or 0)
        return
    if _is_silent(progress):
        yield lambda received, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda received, size: bar.update(task, completed=received, total=size)


@contextmanager
def waiting_display(progress: Progress, text: str) -> Iterator[None]:
    """Say why nothing happens, for as long as nothing does.

    Args:
        progress: how to show it; a callable is given (text, 0, 0).
        text: what is waited for.
    """
    if callable(progress):
        progress(text, 0, 0)
        yield
        return
    if _is_silent(progress):
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(text)):
        yield


def _is_silent(progress: object) -> bool:
    return progress is False or (progress is None and not sys.stderr.isatty())
