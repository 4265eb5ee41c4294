"""`atrous serve`: the playground, a local web page and REST interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry.atomic import make_folder
from registry.cli.completion import complete_model
from registry.cli.console import say
from registry.cli.guard import GuardedCommand

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "serve",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous serve\n"
        "  atrous serve street_float32.tflite street_int8.tflite\n"
        "  atrous serve model.tflite --images photos --output masks --port 9000",
    )(serve)


def serve(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL.tflite...]",
            help="Files to offer; others are dropped on the page.",
            autocompletion=complete_model,
        ),
    ] = None,
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen at; the default is reached from this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder whose images may be segmented as a batch; needs --output."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the results of batches.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each interpreter.")] = 2,
) -> None:
    """Serve a local web page to try models on images and to compare them.

    Pick a preset or a .tflite file, drop an image: overlay, classes, latency, operations; float and integer files side
    by side, and where they differ. /openapi.json describes the REST interface. There is no login: whoever reaches the
    address can use it.
    """
    if (images is None) != (output is None):
        raise typer.BadParameter("--images and --output go together")
    if images is not None and not images.is_dir():
        raise typer.BadParameter(f"--images must name a folder, got {str(images)!r}")
    if output is not None:
        make_folder(output)
    from registry.playground import Settings
    from registry.playground import serve as run

    settings = Settings(models=tuple(models or ()), images=images, output=output, threads=threads)
    if host not in ("127.0.0.1", "localhost", "::1"):
        say(f"warning: {host} may be reached from other machines, and there is no login")
        settings = Settings(
            models=settings.models,
            images=images,
            output=output,
            threads=threads,
            hosts=("*",) if host in ("0.0.0.0", "::") else (*settings.hosts, host),
        )
    run(settings, host=host, port=port, started=lambda address: say(f"serving at {address}; Ctrl+C ends it"))
