"""`atrous predict`: from a photograph to a mask and an overlay; from a `.tflite` file without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.atomic import check_output_path
from registry.cli.console import print_json, working
from registry.cli.guard import GuardedCommand
from registry.cli.options import JsonOption, parse_size, read_labels
from registry.errors import ModelError, OutputPathError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.runtime import Segmenter

__all__ = ["Model", "print_segmentation", "register", "segment"]

_YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Model:
    """Whatever segments: an exported file, or a model in Keras.

    Args:
        source: what the user called it.
        run: pixels (H, W, 3) → class per pixel (H, W).
        num_classes: number of classes, if that is known.
        labels: name per class, or none.
        palette: RGB per class, or none.
    """

    source: str
    run: Callable[[NDArray[Any]], NDArray[Any]]
    num_classes: int | None
    labels: Sequence[str]
    palette: Sequence[tuple[int, int, int]]

    @classmethod
    def of_file(cls, segmenter: Segmenter) -> Model:
        """A `.tflite` file."""
        return cls(
            str(segmenter.path),
            segmenter.segment,
            segmenter.num_classes,
            segmenter.labels,
            segmenter.palette,
        )


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "predict",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous predict model.tflite photo.jpg\n"
        "  atrous predict my_saved_preset photo.jpg\n"
        "  atrous predict model.tflite photo.jpg --labels deeplab_v3_plus_resnet50_pascalvoc --json",
    )(predict)


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL.tflite|PRESET|FILE.keras",
            help="The model: an exported file, which takes no TensorFlow, or what registry.load takes.",
        ),
    ],
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
        typer.Option(
            metavar="HEIGHT[xWIDTH]", help="Input size, for a model that leaves it open; else the preset's."
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; by default the usable CPUs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Segment a photograph: write a class mask and an overlay.

    Both have the photograph's own size.

    With --json: {"model", "image", "mask", "overlay", "height", "width", "num_classes",
    "classes": [{"index", "name", "pixels", "fraction"}, ...]}, the largest class first.
    """
    names, palette = read_labels(labels)
    targets = (mask or Path(f"{image.stem}_mask.png"), overlay or Path(f"{image.stem}_overlay.png"))
    _check_targets(image, Path(model), targets)
    if _is_exported(Path(model)):
        from registry.runtime import Segmenter

        segmenter = Segmenter(model, size=parse_size(size), num_threads=threads, labels=names)
        summary = segment(Model.of_file(segmenter), image, *targets, palette=palette)
    elif threads is not None:
        raise typer.BadParameter("--threads is for .tflite files; TensorFlow takes the CPUs that it finds")
    else:
        with working():
            summary = segment(_loaded(model, parse_size(size), names), image, *targets, palette=palette)
    if as_json:
        print_json(summary)
    else:
        print_segmentation(summary)


def _is_exported(path: Path) -> bool:
    """Whether a path means a `.tflite` file, whatever it is called."""
    suffix = path.suffix.lower()
    return suffix == ".tflite" or (path.is_file() and suffix not in (*_YAML_SUFFIXES, ".keras"))


def _loaded(source: str, size: tuple[int, int] | None, names: list[str] | None) -> Model:
    """A model in Keras, under other names of its classes where the user gives any."""
    import registry

    model: Any = registry.load(source)
    if not hasattr(model, "segment"):
        raise ModelError(
            "`atrous predict` takes segmenters of atrous, and .tflite files",
            received=f"{source}, a {type(model).__name__}",
            repair=f"atrous export {source} model.tflite, then predict with that",
        )
    classes = max(2, model.num_classes)  # a single plane of scores makes two
    if names is not None and len(names) != classes:
        raise ModelError(
            f"`--labels` must name each of the {classes} classes of the model",
            received=f"{len(names)} labels",
            repair="give one name per class, background included",
        )
    return Model(
        source,
        lambda pixels: model.segment(pixels, size=size),
        classes,
        model.labels if names is None else names,
        model.palette,
    )


def segment(
    model: Model,
    image: Path | NDArray[Any],
    mask_path: Path,
    overlay_path: Path,
    *,
    palette: list[tuple[int, int, int]] | None = None,
) -> dict[str, Any]:
    """Predict, write both files and sum up.

    Args:
        model: what to run.
        image: path, or uint8 pixels (H, W, 3).
        mask_path: where the indexed PNG goes.
        overlay_path: where the overlay goes.
        palette: RGB colour per class; None takes the model's own, or else Pascal VOC's.

    Returns:
        The object that `atrous predict --json` documents.
    """
    import numpy as np

    from registry.runtime import load_image, save_mask, save_overlay

    palette = palette or list(model.palette) or None
    pixels = load_image(image)
    mask = model.run(pixels)
    # Class 0 keeps the photograph visible where it is the background, which is what black stands for.
    transparent = (0,) if palette is None or tuple(palette[0]) == (0, 0, 0) else ()
    save_mask(mask, mask_path, palette)
    save_overlay(pixels, mask, overlay_path, palette, labels=model.labels, transparent=transparent)
    counts = np.bincount(mask.ravel())
    order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    return {
        "model": model.source,
        "image": str(image) if isinstance(image, Path) else None,
        "mask": str(mask_path),
        "overlay": str(overlay_path),
        "height": mask.shape[0],
        "width": mask.shape[1],
        "num_classes": model.num_classes,
        "classes": [
            {
                "index": index,
                "name": model.labels[index] if model.labels else None,
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
