"""`atrous demo`: the whole way, from a preset's name to digits found in a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.atomic import make_folder
from registry.cli.console import say, working
from registry.cli.guard import GuardedCommand
from registry.cli.predict import Model, print_segmentation, segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from registry.data import Example

__all__ = ["PRESET", "register"]

PRESET = "deeplab_v3_plus_resnet_digits"
_SIZE = (384, 384)
_CALIBRATION_IMAGES = 64
_FOUND = 0.002
"""Share of an image from which a class counts as found; fewer pixels are noise."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "demo",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous demo\n"
        "  atrous demo --example 7\n"
        "  atrous demo --image photo.jpg --output results",
    )(demo)


def demo(
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A photograph of your own, with large handwritten digits in it."),
    ] = None,
    example: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Which of the generated photographs, none of them seen in training."
        ),
    ] = 0,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; created if need be.")
    ] = Path("atrous-demo"),
) -> None:
    """Go from a preset's name to an integer file, and find handwritten digits in a photograph with it.

    The preset ships with its weights; nothing is downloaded.
    """
    import registry
    from registry.data import DigitsInPhotographs
    from registry.drawing import save_image
    from registry.runtime import Segmenter

    annotated: Example | None = None
    if image is None:
        annotated = DigitsInPhotographs("test", example + 1, size=_SIZE)[example]
        photo = annotated.image
    else:
        photo = _load(image)
    make_folder(output)
    say(f"1/3  building {PRESET} with the weights that it ships with")
    with working():
        model = registry.build(PRESET)
        say("2/3  making integers of it, and comparing the file with the model")
        shown = DigitsInPhotographs("train", _CALIBRATION_IMAGES, size=model.preset_config.input.size)
        report = registry.export(
            model,
            output / "model.tflite",
            quantization="int8",
            calibration=[seen.image for seen in shown],
            write_report=True,
        )
    say("3/3  segmenting the photograph with the file")
    # Our own file, just verified: no trial run needed.
    segmenter = Segmenter(output / "model.tflite", trusted=True)
    save_image(photo, output / "photo.png")
    summary = segment(Model.of_file(segmenter), photo, output / "mask.png", output / "overlay.png")
    typer.echo(str(report))
    typer.echo(f"report   {output / 'model.report.html'}")
    print_segmentation(summary)
    if annotated is not None:
        names = DigitsInPhotographs.labels
        found = {entry["index"] for entry in summary["classes"] if entry["fraction"] >= _FOUND}
        typer.echo(f"found          {_digits(found, names)}")
        typer.echo(f"in the picture {_digits(_classes(annotated.mask), names)}")


def _load(image: Path) -> NDArray[Any]:
    from registry.runtime import load_image

    return load_image(image)


def _classes(mask: NDArray[Any]) -> set[int]:
    import numpy as np

    return set(np.unique(mask).tolist())


def _digits(classes: set[int], names: Sequence[str]) -> str:
    return ", ".join(names[index] for index in sorted(classes) if index) or "none"
