"""Convert a model to `.tflite` files that are checked before they appear under their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from registry.atomic import atomic_path, check_output_path
from registry.backend import require_keras_model
from registry.calibration import DEFAULT_LIMIT, calibration_images
from registry.data import AnnotatedImages
from registry.exporting.accuracy import measure_accuracy
from registry.exporting.composition import require_mode
from registry.exporting.conversion import convert
from registry.exporting.evidence import report_base, write_evidence
from registry.exporting.islands import keep_float
from registry.exporting.modes import (
    InputDtype,
    Mode,
    OutputKind,
    Quantization,
    resolve_mode,
    resolve_output,
)
from registry.exporting.operations import count_operations, require_fast_operations
from registry.exporting.parity import compare, probe_images
from registry.exporting.report import ExportReport, TensorReport
from registry.exporting.rounding import (
    CalibrationMethod,
    Rounding,
    require_calibration,
    resolve_rounding,
)
from registry.exporting.serving import ServingGraph, make_reference, make_serving_graph
from registry.exporting.sizes import requested_sizes, sized_path
from registry.exporting.trial import require_runnable
from registry.inspection.graph import read_graph
from registry.metadata import SegmenterMetadata, segmenter_metadata, write_metadata
from registry.progress import Progress, progress_display
from registry.quantization import QuantizedSegmenter

__all__ = ["export"]

_STEPS = 4
# Calibrated files are compared on some of their own images: the ranges fit those, not synthetic ones.
_COMPARED = 2

Size = int | Sequence[int]


@dataclass(frozen=True)
class _Request:
    """What every file of one call has in common."""

    model: Any
    mode: Mode
    input_dtype: InputDtype
    output: OutputKind
    mask_before_upsampling: bool
    rounding: Rounding | None
    annotated: AnnotatedImages | None
    annotated_limit: int | None


@overload
def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    size: Size | None = None,
    quantization: Quantization = "float32",
    calibration: Any = None,
    calibration_limit: int = DEFAULT_LIMIT,
    calibration_method: CalibrationMethod = "min_max",
    exclude: Sequence[str] = (),
    input_dtype: InputDtype | None = None,
    output: OutputKind = "logits",
    mask_before_upsampling: bool = False,
    annotated: AnnotatedImages | None = None,
    annotated_limit: int | None = None,
    write_report: bool = False,
    progress: Progress = None,
) -> ExportReport: ...


@overload
def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    size: Sequence[Sequence[int]],
    quantization: Quantization = "float32",
    calibration: Any = None,
    calibration_limit: int = DEFAULT_LIMIT,
    calibration_method: CalibrationMethod = "min_max",
    exclude: Sequence[str] = (),
    input_dtype: InputDtype | None = None,
    output: OutputKind = "logits",
    mask_before_upsampling: bool = False,
    annotated: AnnotatedImages | None = None,
    annotated_limit: int | None = None,
    write_report: bool = False,
    progress: Progress = None,
) -> list[ExportReport]: ...


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    size: Size | Sequence[Sequence[int]] | None = None,
    quantization: Quantization = "float32",
    calibration: Any = None,
    calibration_limit: int = DEFAULT_LIMIT,
    calibration_method: CalibrationMethod = "min_max",
    exclude: Sequence[str] = (),
    input_dtype: InputDtype | None = None,
    output: OutputKind = "logits",
    mask_before_upsampling: bool = False,
    annotated: AnnotatedImages | None = None,
    annotated_limit: int | None = None,
    write_report: bool = False,
    progress: Progress = None,
) -> ExportReport | list[ExportReport]:
    """Write a model as a `.tflite` file.

    The file takes RGB pixels in 0…255, (1, height, width, 3): the model's normalization is part of the graph. What is
    converted is the model's inference form. The file holds builtin operations only, dilated convolutions are native,
    it is of the precision asked for in every operation, and it has been run beside the Keras model before it appears
    under `path`; an interrupted export leaves nothing there.

    Args:
        model: flat functional `tf_keras.Model`, (batch, height, width, 3) → (batch, height, width, classes); or what
            `registry.quantize` made, whose file has the ranges that the model has.
        path: file to write, ending in `.tflite`.
        size: input height and width in pixels, or one number for both; None takes the model's own fixed size or
            its preset's. A list of pairs makes one file each, `name_<height>x<width>.tflite`: all appear, or none.
        quantization: `float32`; `float16` (weights); `dynamic` (int8 weights, activations quantized as they occur);
            `int8` (all integer, int8 scores); `int16x8` (int16 activations, int8 weights, float32 scores).
        calibration: images that show `int8` and `int16x8` which values occur: a folder, a list of paths, a
            `tf.data.Dataset`, an array (N, height, width, 3) or a list of arrays, RGB pixels in 0…255 of any size.
        calibration_limit: largest number of them to use; evenly spaced ones of more.
        calibration_method: how `int8` chooses the ranges of activations: `min_max`, all values, as the converter does;
            `percentile`, all but the rarest 0.01 %; `mse`, the range of the smallest error. Other than `min_max`, and
            `exclude`, go by way of `registry.quantize`, and take segmenters of atrous.
        exclude: layers of the inference form that stay in floating point in `int8`; names, or patterns
            with `*` and `?`. The report's error per layer says which lose most.
        input_dtype: `float32`, `uint8` (pixels as they are) or `int8` (pixels less 128); None takes `uint8` for
            `int8` and `int16x8`, `float32` for the others.
        output: `logits`; `probabilities`, the softmax of them (the sigmoid for one class, or if the model has one); or
            `mask`, class indices (1, height, width), uint8 up to 256 classes and int32 beyond. A softmax or sigmoid at
            the model's end counts for `probabilities` only.
        mask_before_upsampling: decide on classes at the logits' stride and repeat them, instead of upsampling the
            logits first: cheaper, with coarser edges. The report has the difference.
        annotated: images with masks, for instance of `registry.data.open_data`, on which the file's mean IoU is
            measured beside the Keras model's; it is in the report.
        annotated_limit: the first so many of them; None takes all.
        write_report: also write what is known about each file beside it, `<name>.report.json` and a page with pictures,
            `<name>.report.html`: operations, delegates, latency, masks of both models, error per layer.
        progress: None shows progress in a terminal; True or False always or never; a callable is given
            (step, number, of how many).

    Returns:
        What was written, and its differences to the Keras model; a list of it for a list of sizes.

    Raises:
        ModelError: `model` or another argument does not fit.
        QuantizationError: a layer cannot be rounded (with `calibration_method` or `exclude`).
        DataError, ImageError: an annotated image cannot be read, or there is none.
        ExportError: the calibration images would spoil the file, the model does not convert, or the file is not what
            it should be; nothing is written.
        OutputPathError: `path` cannot be written.
    """
    require_keras_model(model, "model")
    mode, dtype = resolve_mode(quantization, input_dtype)
    kind = resolve_output(output, mask_before_upsampling=mask_before_upsampling)
    check_output_path(path, suffixes=(".tflite",))
    sizes, several = requested_sizes(model, size)
    targets = [sized_path(path, pair) for pair in sizes] if several else [Path(path)]
    for target in targets:
        check_output_path(target)
        for suffix in (".json", ".html") if write_report else ():
            base = report_base(target)
            check_output_path(base.with_name(base.name + suffix))
    rounding = resolve_rounding(model, mode, calibration_method, exclude)
    require_calibration(model, mode, calibration)
    request = _Request(model, mode, dtype, kind, mask_before_upsampling, rounding, annotated, annotated_limit)
    images = [
        None if calibration is None else calibration_images(calibration, pair, limit=calibration_limit)
        for pair in sizes
    ]
    steps = sum(_steps(request, chosen) for chosen in images)
    reports = []
    with ExitStack() as files:
        temporaries = [files.enter_context(atomic_path(target)) for target in targets]
        announce = files.enter_context(progress_display(progress, steps))
        for pair, target, temporary, chosen in zip(sizes, targets, temporaries, images, strict=True):
            content, report = _make(request, pair, target, chosen, announce)
            temporary.write_bytes(content)
            if annotated is not None:
                announce("measuring mean IoU")
                found = measure_accuracy(model, temporary, annotated, pair, annotated_limit)
                report = replace(report, accuracy=found)
            reports.append(report)
    if write_report:
        for pair, chosen, report in zip(sizes, images, reports, strict=True):
            _write_evidence(request, pair, chosen, report)
    return reports if several else reports[0]


def _steps(request: _Request, images: NDArray[np.uint8] | None) -> int:
    """Steps that are announced for one file."""
    steps = _STEPS + (request.annotated is not None)
    if images is None:
        return steps
    # The converter looks at each image, unless the model that rounds tells it all ranges.
    return steps + (len(images) if request.rounding is None else request.rounding.steps(len(images)))


def _make(
    request: _Request,
    size: tuple[int, int],
    path: Path,
    images: NDArray[np.uint8] | None,
    announce: Callable[[str], None],
) -> tuple[bytes, ExportReport]:
    """One file: its bytes, converted and checked, and the report on it."""
    model = request.model
    if request.rounding is not None and images is not None:
        model = request.rounding.apply(model, images, announce)
    announce("tracing the graph")
    serving = _serving(request, size, model=model, mode=request.mode, input_dtype=request.input_dtype)
    announce("converting to TFLite")
    has_ranges = isinstance(model, QuantizedSegmenter) and request.mode.name == "int8"
    content = convert(
        serving,
        mode=request.mode,
        input_dtype=request.input_dtype,
        output=request.output,
        images=None if has_ranges else images,
        announce=announce,
    )
    if serving.float_layers:
        content = keep_float(content, serving.float_layers)
    content = write_metadata(content, _metadata(request, size, serving))
    announce("checking operations")
    operations = count_operations(content)
    require_fast_operations(operations)
    require_mode(content, request.mode, request.input_dtype, serving.float_layers)
    if request.mode.name == "int16x8":
        require_runnable(content, request.mode.name)
    announce("comparing with the Keras model")
    parity = compare(
        content,
        make_reference(request.model, size),
        _compared_images(images, size),
        mode=request.mode,
        output=request.output,
        squashing=serving.squashing,
        exact_mask=serving.stride == (1, 1),
    )
    source, result = _tensors(content, request, serving)
    return content, ExportReport(
        path=path,
        size_bytes=len(content),
        input=source,
        output=result,
        operations=operations,
        parity=parity,
        quantization=request.mode.name,
        output_kind=request.output,
        output_stride=serving.stride,
        calibration_images=0 if images is None else len(images),
        rewrites={name: count for name, count in serving.rewrites.items() if count},
        calibration_method=_method(request) if images is not None else None,
        float_layers=tuple(sorted(serving.float_layers)),
    )


def _method(request: _Request) -> str:
    return "min_max" if request.rounding is None else request.rounding.measuring.method


def _metadata(request: _Request, size: tuple[int, int], serving: ServingGraph) -> SegmenterMetadata:
    """What the file says about itself, for whoever runs it without us."""
    return segmenter_metadata(
        getattr(request.model, "preset_config", None),
        output=request.output,
        size=size,
        activation=serving.squashing if request.output == "logits" else None,
        num_classes=int(request.model.outputs[0].shape[-1]),
        name=request.model.name,
        quantization=request.mode.name,
    )


def _write_evidence(
    request: _Request, size: tuple[int, int], images: NDArray[np.uint8] | None, report: ExportReport
) -> None:
    preset = getattr(request.model, "preset_config", None)

    def float_content() -> bytes:
        mode, _ = resolve_mode("float32", None)
        # Rewritten as for the file: rewrites for integers scale some tensors, which would count as their error.
        alike = replace(mode, activations=request.mode.activations)
        serving = _serving(request, size, model=request.model, mode=alike, input_dtype="float32")
        return convert(
            serving,
            mode=mode,
            input_dtype="float32",
            output=request.output,
            images=None,
            announce=lambda step: None,
        )

    write_evidence(
        report,
        _compared_images(images, size),
        make_reference(request.model, size),
        float_content=float_content if images is not None else None,
        palette=[label.color for label in preset.labels] if preset is not None and preset.labels else None,
    )


def _compared_images(images: NDArray[np.uint8] | None, size: tuple[int, int]) -> Any:
    return probe_images(*size) if images is None else _first_of(images)


def _serving(
    request: _Request, size: tuple[int, int], *, model: Any, mode: Mode, input_dtype: InputDtype
) -> ServingGraph:
    return make_serving_graph(
        model,
        size,
        mode=mode,
        input_dtype=input_dtype,
        output=request.output,
        mask_before_upsampling=request.mask_before_upsampling,
    )


def _first_of(images: NDArray[np.uint8]) -> Any:
    return islice((image[None].astype(np.float32) for image in images), _COMPARED)


def _tensors(content: bytes, request: _Request, serving: ServingGraph) -> tuple[TensorReport, TensorReport]:
    """Describe the file's input and output."""
    graph = read_graph(content).subgraphs[0]
    shifted = ", less 128" if request.input_dtype == "int8" else ""
    meanings = {
        "logits": "logits per class",
        "probabilities": f"{serving.squashing} of the logits per class",
        "mask": "class indices",
    }
    described = []
    for index, meaning in (
        (graph.inputs[0], f"RGB pixels in 0…255{shifted}"),
        (graph.outputs[0], meanings[request.output]),
    ):
        tensor = graph.tensors[index]
        described.append(
            TensorReport(
                tensor.shape, tensor.dtype, meaning, scale=tensor.scale, zero_point=tensor.zero_point
            )
        )
    return described[0], described[1]
