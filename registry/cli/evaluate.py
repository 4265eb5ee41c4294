"""`atrous evaluate`: score presets, saved models and `.tflite` files on annotated images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from registry.atomic import make_folder
from registry.cli.completion import complete_source
from registry.cli.console import print_json, print_table, say, working
from registry.cli.data_options import ScoredData, takes_scored_data
from registry.cli.guard import GuardedCommand
from registry.cli.models import resolve_first
from registry.cli.options import (
    JsonOption,
    SetOption,
    WeightsOption,
    parse_overrides,
    parse_size,
    parse_weights,
)

if TYPE_CHECKING:
    from registry.evaluation import Evaluation

__all__ = ["register"]

# As in registry.evaluation.protocol, whose room imports NumPy; a test holds them equal.
ProtocolName = Literal["stretched", "whole", "sliding"]

_DEFAULT_WEIGHTS = "default"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "evaluate",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous evaluate model.keras --data my_recipe.yaml --output report\n"
        "  atrous evaluate float32.tflite int8.tflite --reader folder --root photos --split val\n"
        "  atrous evaluate model.keras --data my_recipe.yaml --scales 0.5,0.75,1,1.25,1.5,1.75 --flip\n"
        "  atrous evaluate model.tflite --reader pascal_voc --root VOCdevkit --split val --limit 100 --json",
    )(evaluate)


@takes_scored_data
def evaluate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Preset, FILE.keras, FILE.tflite, or folder of a saved preset. Several are compared.",
            autocompletion=complete_source,
        ),
    ],
    *,
    data: ScoredData,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Take the first N images.")] = None,
    protocol: Annotated[
        ProtocolName | None,
        typer.Option(
            help="How images meet the model; stretched if a SOURCE has a fixed input size, else whole."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHT[xWIDTH]",
            help="Size that stretched stretches to, or whole pads to at least, for models of open size.",
        ),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(metavar="NUMBER,...", help="Average over scales, e.g. 0.5,0.75,1,1.25,1.5,1.75."),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with mirrored images.")] = False,
    window: Annotated[
        str | None,
        typer.Option(metavar="HEIGHT[xWIDTH]", help="Of sliding; the model's own size if left out."),
    ] = None,
    stride: Annotated[
        str | None,
        typer.Option(metavar="HEIGHT[xWIDTH]", help="Of sliding; two thirds of the window if left out."),
    ] = None,
    boundary_iou: Annotated[
        bool, typer.Option("--boundary-iou", help="Measure boundary IoU, too; slower.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads for .tflite files; by default the usable CPUs.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write JSON, confusion matrix, worst images and a page; of several SOURCEs, a folder for each.",
        ),
    ] = None,
    worst: Annotated[int, typer.Option(metavar="N", min=0, help="Number of worst images to draw.")] = 8,
    weights: WeightsOption = _DEFAULT_WEIGHTS,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score models on annotated images: mean IoU, and what it is made of.

    Masks are compared at the annotation's own size, with the same code for Keras models and .tflite files. A recipe
    without --part gives its test images, or those of validation if it has none.

    With --json: {"model", "dataset", "protocol", "scores": {"mean_iou", ...}, "classes": [{"name", "iou", ...}, ...],
    "confusion_matrix", "images": [{"name", "mean_iou", ...}, ...], "worst", "seconds_per_image"}, as
    registry.evaluate(...).to_dict(); of several SOURCEs, {"evaluations": [...]}.
    """
    changes = parse_overrides(overrides, own_options=True)
    _check_sources(sources, weights, changes)
    factors = _parse_scales(scales)
    shapes = {
        "size": parse_size(size),
        "window": parse_size(window, "--window"),
        "stride": parse_size(stride, "--stride"),
    }
    section = data.section()
    classes = _classes_of_presets(sources, changes)
    images = None
    if classes is not None or getattr(section, "num_classes", 0) is not None:
        # Before models are built, if that is possible: a misspelt folder should not cost a minute.
        images = data.opened(section, classes)
    folders = _folders(sources, output)

    from registry.evaluation import evaluate_alike
    from registry.evaluation.subject import subject_of

    with working():
        subjects = [
            subject_of(_open(source, weights, changes, shapes["size"], threads), shapes["size"])
            for source in sources
        ]
        evaluations = evaluate_alike(
            subjects,
            data.opened(section, subjects[0].num_classes) if images is None else images,
            protocol=protocol,
            scales=factors,
            flip=flip,
            boundary_iou=boundary_iou,
            limit=limit,
            worst=worst,
            progress=False if as_json else None,
            **shapes,
        )
    for evaluation, folder in zip(evaluations, folders, strict=False):
        say(f"page  {evaluation.write(folder)[-1]}")
    if as_json:
        documents = [evaluation.to_dict() for evaluation in evaluations]
        print_json(documents[0] if len(documents) == 1 else {"evaluations": documents})
    elif len(evaluations) == 1:
        typer.echo(str(evaluations[0]))
    else:
        _print_comparison(evaluations)


