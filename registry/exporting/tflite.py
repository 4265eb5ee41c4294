"""Convert a model to a float `.tflite` file that is checked before it appears under its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from registry.atomic import atomic_path, check_output_path
from registry.backend import require_keras_model, tf
from registry.errors import ExportError, ModelError
from registry.exporting.operations import count_operations, require_fast_operations
from registry.exporting.parity import compare
from registry.exporting.progress import Progress, progress_display
from registry.exporting.report import ExportReport, TensorReport
from registry.models.preprocessing import SegmentationPreprocessor

__all__ = ["export"]

_STEPS = 4


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    size: int | Sequence[int] | None = None,
    progress: Progress = None,
) -> ExportReport:
    """Write a model as a float32 `.tflite` file.

    The file takes RGB pixels in 0…255 as float32 (1, height, width, 3): the model's normalization is part of the
    graph. It holds builtin operations only, dilated convolutions are native, and it has been run beside the Keras
    model before it appears under `path`; an interrupted export leaves nothing there.

    Args:
        model: functional `tf_keras.Model`, (batch, height, width, 3) → (batch, height, width, classes).
        path: file to write, ending in `.tflite`.
        size: input height and width in pixels, or one number for both; None takes the model's own fixed size or
            its preset's.
        progress: None shows progress in a terminal; True or False always or never; a callable is given
            (step, number, of how many).

    Returns:
        What was written, and its differences to the Keras model.

    Raises:
        ModelError: `model` or `size` does not fit.
        ExportError: the model does not convert, or the file is not what it should be; nothing is written.
        OutputPathError: `path` cannot be written.
    """
    require_keras_model(model, "model")
    check_output_path(path, suffixes=(".tflite",))
    height, width = _input_size(model, size)
    with atomic_path(path) as temporary, progress_display(progress, _STEPS) as announce:
        announce("tracing the graph")
        function = _serving_function(model, height, width)
        announce("converting to TFLite")
        content = _convert(model, function)
        announce("checking operations")
        operations = count_operations(content)
        require_fast_operations(operations)
        announce("comparing with the Keras model")
        parity = compare(
            content, lambda image: np.asarray(function(tf.constant(image))), height=height, width=width
        )
        temporary.write_bytes(content)
    output_shape = tuple(int(side) for side in function.outputs[0].shape)
    return ExportReport(
        path=Path(path),
        size_bytes=len(content),
        input=TensorReport((1, height, width, 3), "float32", "RGB pixels in 0…255"),
        output=TensorReport(output_shape, "float32", _output_meaning(model)),
        operations=operations,
        parity=parity,
    )


def _input_size(model: Any, size: int | Sequence[int] | None) -> tuple[int, int]:
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or model.inputs[0].shape[-1] != 3:
        raise ModelError(
            "a model to export has one image input, (batch, height, width, 3)",
            received=[tuple(tensor.shape) for tensor in model.inputs],
            repair="export a segmenter that registry.build returned, or a model of that form",
        )
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 4:
        raise ModelError(
            "a model to export has one output, (batch, height, width, classes)",
            received=[tuple(tensor.shape) for tensor in model.outputs],
            repair="make a tf_keras.Model with the one output that you want on the device",
        )
    fixed = tuple(model.inputs[0].shape[1:3])
    wanted = _requested_size(model, fixed, size)
    if any(side is not None and side != want for side, want in zip(fixed, wanted, strict=True)):
        raise ModelError(
            f"the model is built for {fixed[0]}×{fixed[1]} pixels",
            received=wanted,
            repair="leave `size` out, or build the model with image_shape=(None, None, 3)",
        )
    check = getattr(model, "check_input_shape", None)
    if check is not None:
        check((1, *wanted, 3))
    return wanted


def _requested_size(
    model: Any, fixed: tuple[int | None, ...], size: int | Sequence[int] | None
) -> tuple[int, int]:
    if size is None:
        preset = getattr(model, "preset_config", None)
        candidates: Any = fixed if None not in fixed else preset.input.size if preset is not None else None
    else:
        candidates = (
            (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
        )
    if (
        candidates is None
        or len(candidates) != 2
        or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in candidates)
    ):
        raise ModelError(
            "`size` must be the input height and width in pixels, two positive integers or one for both",
            received=size,
            repair="for instance size=(512, 512)",
        )
    return candidates[0], candidates[1]


def _serving_function(model: Any, height: int, width: int) -> Any:
    """Trace pixels → (normalization) → model at the fixed input size."""
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is not None and not isinstance(preprocessor, SegmentationPreprocessor):
        raise ExportError(
            "only a registry.SegmentationPreprocessor can become part of the exported graph",
            received=type(preprocessor).__name__,
            repair="set model.preprocessor to one, or to None and normalize before the interpreter",
        )
    scaled = preprocessor.scaled if preprocessor is not None and preprocessor.scales else None

    @tf.function(
        input_signature=[tf.TensorSpec((1, height, width, 3), tf.float32, name="image")], autograph=False
    )
    def serve(image: Any) -> Any:
        inputs = image if scaled is None else scaled(image)
        return tf.cast(model(inputs, training=False), tf.float32)

    return serve.get_concrete_function()


def _convert(model: Any, function: Any) -> bytes:
    # The converter saves what it is given beside the function. The variables are all it needs; with the Keras model
    # it would trace every layer once more, which takes several times as long as the conversion.
    variables = tf.Module()
    variables.model_variables = model.weights
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], variables)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return converter.convert()
    except Exception as error:
        raise ExportError(
            "every layer of the model must convert to TFLite builtin operations",
            received=" ".join(str(error).split()),
            repair="replace the layer that the converter names; registry.models.layers has those that convert",
        ) from error


def _output_meaning(model: Any) -> str:
    activation = getattr(model, "activation", None)
    return "logits per class" if activation is None else f"{activation} of the logits per class"
