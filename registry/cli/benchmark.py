"""`atrous benchmark`: time `.tflite` files against each other, without TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.completion import complete_model
from registry.cli.console import print_json, print_table, progress_bar
from registry.cli.guard import GuardedCommand
from registry.cli.options import JsonOption, parse_size

if TYPE_CHECKING:
    from registry.inspection import Measurement

__all__ = ["register"]

_SHOWN_STEPS = 15


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "benchmark",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous benchmark model.tflite\n"
        "  atrous benchmark int8.tflite --against float32.tflite --threads 4\n"
        "  atrous benchmark a.tflite b.tflite --runs 50 --json",
    )(benchmark)


def benchmark(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL.tflite...",
            help="The files; they may come from anywhere.",
            autocompletion=complete_model,
        ),
    ],
    *,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.tflite",
            help="Compare with this file; by default with the first.",
            autocompletion=complete_model,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of each interpreter.")] = 2,
    runs: Annotated[int, typer.Option(help="Rounds at most; in each, every file runs once.")] = 30,
    warmup: Annotated[int, typer.Option(help="Untimed runs of each file.")] = 3,
    seconds: Annotated[float, typer.Option(help="End the rounds after so long, if three are done.")] = 60.0,
    size: Annotated[
        str | None,
        typer.Option(metavar="HEIGHT[xWIDTH]", help="Input size, for models that leave it open."),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show where the time goes, by kernel.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Time .tflite files in turns: A B, B A, A B, ...

    Each runs in a process of its own, on the same noise, in this one benchmark: compare times within it, not with
    those of another.

    With --json: {"threads", "warmup", "rounds", "measurements": [{"path", "median_ms", "quartiles_ms", "min_ms",
    "max_ms", "times_ms", "peak_bytes", "model_bytes", "size_bytes", "profile", ...}, ...],
    "speedups": [{"path", "against", "ratio", "paired_ratio", "paired_quartiles"}, ...]}.
    """
    from registry.inspection import benchmark as measure

    extent = parse_size(size)
    with progress_bar(not as_json and sys.stderr.isatty()) as tell:
        report = measure(
            models,
            against=against,
            threads=threads,
            runs=runs,
            warmup=warmup,
            seconds=seconds,
            size=extent,
            profile=profile,
            progress=tell,
        )
    if as_json:
        print_json(report.to_dict())
        return
    typer.echo(str(report))
    if profile:
        for measurement in report.measurements:
            _print_profile(measurement)


def _print_profile(measurement: Measurement) -> None:
    typer.echo(f"\n{measurement.path}")
    if not measurement.profile:
        typer.echo(f"  no profile: {measurement.profile_problem}")
        return
    total = sum(step.ms for step in measurement.profile) or 1.0
    order = sorted(enumerate(measurement.profile), key=lambda item: -item[1].ms)[:_SHOWN_STEPS]
    rows = ((number, step.kernel, f"{step.ms:.3f}", f"{step.ms / total:.1%}") for number, step in order)
    print_table(("step", "kernel", "ms", "share"), rows)
