"""`atrous predict`: from photographs to masks and overlays; from a `.tflite` file without TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.atomic import check_output_path
from registry.cli.completion import complete_labels, complete_source
from registry.cli.console import print_json, progress_bar, working
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
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
        "  atrous predict model.tflite photos/ 'more/**/*.png' shards/train-*.tfrecord --output masks --workers 2\n"
        "  atrous predict model.tflite photo.jpg --labels deeplab_v3_plus_resnet50_pascalvoc --json",
    )(predict)


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL.tflite|PRESET|FILE.keras",
            help="The model: an exported file, which takes no TensorFlow, or what registry.load takes.",
            autocompletion=complete_source,
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="A photograph; with --output also several, folders, globs and TFRecord files.",
        ),
    ],
    *,
    mask: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Indexed PNG; by default ./<image>_mask.png.")
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Colours over the image; by default ./<image>_overlay.png."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Of many results; what is finished there is not done again.",
        ),
    ] = None,
    overlays: Annotated[
        bool, typer.Option("--overlays/--no-overlays", help="Write overlays beside masks, with --output.")
    ] = True,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that share the images, with --output.")
    ] = 1,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do all images of --output again, whatever is there.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|FILE",
            help="Class names: of a preset, or a text file, one a line; by default the model's own.",
            autocompletion=complete_labels,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHT[xWIDTH]", help="Input size, for a model that leaves it open; else the preset's."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each interpreter; by default the usable CPUs.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Segment photographs: write a class mask and an overlay of each.

    Both have the photograph's own size. With --output, the images of folders keep their places, a run that was ended
    goes on when the same command is given again, and an image that cannot be segmented does not stop the others: all
    are told at the end, and the exit code is 1.

    With --json: {"model", "image", "mask", "overlay", "height", "width", "num_classes",
    "classes": [{"index", "name", "pixels", "fraction"}, ...]}, the largest class first; with --output:
    {"model", "output", "images", "segmented", "skipped", "failed": [{"source", "error"}, ...], "seconds"}.
    """
    names, palette = read_labels(labels)
    extent = parse_size(size)
    if output is not None:
        if mask is not None or overlay is not None:
            raise typer.BadParameter("--mask and --overlay are for one photograph; --output names a folder")
        _predict_all(
            model, images, output, as_json,
            names=names, palette=palette, size=extent, threads=threads,
            overlays=overlays, workers=workers, restart=restart,
        )  # fmt: skip
        return
    image = _only(images)
    if workers > 1 or restart or not overlays:
        raise typer.BadParameter("--workers, --restart and --no-overlays are for many images: give --output")
    targets = (mask or Path(f"{image.stem}_mask.png"), overlay or Path(f"{image.stem}_overlay.png"))
    _check_targets(image, Path(model), targets)
    if _is_exported(Path(model)):
        from registry.runtime import Segmenter

        segmenter = Segmenter(model, size=extent, num_threads=threads, labels=names)
        summary = segment(Model.of_file(segmenter), image, *targets, palette=palette)
    else:
        _refuse_threads(threads)
        with working():
            summary = segment(_loaded(model, extent, names), image, *targets, palette=palette)
    if as_json:
        print_json(summary)
    else:
        print_segmentation(summary)


def _only(images: list[str]) -> Path:
    """The one photograph that a command without --output is about."""
    if len(images) > 1 or Path(images[0]).is_dir() or Path(images[0]).suffix.lower() == ".tfrecord":
        raise typer.BadParameter(
            "several images, a folder or a TFRecord file need a folder for their results: give --output"
        )
    return Path(images[0])


def _refuse_threads(threads: int | None) -> None:
    if threads is not None:
        raise typer.BadParameter("--threads is for .tflite files; TensorFlow takes the CPUs that it finds")


def _predict_all(
    model: str,
    images: list[str],
    output: Path,
    as_json: bool,
    *,
    names: list[str] | None,
    threads: int | None,
    **options: Any,
) -> None:
    import registry

    with progress_bar(not as_json and sys.stderr.isatty()) as tell, working():
        subject: Any = model
        if not _is_exported(Path(model)):
            _refuse_threads(threads)
            subject = registry.load(model)
            _check_segmenter(subject, model)
        report = registry.segment_files(
            subject, images, output, labels=names, threads=threads, progress=tell, **options
        )
    if as_json:
        print_json({"model": model, **report.to_dict()})
    else:
        typer.echo(str(report))
    if report.failed:
        raise typer.Exit(EXIT_WRONG_INPUT)


def _is_exported(path: Path) -> bool:
    """Whether a path means a `.tflite` file, whatever it is called."""
    suffix = path.suffix.lower()
    return suffix == ".tflite" or (path.is_file() and suffix not in (*_YAML_SUFFIXES, ".keras"))


def _loaded(source: str, size: tuple[int, int] | None, names: list[str] | None) -> Model:
    """A model in Keras, under other names of its classes where the user gives any."""
    import registry

    model: Any = registry.load(source)
    _check_segmenter(model, source)
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


def _check_segmenter(model: Any, source: str) -> None:
    if not hasattr(model, "segment"):
        raise ModelError(
            "`atrous predict` takes segmenters of atrous, and .tflite files",
            received=f"{source}, a {type(model).__name__}",
            repair=f"atrous export {source} model.tflite, then predict with that",
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
    from registry.batch.results import Look, write_results
    from registry.runtime import load_image

    look = Look(labels=tuple(model.labels), palette=tuple(palette or model.palette))
    pixels = load_image(image)
    summary = write_results(pixels, model.run(pixels), mask_path, overlay_path, look)
    return {
        "model": model.source,
        "image": str(image) if isinstance(image, Path) else None,
        "num_classes": model.num_classes,
        **summary,
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
