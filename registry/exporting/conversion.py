"""One call of the TFLite converter, set up for a mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import tf
from registry.errors import ExportError
from registry.exporting.modes import InputDtype, Mode, OutputKind
from registry.exporting.serving import ServingGraph

__all__ = ["convert"]


def convert(
    serving: ServingGraph,
    *,
    mode: Mode,
    input_dtype: InputDtype,
    output: OutputKind,
    images: NDArray[np.uint8] | None = None,
    announce: Callable[[str], None] = lambda step: None,
) -> bytes:
    """Convert a traced graph.

    Args:
        serving: the graph.
        mode: precision.
        input_dtype: of the file.
        output: of the file; scores of an integer mode are int8.
        images: calibration images, uint8 (N, height, width, 3); only read in calibrated modes.
        announce: told of each calibration image.

    Returns:
        The bytes of a `.tflite` file with one signature, `serving_default`.

    Raises:
        ExportError: the converter refuses a layer.
    """
    # The converter saves what it is given beside the function. The variables are all it needs; with the Keras model
    # it would trace every layer once more, which takes several times as long as the conversion.
    variables = tf.Module()
    variables.model_variables = serving.variables
    converter = tf.lite.TFLiteConverter.from_concrete_functions([serving.function], variables)
    converter.target_spec.supported_ops = _operation_sets(mode, has_ranges=serving.has_ranges)
    if mode.name != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode.name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    interruptions: list[BaseException] = []
    if mode.calibrated and not serving.has_ranges:
        if images is None:
            raise TypeError(f"mode {mode.name} needs images")  # a caller's mistake, not a user's
        dtype = serving.function.inputs[0].dtype.as_numpy_dtype
        converter.representative_dataset = lambda: _samples(images, dtype, announce, interruptions)
    if mode.integer:
        converter.inference_input_type = getattr(tf, input_dtype)
        if output != "mask":
            converter.inference_output_type = tf.int8
    try:
        return converter.convert()
    except Exception as error:
        if error in interruptions:
            raise
        raise ExportError(
            f"every layer of the model must convert to TFLite builtin operations of mode {mode.name!r}",
            received=" ".join(str(error).split()),
            repair="replace the layer that the converter names; registry.models.layers has those that convert",
        ) from error


def _operation_sets(mode: Mode, *, has_ranges: bool) -> list[Any]:
    sets = tf.lite.OpsSet
    # Where the graph states its ranges, the converter would ask for images with the set of integers alone.
    if mode.name == "int8" and not has_ranges:
        return [sets.TFLITE_BUILTINS_INT8]
    if mode.name == "int16x8":
        # The second set lets the edges of the graph be float: ARG_MAX and CAST have no int16 kernels.
        return [sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, sets.TFLITE_BUILTINS]
    return [sets.TFLITE_BUILTINS]


def _samples(
    images: NDArray[np.uint8],
    dtype: Any,
    announce: Callable[[str], None],
    interruptions: list[BaseException],
) -> Iterator[list[NDArray[Any]]]:
    for number, image in enumerate(images, 1):
        try:
            announce(f"calibrating, image {number} of {len(images)}")
        except BaseException as error:
            # It passes through the converter, and must not look like a layer that does not convert.
            interruptions.append(error)
            raise
        pixels = image[None]
        yield [(pixels.astype(np.int16) - 128).astype(np.int8) if dtype == np.int8 else pixels.astype(dtype)]