def _check_sources(sources: Sequence[str], weights: str, overrides: dict[str, Any]) -> None:
    if (overrides or weights != _DEFAULT_WEIGHTS) and not any(map(_is_preset, sources)):
        raise typer.BadParameter("--weights and --set are for presets; a file has its own")


def _classes_of_presets(sources: Sequence[str], overrides: dict[str, Any]) -> int | None:
    """Find what is wrong with the presets; the number of classes of the first, where it can be known by now."""
    resolved = [resolve_first(source, overrides) for source in sources if _is_preset(source)]
    # A single plane of scores tells two classes apart.
    return next((max(2, preset.config.num_classes) for preset in resolved if preset is not None), None)


def _is_preset(source: str) -> bool:
    return Path(source).suffix.lower() not in (".keras", ".tflite")


def _parse_scales(text: str | None) -> tuple[float, ...]:
    if text is None:
        return (1.0,)
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--scales needs numbers with commas, e.g. 0.5,1,1.5; got {text!r}"
        ) from None


def _open(
    source: str, weights: str, overrides: dict[str, Any], size: tuple[int, int] | None, threads: int | None
) -> Any:
    import registry

    if _is_preset(source):
        return registry.build(source, weights=parse_weights(weights), **overrides)
    if Path(source).suffix.lower() == ".keras":
        return registry.load_model(source)
    return registry.Segmenter(source, size=size, num_threads=threads)


def _folders(sources: Sequence[str], output: Path | None) -> list[Path]:
    """A folder for each evaluation, made before the work begins; none without --output."""
    if output is None:
        return []
    if len(sources) == 1:
        return [make_folder(output)]
    names = [Path(source).stem for source in sources]
    return [
        make_folder(output / (name if names.count(name) == 1 else f"{number}_{name}"))
        for number, name in enumerate(names, start=1)
    ]


def _print_comparison(evaluations: Sequence[Evaluation]) -> None:
    from registry.evaluation.result import count_of_images

    first = evaluations[0]
    say(f"{first.dataset}, {count_of_images(first)}")
    measured = first.boundary is not None
    columns = ["model", "", "protocol", "mean IoU", "difference", "pixels right"]
    columns += ["boundary IoU"] if measured else []
    rows = []
    for evaluation in evaluations:
        difference = 100 * (evaluation.mean_iou - first.mean_iou)
        row = [evaluation.model, evaluation.description, evaluation.protocol, f"{evaluation.mean_iou:.2%}"]
        row.append("" if evaluation is first else f"{difference:+.2f} points")
        row.append(f"{evaluation.scores.pixel_accuracy:.2%}")
        row += [f"{evaluation.boundary.mean():.2%}"] if evaluation.boundary is not None else []
        rows.append([*row, f"{1000 * evaluation.seconds_per_image:.1f}"])
    print_table([*columns, "ms per image"], rows)
