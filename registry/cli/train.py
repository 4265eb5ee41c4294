"""`atrous train`: from a recipe to a trained preset."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from registry.cli.completion import complete_recipe
from registry.cli.console import print_json, say, working
from registry.cli.guard import EXIT_TERMINATED, EXIT_TRY_AGAIN, GuardedCommand
from registry.cli.options import JsonOption, parse_overrides
from registry.errors import PeerLostError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "train",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous train deeplab_v3_plus_resnet_digits_start\n"
        "  atrous train my_recipe.yaml --data-root ~/data --set learning_rate.peak=0.002\n"
        "  atrous train my_recipe.yaml --set distribution.strategy=mirrored",
    )(train)


def train(
    recipe: Annotated[
        str,
        typer.Argument(help="Name of a recipe, or path of a YAML file.", autocompletion=complete_recipe),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Of the run; by default runs/<recipe>."),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="What relative paths of the recipe's data lie under; by default here."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Remove what an earlier run left in the folder.")
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of the recipe, e.g. batch_size=8, or of its preset, "
            "e.g. preset.output_stride=8; VALUE is YAML. Repeatable.",
        ),
    ] = None,
    attempts: Annotated[
        int,
        typer.Option(
            min=1,
            help="Of several workers: how often to join the others in all, when one of them was lost.",
        ),
    ] = 5,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe; a run that was interrupted goes on when the same command is given again.

    FOLDER/model is the result: a preset directory for build, export, evaluate and predict. The folder also has the
    complete recipe, a history, TensorBoard's events, pictures of predictions and the checkpoints.

    With --json: {"folder", "preset", "steps", "stopped_early", "best_step", "mean_iou", "test": {...} or null}.
    """
    from registry.catalog import resolve_recipe

    values = parse_overrides(overrides)
    resolved = resolve_recipe(recipe, overrides=values)
    if resolved.config.distribution.strategy == "multi_worker" and attempts > 1:
        _supervise(attempts)
    signal.signal(signal.SIGTERM, _terminate)
    with working():
        import registry

        try:
            run = registry.train(recipe, output, data_root=data_root, restart=restart, **values)
        except PeerLostError as error:
            say(f"atrous: error: {error}")
            raise typer.Exit(EXIT_TRY_AGAIN) from error
    if as_json:
        print_json({"folder": str(run.folder), "preset": str(run.preset), **run.to_dict()})
    else:
        typer.echo(str(run))


def _supervise(attempts: int) -> NoReturn:
    """Run this command in a process of its own, again and again while workers are lost.

    TensorFlow joins a cluster once in the life of a process.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != "--restart"]
    for attempt in range(attempts):
        given = sys.argv[1:] if attempt == 0 else arguments
        child = subprocess.Popen([sys.executable, "-m", "registry", *given, "--attempts", "1"])
        signal.signal(signal.SIGTERM, lambda *_, child=child: child.terminate())
        status = child.wait()
        if status != EXIT_TRY_AGAIN:
            raise typer.Exit(status if status >= 0 else 128 - status)
        say(f"atrous: another worker was lost; attempt {attempt + 1} of {attempts} is over")
    raise typer.Exit(EXIT_TRY_AGAIN)


def _terminate(number: int, frame: FrameType | None) -> Any:
    """Let a run that is told to end save where it is."""
    raise SystemExit(EXIT_TERMINATED)
