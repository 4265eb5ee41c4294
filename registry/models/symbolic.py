"""Layers on symbolic tensors without a graph each: what a functional model costs to make.

tf-keras finds the shape of a layer's output by tracing the layer in a graph of its own, which is thrown away: with 200
layers, half of the time that a model takes. Most layers can say their output's shape.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from registry.backend import keras, tf
from registry.models import activations, layers, padded

__all__ = ["STATED", "shapes_as_stated"]

# Classes of which `compute_output_shape` says what `call` gives. Not their subclasses, which may do anything.
STATED: frozenset[type] = frozenset(
    {
        keras.layers.Activation,
        keras.layers.Add,
        keras.layers.AveragePooling2D,
        keras.layers.BatchNormalization,
        keras.layers.Concatenate,
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.Dropout,
        keras.layers.GlobalAveragePooling2D,
        keras.layers.LayerNormalization,
        keras.layers.MaxPooling2D,
        keras.layers.Multiply,
        keras.layers.ReLU,
        keras.layers.SeparableConv2D,
        keras.layers.UpSampling2D,
        keras.layers.ZeroPadding2D,
        activations.GELU,
        activations.HardGate,
        activations.HardSigmoid,
        activations.HardSwish,
        activations.Scale,
        activations.Swish,
        layers.AlignedUpSampling2D,
        layers.AtrousAveragePooling2D,
        layers.AtrousConv2D,
        layers.AtrousDepthwiseConv2D,
        layers.AtrousMaxPooling2D,
        layers.ResizeLike,
        layers.SpaceToDepth,
        padded.AtrousSeparableConv2D,
        padded.PaddedAtrousConv2D,
        padded.PaddedAtrousDepthwiseConv2D,
    }
)

Layer, KerasTensor = keras.layers.Layer, keras.__internal__.KerasTensor

_trace = Layer._infer_output_signature
_lock = threading.Lock()
_users = 0


@contextmanager
def shapes_as_stated() -> Iterator[None]:
    """Within it, layers of the classes `STATED` are applied to symbolic tensors by the shape that they state.

    Names, weights, their initial values, connections and shapes are those of tracing. All else is traced as ever: other
    classes and dtypes than float32, further arguments, masks, activity regularizers, and shapes that do not
    exist, so that errors are tf-keras's own. In use by one thread, it holds for all; the models are the same.
    """
    global _users  # noqa: PLW0603
    with _lock:
        _users += 1
        Layer._infer_output_signature = _stated
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                Layer._infer_output_signature = _trace


def _stated(layer: Any, inputs: Any, args: Any, kwargs: dict[str, Any], input_masks: Any) -> Any:
    """What `Layer._infer_output_signature` gives, which this stands for."""
    if not _can_state(layer, inputs, args, kwargs, input_masks):
        return _trace(layer, inputs, args, kwargs, input_masks)
    with tf.name_scope(layer._name_scope()):
        layer._maybe_build(inputs)
    shape = _output_shape(layer, inputs)
    if shape is None:
        return _trace(layer, inputs, args, kwargs, input_masks)
    layer._set_save_spec(inputs, args, kwargs)
    return KerasTensor(tf.TensorSpec(shape, tf.float32), name=layer.name)


def _can_state(layer: Any, inputs: Any, args: Any, kwargs: dict[str, Any], input_masks: Any) -> bool:
    return (
        type(layer) in STATED
        and layer.compute_dtype == "float32"
        and layer.activity_regularizer is None
        and not args
        and all(name == "training" and value is None for name, value in kwargs.items())
        and all(type(item) is KerasTensor and item.dtype == tf.float32 for item in tf.nest.flatten(inputs))
        and all(mask is None for mask in tf.nest.flatten(input_masks))
    )


def _output_shape(layer: Any, inputs: Any) -> Any:
    try:
        shape = layer.compute_output_shape(tf.nest.map_structure(lambda item: item.shape, inputs))
    except ValueError:
        return None
    shape = tf.TensorShape(shape)
    exists = shape.rank is not None and all(side is None or side > 0 for side in shape)
    return shape if exists else None
