"""Average pooling into a given number of bins, whatever the size of the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from registry.backend import keras, tf

__all__ = ["AdaptiveAveragePooling2D", "bin_weights"]


def bin_weights(side: int, bins: int) -> np.ndarray:
    """How much each pixel of a side counts in each bin.

    Bin i averages the pixels from ⌊i·side/bins⌋ to before ⌈(i+1)·side/bins⌉: bins overlap where they do not divide the
    side, and none is empty.

    Returns:
        float32 (bins, side), rows that sum to 1.
    """
    pixels, numbers = np.arange(side), np.arange(bins)[:, None]
    inside = (pixels >= numbers * side // bins) & (pixels < -(-(numbers + 1) * side // bins))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


@keras.saving.register_keras_serializable(package="registry_heads")
class AdaptiveAveragePooling2D(keras.layers.Layer):
    """Average the map over `bins` × `bins` windows, as PyTorch's layer of that name does.

    Where the bins divide a fixed size, it is one average pooling; else two products with matrices of weights, which are
    constants of the graph if the size is fixed.

    Args:
        bins: rows and columns of the result.

    Shapes: (batch, height, width, channels) → (batch, bins, bins, channels).
    """

    def __init__(self, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    RESULTS = ("rows",)
    """Results in between: averages of rows, where the bins do not divide the map."""

    def call(self, inputs: Any) -> Any:
        """Pool; the dtype stays as it is."""
        return self.observed(inputs, lambda name, value: value)

    def observed(self, inputs: Any, observe: Callable[[str, Any], Any]) -> Any:
        """Pool, and pass results in between through a function of their name and their value."""
        height, width = inputs.shape[1:3]
        if self.bins == 1:
            return tf.reduce_mean(inputs, axis=[1, 2], keepdims=True)
        if height and width and height % self.bins == 0 and width % self.bins == 0:
            window = [height // self.bins, width // self.bins]
            return tf.nn.avg_pool2d(inputs, window, window, "VALID")
        sides = tf.shape(inputs)
        rows = self._weights(height, sides[1], inputs.dtype)
        columns = self._weights(width, sides[2], inputs.dtype)
        channels = inputs.shape[3]
        # (bins, h) · (batch, h, w·c), then (bins, w) · (batch, bins, w, c)
        x = tf.reshape(inputs, tf.stack([sides[0], height or sides[1], -1]))
        x = tf.reshape(
            observe("rows", tf.matmul(rows[None], x)),
            tf.stack([sides[0], self.bins, width or sides[2], channels]),
        )
        return tf.ensure_shape(tf.matmul(columns[None, None], x), (None, self.bins, self.bins, channels))

    def _weights(self, fixed: int | None, side: Any, dtype: Any) -> Any:
        if fixed is not None:
            return tf.constant(bin_weights(fixed, self.bins), dtype)
        pixels, numbers = tf.range(side), tf.range(self.bins)[:, None]
        first, last = numbers * side // self.bins, ((numbers + 1) * side + self.bins - 1) // self.bins
        inside = tf.cast((pixels >= first) & (pixels < last), dtype)
        return inside / tf.reduce_sum(inside, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`bins` rows and columns."""
        batch, _, _, channels = tuple(input_shape)
        return tf.TensorShape((batch, self.bins, self.bins, channels))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "bins": self.bins}
