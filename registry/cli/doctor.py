"""`atrous doctor`: what is wrong with this environment."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from registry.cli.console import print_json, progress_bar
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
from registry.cli.options import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "doctor",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous doctor\n  atrous doctor --no-run --json",
    )(doctor)


def doctor(
    run: Annotated[
        bool,
        typer.Option(
            "--run/--no-run", help="Import TensorFlow and run a small .tflite file, in child processes."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Examine this environment; exit with 1 if anything keeps atrous from working.

    Versions and conflicts of packages, mix-ups of Keras 2 and 3 and of TFLite runtimes, broken plugins, caches,
    hardware, oneDNN.

    With --json: {"healthy": ..., "versions": {PACKAGE: VERSION, ...}, "findings": [{"area", "subject", "status": "ok",
    "note" or "problem", "detail", "repair"}, ...]}.
    """
    from registry.diagnosis import diagnose

    with progress_bar(not as_json and sys.stderr.isatty()) as tell:
        found = diagnose(run=run, progress=tell)
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
    if not found.healthy:
        raise typer.Exit(EXIT_WRONG_INPUT)
