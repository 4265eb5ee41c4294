"""`atrous predict`: from a photograph to a mask and an overlay, without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.atomic import check_output_path
from registry.cli.console import print_json
from registry.cli.guard import GuardedCommand
from registry.cli.options import JsonOption, parse_size, read_labels
from registry.errors import OutputPathError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.runtime import Segmenter

__all__ = ["print_segmentation", "register", "segment"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "predict",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous predict model.tflite photo.jpg\n"
        "  atrous predict model.tflite photo.jpg --labels deeplab_v3_plus_resnet50_pascalvoc --json",
    )(predict)


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="The model.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photograph: JPEG, PNG, WebP, ...")],
    *,
    mask: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Indexed PNG; by default ./<image>_mask.png.")
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Colours over the image; by default ./<image>_overlay.png."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|FILE",
            help="Class names: of a preset, or a text file, one a line; by default the model's own.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="HEIGHT[xWIDTH]", help="Input size, for a model that leaves it open."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; by default the usable CPUs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Segment a photograph: write a class mask and an overlay.

    Both have the photograph's own size.

    With --json: {"model", "image", "mask", "overlay", "height", "width", "num_classes",
    "classes": [{"index", "name", "pixels", "fraction"}, ...]}, the largest class first.
    """
    from registry.runtime import Segmenter

    names, palette = read_labels(labels)
    targets = (mask or Path(f"{image.stem}_mask.png"), overlay or Path(f"{image.stem}_overlay.png"))
    _check_targets(image, model, targets)
    segmenter = Segmenter(model, size=parse_size(size), num_threads=threads, labels=names)
    summary = segment(segmenter, image, *targets, palette=palette)
    if as_json:
        print_json(summary)
    else:
        print_segmentation(summary)


def segment(
    segmenter: Segmenter,
    image: Path | NDArray[Any],
    mask_path: Path,
    overlay_path: Path,
    *,
    palette: list[tuple[int, int, int]] | None = None,
) -> dict[str, Any]:
    """Predict, write both files and sum up.

    Args:
        segmenter: the model.
        image: path, or uint8 pixels (H, W, 3).
        mask_path: where the indexed PNG goes.
        overlay_path: where the overlay goes.
        palette: RGB colour per class; None takes the model's own, or else Pascal VOC's.

    Returns:
        The object that `atrous predict --json` documents.
    """
    import numpy as np

    from registry.runtime import load_image, save_mask, save_overlay

    palette = palette or list(segmenter.palette) or None
    pixels = load_image(image)
    mask = segmenter.predict(pixels)
    # Class 0 keeps the photograph visible where it is the background, which is what black stands for.
    transparent = (0,) if palette is None or tuple(palette[0]) == (0, 0, 0) else ()
    save_mask(mask, mask_path, palette)
    save_overlay(pixels, mask, overlay_path, palette, labels=segmenter.labels, transparent=transparent)
    counts = np.bincount(mask.ravel())
    order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    return {
        "model": str(segmenter.path),
        "image": str(image) if isinstance(image, Path) else None,
        "mask": str(mask_path),
        "overlay": str(overlay_path),
        "height": mask.shape[0],
        "width": mask.shape[1],
        "num_classes": segmenter.num_classes,
        "classes": [
            {
                "index": index,
                "name": segmenter.labels[index] if segmenter.labels else None,
                "pixels": int(counts[index]),
                "fraction": round(float(counts[index]) / mask.size, 6),
            }
            for index in order
        ],
    }


def print_segmentation(summary: dict[str, Any]) -> None:
    """Print what `segment` returned, for people."""
    typer.echo(f"{summary['width']} x {summary['height']} pixels")
    for entry in summary["classes"]:
        name = entry["name"] or f"class {entry['index']}"
        typer.echo(f"{entry['fraction']:>8.1%}  {name}")
    typer.echo(f"mask     {summary['mask']}")
    typer.echo(f"overlay  {summary['overlay']}")


def _check_targets(image: Path, model: Path, targets: tuple[Path, Path]) -> None:
    """Refuse to overwrite what is read, or one result with the other."""
    from registry.drawing import MASK_SUFFIXES, OVERLAY_SUFFIXES

    for target, suffixes in zip(targets, (MASK_SUFFIXES, OVERLAY_SUFFIXES), strict=True):
        check_output_path(target, suffixes=suffixes)
    resolved = [path.resolve() for path in (image, model, *targets)]
    if len(set(resolved)) < len(resolved):
        raise OutputPathError(
            "image, model, mask and overlay must be different files",
            received=", ".join(map(str, (image, model, *targets))),
            repair="choose other names with --mask and --overlay",
        )
