"""`atrous convert`: weights of one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from registry.cli.completion import complete_preset, complete_source
from registry.cli.console import print_json, working
from registry.cli.guard import GuardedCommand
from registry.cli.models import resolve_first
from registry.cli.options import JsonOption, SetOption, parse_overrides

__all__ = ["register"]

# As in registry.assembly.converting, whose room imports TensorFlow; a test holds them equal.
Format = Literal["preset", "keras-hub", "safetensors", "keras", "h5"]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "convert",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous convert model.keras flowers\n"
        "  atrous convert flowers hub_flowers --format keras-hub\n"
        "  atrous convert torchvision.safetensors voc --preset deeplab_v3_resnet50_os8_pascalvoc \\\n"
        "    --set architecture.classifier_bias=true\n"
        "  atrous convert model.ckpt-30000 voc.safetensors --preset my_preset.yaml",
    )(convert)


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Preset with weights, handle, KerasHub directory, .keras file; with --preset also .safetensors, "
            ".h5 or the prefix of a TensorFlow checkpoint.",
            autocompletion=complete_source,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="File ending in .safetensors, .keras or .h5; else a folder: a saved preset.",
        ),
    ],
    *,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="The architecture that the weights are for, where SOURCE does not say it.",
            autocompletion=complete_preset,
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="keras-hub makes the folder a KerasHub preset directory."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Convert weights, and account for every array.

    Arrays that are missing, extra or mis-shaped are an error, and nothing is written then. PyTorch's .pth files are
    pickles, which run code, and are never read; the error says how to make a .safetensors file of one.

    With --json: {"source", "target", "format", "parameters", "layers": [{"name", "status": "used" | "unused" |
    "fresh", "shapes": [[...], ...]}]}.
    """
    import registry

    values: dict[str, Any] = parse_overrides(overrides)
    if preset is not None:
        resolve_first(preset, values)
    with working():
        conversion = registry.convert(source, target, preset=preset, format=format_, **values)
    if as_json:
        print_json(conversion.to_dict())
    else:
        typer.echo(str(conversion))
