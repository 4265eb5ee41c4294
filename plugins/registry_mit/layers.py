"""Attention between maps, in layers of one result each, so that each can be quantized by itself.

Height and width may be open. Where they are fixed, so is every shape in TFLite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from registry.backend import keras, tf

__all__ = ["AttendValues", "AttentionScores", "MergeHeads", "SplitHeads"]

_register = keras.saving.register_keras_serializable(package="atrous")


@_register
class SplitHeads(keras.layers.Layer):
    """A map becomes one sequence of its pixels per attention head.

    Shapes: (batch, height, width, channels) → (batch, heads, height·width, channels ÷ heads).

    Args:
        num_heads: number of heads; must divide the channels.
        scale: factor on the values.
    """

    def __init__(self, num_heads: int, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.scale = scale

    def call(self, inputs: Any) -> Any:
        """Rearrange, pixels row by row; the dtype stays as it is."""
        return self.observed(inputs, lambda name, value: value)

    def observed(self, inputs: Any, observe: Callable[[str, Any], Any]) -> Any:
        """Rearrange, and pass the scaled values through a function of their name and themselves."""
        x = inputs if self.scale == 1.0 else observe("scaled", inputs * tf.cast(self.scale, inputs.dtype))
        _, heads, pixels, depth = self.compute_output_shape(x.shape)
        # One dimension may be left to be inferred: the batch where the size is fixed, else the pixels.
        batch = -1 if pixels is not None else tf.shape(x)[0]
        pixels = -1 if pixels is None else pixels
        if heads == 1:
            return tf.reshape(x, (batch, 1, pixels, depth))
        return tf.transpose(tf.reshape(x, (batch, pixels, heads, depth)), (0, 2, 1, 3))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Pixels stay open where a side is."""
        batch, height, width, channels = tuple(input_shape)
        pixels = None if height is None or width is None else height * width
        return tf.TensorShape((batch, self.num_heads, pixels, channels // self.num_heads))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "num_heads": self.num_heads, "scale": self.scale}


@_register
class AttentionScores(keras.layers.Layer):
    """Products of each query with each key.

    Shapes: [(batch, heads, queries, depth), (batch, heads, keys, depth)] → (batch, heads, queries, keys).
    """

    def call(self, inputs: Any) -> Any:
        """Multiply; the dtype stays as it is."""
        queries, keys = inputs
        return tf.matmul(queries, keys, transpose_b=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """A score for each pair."""
        queries, keys = (tuple(shape) for shape in input_shape)
        return tf.TensorShape((*queries[:3], keys[2]))


@_register
class AttendValues(keras.layers.Layer):
    """Values averaged by the weights that attention gives them.

    Shapes: [(batch, heads, queries, keys), (batch, heads, keys, depth)] → (batch, heads, queries, depth).
    """

    def call(self, inputs: Any) -> Any:
        """Multiply; the dtype stays as it is."""
        weights, values = inputs
        return tf.matmul(weights, values)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """A value for each query."""
        weights, values = (tuple(shape) for shape in input_shape)
        return tf.TensorShape((*weights[:3], values[3]))


@_register
class MergeHeads(keras.layers.Layer):
    """The inverse of `SplitHeads`; the second tensor tells height and width.

    Shapes: [(batch, heads, height·width, depth), (batch, height, width, any)] → (batch, height, width, heads·depth).
    """

    def call(self, inputs: Any) -> Any:
        """Rearrange; the dtype stays as it is."""
        x, reference = inputs
        _, height, width, channels = self.compute_output_shape((x.shape, reference.shape))
        fixed = height is not None and width is not None
        size = (-1, height, width) if fixed else tf.unstack(tf.shape(reference)[:3])
        if x.shape[1] != 1:
            x = tf.transpose(x, (0, 2, 1, 3))
        return tf.reshape(x, (*size, channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Height and width of the second shape, channels of all heads."""
        x, reference = (tuple(shape) for shape in input_shape)
        return tf.TensorShape((x[0], reference[1], reference[2], x[1] * x[3]))
