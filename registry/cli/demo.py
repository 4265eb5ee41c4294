"""`atrous demo`: the whole way, from a preset's name to a segmented photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli.console import make_folder, say, working
from registry.cli.guard import GuardedCommand
from registry.cli.predict import Model, print_segmentation, segment
from registry.errors import EnvironmentUnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PRESET", "register"]

PRESET = "deeplab_v3_plus_resnet50_pascalvoc"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "demo",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous demo\n  atrous demo --image photo.jpg --output results",
    )(demo)


def demo(
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A photograph; by default scikit-image's astronaut.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; created if need be.")
    ] = Path("atrous-demo"),
) -> None:
    """Go from a preset's name to a segmented photograph.

    The weights are random, so the mask means nothing: this shows that the whole way works.
    """
    import registry
    from registry.runtime import Segmenter

    photo = _astronaut() if image is None else _load(image)
    make_folder(output)
    say(f"1/3  building {PRESET} with random weights")
    with working():
        model = registry.build(PRESET, weights=None)
        say("2/3  exporting it and comparing the file with the model")
        report = registry.export(model, output / "model.tflite", write_report=True)
    say("3/3  segmenting the photograph")
    # Our own file, just verified: no trial run needed.
    segmenter = Segmenter(output / "model.tflite", trusted=True)
    palette = list(segmenter.palette) or None
    summary = segment(
        Model.of_file(segmenter), photo, output / "mask.png", output / "overlay.png", palette=palette
    )
    typer.echo(str(report))
    typer.echo(f"report   {output / 'model.report.html'}")
    print_segmentation(summary)
    say(
        "The weights are random, so this mask is meaningless. With trained weights:\n"
        f"  atrous export {PRESET} model.tflite && atrous predict model.tflite photo.jpg"
    )


def _load(image: Path) -> NDArray[Any]:
    from registry.runtime import load_image

    return load_image(image)


def _astronaut() -> NDArray[Any]:
    try:
        from skimage import data
    except ImportError as error:
        raise EnvironmentUnsupportedError(
            "the demonstration's photograph comes with scikit-image, which is not installed",
            received=str(error),
            repair="pip install 'atrous[demo]', or give a photograph with --image FILE",
        ) from error
    photo: NDArray[Any] = data.astronaut()
    return photo
