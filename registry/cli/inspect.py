"""`atrous inspect`: what a `.tflite` file consists of and who runs it, without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry.atomic import check_output_path
from registry.cli.completion import complete_model
from registry.cli.console import print_json, print_table, say
from registry.cli.guard import GuardedCommand
from registry.cli.options import JsonOption, parse_size

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "inspect",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous inspect model.tflite\n"
        "  atrous inspect model.tflite --html model.html\n"
        "  atrous inspect model.tflite --json",
    )(inspect)


def inspect(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.tflite",
            help="The file; it may come from anywhere.",
            autocompletion=complete_model,
        ),
    ],
    *,
    size: Annotated[
        str | None,
        typer.Option(metavar="HEIGHT[xWIDTH]", help="Input size, for a model that leaves it open."),
    ] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Load it in a child process to see what XNNPACK takes.")
    ] = True,
    operations: Annotated[bool, typer.Option("--operations", help="List every operation.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write a page with all of it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a .tflite file consists of and who runs it.

    Operations, multiplications, quantization, metadata; what XNNPACK takes and what a GPU delegate refuses.

    With --json: {"inspection": {"size_bytes", "inputs", "outputs", "operations", "macs", "parameters",
    "quantization", "histogram", "operation_shares", "mac_shares", ...}, "delegates": {"xnnpack_operations",
    "xnnpack_partitions", "outside", "gpu_obstacles", ...} or null, "html"}.
    """
    from registry.inspection import Report, inspect_delegates, inspect_model, write_html

    extent = parse_size(size)
    if html is not None:
        check_output_path(html, suffixes=(".html",))
    inspection = inspect_model(model)
    delegates = inspect_delegates(model, inspection, size=extent) if run else None
    if html is not None:
        write_html(html, Report(inspection=inspection, delegates=delegates))
    if as_json:
        print_json(
            {
                "inspection": inspection.to_dict(),
                "delegates": None if delegates is None else delegates.to_dict(),
                "html": None if html is None else str(html),
            }
        )
        return
    typer.echo(str(inspection))
    if delegates is not None:
        typer.echo(str(delegates))
    if operations:
        rows = (
            (
                entry.index,
                entry.name,
                " x ".join(map(str, entry.output_shape)),
                entry.precision,
                entry.macs,
                entry.layer,
            )
            for entry in inspection.operations
        )
        print_table(("#", "operation", "output", "precision", "MACs", "layer"), rows)
    if html is not None:
        say(f"page          {html}")
