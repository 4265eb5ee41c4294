"""Where output goes: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import typer

__all__ = ["counted", "print_json", "print_table", "progress_bar", "say", "working"]

_WIDTH_WHEN_PIPED = 160


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def say(text: str) -> None:
    """Tell the user something that is not the result."""
    typer.echo(text, err=True)


def print_json(document: dict[str, Any]) -> None:
    """Print the result as one JSON object."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print the result as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # As `Text`: a square bracket in a message is no markup.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console.width = _WIDTH_WHEN_PIPED
    console.print(table)


@contextmanager
def progress_bar(shown: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Draw a bar on stderr while something is done.

    Args:
        shown: whether there is somebody to look at it.

    Yields:
        What to call with what is done, how many are, and how many there are; None if nothing is shown.
    """
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda what, number, total: bar.update(task, description=what, completed=number, total=total)


@contextmanager
def working() -> Iterator[None]:
    """Around calls into TensorFlow: its chatter is silenced, and what libraries print goes to stderr."""
    # Read by TensorFlow when it is imported, hence within this process only and before the first import.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("tensorflow", "absl", "h5py"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # The few lines that TensorFlow 2.21 logs before it reads that level stay: hiding the stream would also hide
    # why an import aborts, for instance on a CPU without AVX.
    with redirect_stdout(sys.stderr):
        yield
