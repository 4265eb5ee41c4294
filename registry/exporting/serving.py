"""The graph that is converted: pixels → normalization → inference form → what the file shall give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from registry.backend import keras, tf
from registry.errors import ExportError, ModelError
from registry.exporting.modes import InputDtype, Mode, OutputKind
from registry.models.native import traced_for_others
from registry.models.preprocessing import SegmentationPreprocessor
from registry.quantization import QuantizedSegmenter
from registry.quantization.baking import bake
from registry.rewrites import Graph, inference_form

__all__ = ["INPUT_NAME", "Reference", "ServingGraph", "Squashing", "make_reference", "make_serving_graph"]

INPUT_NAME = "image"
Squashing = Literal["softmax", "sigmoid"]
Reference = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_FUNCTIONS: dict[str, Squashing] = {
    "nn.softmax": "softmax",
    "math.sigmoid": "sigmoid",
    "nn.sigmoid": "sigmoid",
}


@dataclass(frozen=True)
class ServingGraph:
    """A traced function and what is known about it.

    Args:
        function: concrete function of one input `image` and one output, named by its kind.
        variables: that the function reads.
        rewrites: rewrite → how often it applied.
        classes: number of score planes.
        squashing: what makes probabilities of its logits.
        has_ranges: whether the graph says what its tensors are rounded to, so that the converter need not measure.
        float_layers: names of layers that are to stay in floating point → their weights.
        stride: pixels of the output per pixel of the mask that was decided on, (rows, columns); (1, 1) if exact.
    """

    function: Any
    variables: list[Any]
    rewrites: dict[str, int]
    classes: int
    squashing: Squashing
    stride: tuple[int, int]
    has_ranges: bool = False
    float_layers: Mapping[str, list[NDArray[np.float32]]] = field(default_factory=dict)


def make_serving_graph(
    model: Any,
    size: tuple[int, int],
    *,
    mode: Mode,
    input_dtype: InputDtype,
    output: OutputKind,
    mask_before_upsampling: bool,
) -> ServingGraph:
    """Trace the graph of one file.

    An integer mode's input stays float32 here: the converter quantizes it. In the other modes, integer pixels are
    cast inside.

    Args:
        model: flat functional `tf_keras.Model`.
        size: input height and width in pixels.
        mode: precision.
        input_dtype: of the file.
        output: of the file.
        mask_before_upsampling: decide on classes before the last upsampling, and repeat them.

    Raises:
        ExportError: the model's preprocessor cannot become part of the graph.
        ModelError: the model is not flat, or has no last upsampling where that is asked for.
    """
    normalize = _normalization(model)
    is_quantized = isinstance(model, QuantizedSegmenter)
    has_ranges = is_quantized and mode.integer
    if is_quantized:
        form, rewrites = bake(model, size, activations=has_ranges)
    else:
        form, rewrites = inference_form(model, size, activations=mode.activations)
    graph = Graph.of(form)
    squashing = _without_squashing(graph)
    stride = _without_upsampling(graph) if mask_before_upsampling else (1, 1)
    if squashing is not None or mask_before_upsampling:
        form = graph.to_keras()
    classes = int(form.output_shape[-1])
    squashing = squashing or ("sigmoid" if classes == 1 else "softmax")
    traced_dtype = "float32" if mode.integer else input_dtype

    @tf.function(
        input_signature=[tf.TensorSpec((1, *size, 3), traced_dtype, name=INPUT_NAME)], autograph=False
    )
    def serve(image: Any) -> Any:
        pixels = tf.cast(image, tf.float32)
        if has_ranges:
            pixels = tf.quantization.fake_quant_with_min_max_args(pixels, 0.0, 255.0)
        if traced_dtype == "int8":
            pixels += 128.0
        logits = tf.cast(form(normalize(pixels), training=False), tf.float32)
        if output == "probabilities":
            return {output: tf.sigmoid(logits) if squashing == "sigmoid" else tf.nn.softmax(logits)}
        return {output: _enlarged(_mask(logits), stride) if output == "mask" else logits}

    with traced_for_others():
        function = serve.get_concrete_function()
    return ServingGraph(
        function,
        form.weights,
        rewrites,
        classes,
        squashing,
        stride,
        has_ranges=has_ranges,
        float_layers=_float_layers(model, form) if has_ranges else {},
    )


def _float_layers(model: QuantizedSegmenter, form: Any) -> dict[str, list[NDArray[np.float32]]]:
    """Excluded layers that the graph still has, with their weights after the rewrites."""
    present = {layer.name: layer for layer in form.layers}
    return {name: present[name].get_weights() for name in model.float_layers if name in present}


def make_reference(model: Any, size: tuple[int, int]) -> Reference:
    """The model as it was given, as a function from pixels to logits.

    Args:
        model: flat functional `tf_keras.Model`.
        size: input height and width in pixels.

    Returns:
        Function of float32 pixels (1, height, width, 3) in 0…255 to float32 logits (1, height, width, classes).
    """
    bare = model
    if not isinstance(model, QuantizedSegmenter):  # which ends in logits
        graph = Graph.of(model, size)
        bare = model if _without_squashing(graph) is None else graph.to_keras()
    preprocessor = getattr(model, "preprocessor", None)

    def reference(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = tf.constant(pixels) if preprocessor is None else preprocessor.scaled(tf.constant(pixels))
        return np.asarray(tf.cast(bare(inputs, training=False), tf.float32))

    return reference


def _normalization(model: Any) -> Callable[[Any], Any]:
    """`pixel * scale + offset` as one depthwise convolution, or nothing where pixels stay as they are.

    As a product and a sum, an int8 file would round twice; a depthwise convolution has the scales as its per-channel
    weights and the offsets as its bias, and rounds once.
    """
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is not None and not isinstance(preprocessor, SegmentationPreprocessor):
        raise ExportError(
            "only a registry.SegmentationPreprocessor can become part of the exported graph",
            received=type(preprocessor).__name__,
            repair="set model.preprocessor to one, or to None and normalize before the interpreter",
        )
    if preprocessor is None or not preprocessor.scales:
        return lambda pixels: pixels
    scale = np.broadcast_to(np.asarray(preprocessor.scale, np.float32), 3).reshape(1, 1, 3, 1)
    offset = np.broadcast_to(np.asarray(preprocessor.offset, np.float32), 3)
    return lambda pixels: tf.nn.bias_add(
        tf.nn.depthwise_conv2d(pixels, scale, strides=[1, 1, 1, 1], padding="VALID"), offset
    )


def _without_squashing(graph: Graph) -> Squashing | None:
    """Take the softmax or sigmoid at the end away; None if there is none."""
    node = graph[graph.outputs[0]]
    if node.is_a(keras.layers.Softmax) and node.config["axis"] in (-1, 3):
        graph.remove(node)
        return "softmax"
    function = _FUNCTIONS.get(str(node.config.get("function")))
    if function is not None and len(node.inputs) == 1:
        graph.remove(node)
        return function
    activation = node.config.get("activation")
    if activation not in ("softmax", "sigmoid"):
        return None
    if node.is_a(keras.layers.Activation):
        graph.remove(node)
    else:
        node.config = {**node.config, "activation": "linear"}
    return activation


def _without_upsampling(graph: Graph) -> tuple[int, int]:
    """Take the upsampling at the end away and return its factors (rows, columns)."""
    node = graph[graph.outputs[0]]
    if not node.is_a(keras.layers.UpSampling2D):
        raise ModelError(
            "`mask_before_upsampling` needs a model whose logits are upsampled last",
            received=f"{node.name}, a {node.layer.__name__}, is the last layer",
            repair="leave mask_before_upsampling out: the mask is then decided at the output's own size",
        )
    graph.remove(node)
    rows, columns = node.config["size"]
    return int(rows), int(columns)


def _mask(logits: Any) -> Any:
    """Class indices (1, height, width): uint8 where they fit."""
    classes = logits.shape[-1]
    if classes == 1:
        return tf.cast(tf.greater(logits[..., 0], 0.0), tf.uint8)
    indices = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return tf.cast(indices, tf.uint8) if classes <= 256 else indices


def _enlarged(mask: Any, factors: tuple[int, int]) -> Any:
    """Repeat rows and columns. By TILE: resizing does not convert for uint8, broadcasting takes 16 times as long."""
    if factors == (1, 1):
        return mask
    (_, height, width), (rows, columns) = mask.shape, factors
    repeated = tf.tile(tf.reshape(mask, (1, height, 1, width, 1)), (1, 1, rows, 1, columns))
    return tf.reshape(repeated, (1, height * rows, width * columns))
