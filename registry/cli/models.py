"""`atrous build | export`: from a preset to a model to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from registry.atomic import atomic_path, check_output_folder, check_output_path
from registry.cli.completion import complete_preset, complete_source
from registry.cli.console import print_json, working
from registry.cli.data_options import ScoredData, takes_scored_data
from registry.cli.guard import GuardedCommand
from registry.cli.options import (
    EncoderWeightsOption,
    JsonOption,
    LockOption,
    SetOption,
    WeightsOption,
    parse_overrides,
    parse_size,
    parse_weights,
)

__all__ = ["register", "resolve_first"]

# As in registry.exporting.modes, whose room imports TensorFlow; a test holds them equal.
Quantization = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
InputDtype = Literal["float32", "uint8", "int8"]
OutputKind = Literal["logits", "probabilities", "mask"]
CalibrationMethod = Literal["min_max", "percentile", "mse"]

_DEFAULT_WEIGHTS = "default"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "build",
        cls=GuardedCommand,
        epilog="\b\nExample:\n  atrous build deeplab_v3_plus_resnet50_pascalvoc --weights none "
        "--num-classes 4 --output model.keras",
    )(build)
    app.command(
        "export",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous export deeplab_v3_plus_resnet50_pascalvoc model.tflite --size 512x768\n"
        "  atrous export model.keras model.tflite --quantization int8 --calibration photos/\n"
        "  atrous export model.keras model.tflite --quantization int8 --calibration photos/ --data my_recipe.yaml\n"
        "  atrous export model.keras masks.tflite --output-kind mask --size 256 --size 512",
    )(export)


def build(
    preset: Annotated[
        str,
        typer.Argument(
            help="Name of a preset, path of a YAML file or of a saved preset's folder, or handle.",
            autocompletion=complete_preset,
        ),
    ],
    *,
    weights: WeightsOption = _DEFAULT_WEIGHTS,
    encoder_weights: EncoderWeightsOption = _DEFAULT_WEIGHTS,
    num_classes: Annotated[int | None, typer.Option(help="Number of classes, background included.")] = None,
    image_shape: Annotated[
        str | None, typer.Option(metavar="HEIGHTxWIDTH", help="Fix the input size of the graph.")
    ] = None,
    overrides: SetOption = None,
    lock: LockOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.keras|FOLDER",
            help="Save the model there: as a Keras file, or as a preset where the name has no suffix.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build a model from a preset and say what it is.

    With --json: {"preset", "parameters", "trainable_parameters", "num_classes", "input_shape",
    "output_shape", "output_stride", "levels": {"P2": {"shape": [...]}, ...}, "output"}.
    """
    import registry

    size = parse_size(image_shape, "--image-shape")
    values = parse_overrides(overrides, own_options=True)
    if output is not None:
        _check_output(output)
    resolve_first(preset, values, lock)
    with working():
        model = registry.build(
            preset,
            weights=parse_weights(weights),
            encoder_weights=parse_weights(encoder_weights),
            num_classes=num_classes,
            image_shape=None if size is None else (*size, 3),
            lock=lock,
            **values,
        )
        if output is not None and output.suffix:
            with atomic_path(output) as temporary:
                model.save(temporary)
        elif output is not None:
            registry.save_preset(model, output)
    summary = {"preset": preset, **_summary(model), "output": None if output is None else str(output)}
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


