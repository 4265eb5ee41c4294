"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from registry.errors import ModelError

__all__ = [
    "EncoderWeightsOption",
    "JsonOption",
    "LockOption",
    "SetOption",
    "WeightsOption",
    "parse_overrides",
    "parse_size",
    "parse_weights",
    "read_labels",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the preset, e.g. encoder.output_stride=8; VALUE is YAML. Repeatable.",
    ),
]
WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="default|none|HANDLE|PATH",
        help="The preset's own weights, none (random), a kaggle:// or hf:// handle, or a local path.",
    ),
]
EncoderWeightsOption = Annotated[
    str,
    typer.Option(
        "--encoder-weights",
        metavar="default|none|NAME|HANDLE|PATH",
        help="Load the encoder alone: one of its weight sources by name (imagenet), a handle, or a local path.",
    ),
]

LockOption = Annotated[
    Path | None,
    typer.Option(
        "--lock",
        metavar="FILE",
        help="Build what that lock file states, or fail: `atrous lock` writes it.",
    ),
]

_YAML_SUFFIXES = (".yaml", ".yml")
_OWN_OPTIONS = {
    "weights": "--weights",
    "encoder_weights": "--encoder-weights",
    "num_classes": "--num-classes",
    "image_shape": "--image-shape",
}


def parse_overrides(assignments: Sequence[str] | None, *, own_options: bool = False) -> dict[str, Any]:
    """Turn `["encoder.output_stride=8"]` into `{"encoder.output_stride": 8}`.

    Args:
        assignments: what `--set` collected.
        own_options: whether the command has options of its own for what `registry.build` takes by name.

    Raises:
        typer.BadParameter: no `=`, an empty or repeated key, a value that is no YAML.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments or ():
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key or key == "preset":
            raise typer.BadParameter(f"--set needs KEY=VALUE, got {assignment!r}")
        if key in overrides:
            raise typer.BadParameter(f"--set gives {key!r} twice")
        if own_options and key in _OWN_OPTIONS:
            raise typer.BadParameter(f"use {_OWN_OPTIONS[key]} instead of --set {key}=...")
        try:
            overrides[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"the value of --set {key}=... is no YAML: {error}") from error
    return overrides


def parse_size(text: str | None, option: str = "--size") -> tuple[int, int] | None:
    """Turn `512` or `512x768` into (height, width).

    Raises:
        typer.BadParameter: anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,5})(?:[xX]([1-9]\d{0,5}))?", text.strip())
    if match is None:
        raise typer.BadParameter(f"{option} needs HEIGHTxWIDTH in pixels, e.g. 512x768, or 512; got {text!r}")
    return int(match[1]), int(match[2] or match[1])


def parse_weights(text: str) -> str | None:
    """Turn `none` into None; everything else is for `registry.build` to judge."""
    return None if text.strip().lower() == "none" else text


def read_labels(source: str | None) -> tuple[list[str] | None, list[tuple[int, int, int]] | None]:
    """Names and colours of the classes, as far as they are known.

    Args:
        source: a preset that names its classes, or a text file with one name per line; None knows nothing.

    Raises:
        CatalogError: the preset cannot be read.
        ModelError: the preset names no classes, or the file cannot be read.
    """
    if source is None:
        return None, None
    path = Path(source)
    if path.suffix.lower() not in _YAML_SUFFIXES and path.is_file():
        return _read_names(path), None
    import registry

    labels = registry.describe(source).config.labels
    if not labels:
        raise ModelError(
            "`--labels` needs a preset that names its classes",
            received=source,
            repair="give a text file with one class name per line",
        )
    return [label.name for label in labels], [label.color for label in labels]


def _read_names(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            "a labels file must be readable text in UTF-8",
            received=f"{path}: {error}",
            repair="save it as UTF-8",
        ) from error
    return [name for name in names if name]