@takes_scored_data
def export(
    source: Annotated[
        str,
        typer.Argument(metavar="PRESET|FILE.keras", help="What to export.", autocompletion=complete_source),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.tflite", help="The file to write.")],
    *,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEIGHT[xWIDTH]",
            help="Input size in pixels; the preset's if left out. Repeated, each makes a file of its own: "
            "OUTPUT_512x512.tflite.",
        ),
    ] = None,
    quantization: Annotated[
        Quantization, typer.Option(help="Precision; int8 and int16x8 need --calibration.")
    ] = "float32",
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images like those that the model will see, about a hundred."),
    ] = None,
    calibration_limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Use at most so many of them.  [default: 200]")
    ] = None,
    calibration_method: Annotated[
        CalibrationMethod,
        typer.Option(
            help="How int8 chooses ranges: of all values, of all but the rarest, or of least error."
        ),
    ] = "min_max",
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="A layer that stays in floating point, or a pattern with * and ?. Repeatable.",
        ),
    ] = None,
    input_dtype: Annotated[
        InputDtype | None,
        typer.Option(help="Type of the input; uint8 for int8 and int16x8, else float32, if left out."),
    ] = None,
    output_kind: Annotated[
        OutputKind, typer.Option(help="Scores per class, their softmax, or class indices.")
    ] = "logits",
    mask_before_upsampling: Annotated[
        bool,
        typer.Option(
            "--mask-before-upsampling",
            help="With --output-kind mask: decide at the logits' stride; cheaper, coarser edges.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Write OUTPUT.report.html and .json beside the file: operations, delegates, latency, masks.",
        ),
    ] = True,
    data: ScoredData,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Score on the first N annotated images.")
    ] = None,
    weights: WeightsOption = _DEFAULT_WEIGHTS,
    encoder_weights: EncoderWeightsOption = _DEFAULT_WEIGHTS,
    overrides: SetOption = None,
    lock: LockOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a preset or a saved model as .tflite.

    The file is run and compared with the model before it gets its name; with annotated images (--data, or --reader),
    their mean IoU is compared, too.

    With --json: the export report, as registry.export(...).to_dict(); where --size is repeated,
    {"reports": [...]}.
    """
    import registry

    sizes = [parse_size(text) for text in size or ()]
    extents: Any = sizes if len(sizes) > 1 else sizes[0] if sizes else None
    values = parse_overrides(overrides, own_options=True)
    check_output_path(output, suffixes=(".tflite",))
    options: dict[str, Any] = {} if calibration_limit is None else {"calibration_limit": calibration_limit}
    scored = data.section() if data.named else None
    if Path(source).suffix.lower() != ".keras":
        resolve_first(source, values, lock)
    with working():
        model = _load_or_build(source, weights, encoder_weights, values, lock)
        reports = registry.export(
            model,
            output,
            size=extents,
            quantization=quantization,
            calibration=calibration,
            calibration_method=calibration_method,
            exclude=tuple(exclude or ()),
            input_dtype=input_dtype,
            output=output_kind,
            mask_before_upsampling=mask_before_upsampling,
            annotated=None if scored is None else data.opened(scored, max(2, int(model.output_shape[-1]))),
            annotated_limit=limit,
            write_report=report,
            progress=False if as_json else None,
            **options,
        )
    several = reports if isinstance(reports, list) else [reports]
    if as_json:
        documents = [one.to_dict() for one in several]
        print_json({"reports": documents} if isinstance(reports, list) else documents[0])
    else:
        typer.echo("\n\n".join(str(one) for one in several))
        for one in several if report else ():
            typer.echo(f"report   {one.path.with_suffix('.report.html')}")


def _check_output(output: Path) -> None:
    if output.suffix:
        check_output_path(output, suffixes=(".keras",))
    else:
        check_output_folder(output)


def resolve_first(preset: str, overrides: dict[str, Any], lock: Path | None = None) -> Any:
    """Find what is wrong with a preset before TensorFlow is imported, which takes seconds.

    Args:
        preset: name, path or handle.
        overrides: values to change.
        lock: a lock file, whose plugins must be those that are installed.

    Returns:
        The resolved preset; None for a handle or a folder of another kind, which only building opens.
    """
    import registry
    from registry.catalog import is_saved_preset
    from registry.locking import Guard
    from registry.weights.handles import is_handle

    if lock is not None:
        # Resolving imports a plugin: whose code that is comes first.
        Guard(lock, preset)
    if is_handle(preset) or (Path(preset).is_dir() and not is_saved_preset(preset)):
        return None
    return registry.describe(preset, **overrides)


def _load_or_build(
    source: str, weights: str, encoder_weights: str, overrides: dict[str, Any], lock: Path | None
) -> Any:
    import registry

    if Path(source).suffix.lower() != ".keras":
        return registry.build(
            source,
            weights=parse_weights(weights),
            encoder_weights=parse_weights(encoder_weights),
            lock=lock,
            **overrides,
        )
    if overrides or lock or (weights, encoder_weights) != (_DEFAULT_WEIGHTS, _DEFAULT_WEIGHTS):
        raise typer.BadParameter(
            "--weights, --encoder-weights, --set and --lock are for presets; a .keras file has its own"
        )
    return registry.load_model(source)


def _summary(model: Any) -> dict[str, Any]:
    config = getattr(model, "preset_config", None)
    pyramid = getattr(getattr(model, "backbone", model), "pyramid_outputs", {})
    trainable = sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
    return {
        "parameters": int(model.count_params()),
        "trainable_parameters": trainable,
        "num_classes": getattr(model, "num_classes", None),
        "input_shape": list(model.input_shape),
        "output_shape": list(model.output_shape),
        "output_stride": None if config is None else config.encoder.output_stride,
        "levels": {level: {"shape": list(tensor.shape)} for level, tensor in pyramid.items()},
    }


def _print_summary(summary: dict[str, Any]) -> None:
    typer.echo(f"preset         {summary['preset']}")
    typer.echo(f"parameters     {summary['parameters']:,} ({summary['trainable_parameters']:,} trainable)")
    typer.echo(f"input          {_shape(summary['input_shape'])}")
    typer.echo(f"output         {_shape(summary['output_shape'])}, {summary['num_classes']} classes")
    typer.echo(f"output stride  {summary['output_stride']}")
    for level, details in summary["levels"].items():
        typer.echo(f"level {level}       {_shape(details['shape'])}")
    if summary["output"]:
        typer.echo(f"saved          {summary['output']}")


def _shape(shape: list[int | None]) -> str:
    return " x ".join("?" if extent is None else str(extent) for extent in shape[1:])
