"""Pooling of other kinds: at an atrous rate, which a stride turns into, and by convolution.

Of atrous pooling tf-keras has none, and `tf.nn.pool` rearranges the batch around a dilated window. Here a window is
taken apart into shifted copies of the map, which TFLite knows as slices, in float and in integers.

All tensors are NHWC: (batch, height, width, channels).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from registry.backend import keras, tf
from registry.errors import ModelError

__all__ = ["AtrousAveragePooling2D", "AtrousMaxPooling2D", "ConvolvedAveragePooling2D"]

_register = keras.saving.register_keras_serializable(package="atrous")


class _AtrousPooling2D(keras.layers.Layer):
    """A window at stride 1 whose taps lie `rate` pixels apart, one axis after the other."""

    def __init__(
        self,
        rate: int = 1,
        pool_size: int | tuple[int, int] = 2,
        taps_before: int | tuple[int, int] | None = None,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.pool_size = _pair(pool_size)
        centred = tuple((taps - 1) // 2 for taps in self.pool_size)
        self.taps_before = centred if taps_before is None else _pair(taps_before)
        self.padding = padding
        if padding not in ("same", "valid"):
            raise ModelError(
                "the padding of atrous pooling is 'same' or 'valid'",
                received=padding,
                repair="choose one of them",
            )
        if any(not 0 <= before < taps for before, taps in zip(self.taps_before, self.pool_size, strict=True)):
            raise ModelError(
                "`taps_before` counts taps of the window, so that the pixel itself is one of them",
                received=f"{self.taps_before} in a window of {self.pool_size}",
                repair="give 0 … pool_size - 1 for each axis",
            )

    def _valid_taps(self, x: Any, axis: int) -> list[Any]:
        """A copy of the map for each tap, where all of the window lies inside."""
        taps = self.pool_size[axis - 1]
        reach = (taps - 1) * self.rate
        return [_part(x, axis, tap * self.rate, tap * self.rate - reach) for tap in range(taps)]

    def _distances(self, axis: int) -> list[int]:
        """Pixels from the window's own pixel to each of its taps."""
        before = self.taps_before[axis - 1]
        return [(tap - before) * self.rate for tap in range(self.pool_size[axis - 1])]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's with `same` padding; smaller by the window's reach with `valid`."""
        batch, *sides, channels = tuple(input_shape)
        if self.padding == "valid":
            reaches = [(taps - 1) * self.rate for taps in self.pool_size]
            sides = [side and side - reach for side, reach in zip(sides, reaches, strict=True)]
        return tf.TensorShape((batch, *sides, channels))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "pool_size": self.pool_size,
            "taps_before": self.taps_before,
            "padding": self.padding,
        }


@_register
class AtrousMaxPooling2D(_AtrousPooling2D):
    """Maximum over a window at stride 1 with an atrous rate.

    What `MaxPooling2D` becomes when its stride turns into a rate, or when it follows such a stride.

    Args:
        rate: distance in pixels between neighbouring taps.
        pool_size: taps of the window, (rows, columns) or one number for both.
        taps_before: how many of them lie before the window's own pixel; None centres the window.
        padding: `same` keeps the size, and taps beyond the border do not count; `valid` gives only windows that lie
            inside of the map.
    """

    def call(self, inputs: Any) -> Any:
        """Pool rows, then columns; the dtype stays as it is."""
        return self._largest(self._largest(inputs, 1), 2)

    def _largest(self, x: Any, axis: int) -> Any:
        if self.padding == "valid":
            taps = self._valid_taps(x, axis)
        else:
            # Each window holds its own pixel, so that pixel may stand in for a tap beyond the border.
            taps = [_shifted(x, axis, distance) for distance in self._distances(axis)]
        return functools.reduce(tf.maximum, taps)


@_register
class AtrousAveragePooling2D(_AtrousPooling2D):
    """Average over a window at stride 1 with an atrous rate.

    What `AveragePooling2D` becomes when its stride turns into a rate, or when it follows such a stride. For two taps
    of which none lies before the pixel (the default, ResNet-vd's shortcut), each axis averages `x[i]` with
    `x[i + rate]`, or with itself where that lies outside.

    Args:
        rate: distance in pixels between neighbouring taps.
        pool_size: taps of the window, (rows, columns) or one number for both.
        taps_before: how many of them lie before the window's own pixel; None centres the window.
        padding: `same` keeps the size, and taps beyond the border do not count; `valid` gives only windows that lie
            inside of the map.
    """

    RESULTS = ("row_sums", "rows", "column_sums")
    """Results in between: sums along an axis, partial ones too, and the averages of rows."""

    def call(self, inputs: Any) -> Any:
        """Pool rows, then columns; the dtype stays as it is."""
        return self.observed(inputs, lambda name, value: value)

    def observed(self, inputs: Any, observe: Callable[[str, Any], Any]) -> Any:
        """Pool, and pass each result in between through a function of its name and its value."""
        row_sums, rows, column_sums = self.RESULTS
        total, share = self._total_and_share(inputs, 1, functools.partial(observe, row_sums))
        pooled = observe(rows, total * share)
        total, share = self._total_and_share(pooled, 2, functools.partial(observe, column_sums))
        return total * share

    def _total_and_share(self, x: Any, axis: int, observe: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Sums along an axis, and the factors that make averages of them."""
        distances = self._distances(axis)
        share = tf.cast(1.0 / len(distances), x.dtype)
        if self.padding == "valid":
            return _added(self._valid_taps(x, axis), observe), share
        if len(distances) <= 2:
            # With one of two taps missing, the average is the other: the window's own pixel once more.
            return _added([_shifted(x, axis, distance) for distance in distances], observe), share
        shape: list[Any] = [1, 1, 1, 1]
        shape[axis] = tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]
        counts = _added(self._padded_taps(tf.ones(shape, x.dtype), axis), lambda value: value)
        return _added(self._padded_taps(x, axis), observe), tf.math.reciprocal(counts)

    def _padded_taps(self, x: Any, axis: int) -> list[Any]:
        """A copy of the map for each tap, zero where that lies outside."""
        distances = self._distances(axis)
        edges = [(0, 0)] * 4
        edges[axis] = (-distances[0], distances[-1])
        padded = tf.pad(x, edges)
        reach = distances[-1] - distances[0]
        starts = [distance - distances[0] for distance in distances]
        return [tf.ensure_shape(_part(padded, axis, start, start - reach), x.shape) for start in starts]


@_register
class ConvolvedAveragePooling2D(keras.layers.AveragePooling2D):
    """`AveragePooling2D` as a depthwise convolution by a constant, which integer delegates compute.

    The two are equal where every window lies inside of the map; at a border, this one averages with zeros. It has no
    weights, so that nothing trains, prunes or clusters the constant.
    """

    def call(self, inputs: Any) -> Any:
        """Pool; the dtype stays as it is."""
        kernel = tf.fill(
            (*self.pool_size, inputs.shape[-1], 1), tf.cast(1 / math.prod(self.pool_size), inputs.dtype)
        )
        return keras.backend.depthwise_conv2d(inputs, kernel, strides=self.strides, padding=self.padding)


def _added(taps: list[Any], observe: Callable[[Any], Any]) -> Any:
    """Their sum in pairs: ADD_N, which `tf.add_n` becomes, has no integer kernel in TFLite."""
    return functools.reduce(lambda total, tap: observe(total + tap), taps)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    rows, columns = (value, value) if isinstance(value, int) else value
    return (rows, columns)


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    """`x[start:stop]` along an axis, where a `stop` of 0 is the end."""
    bounds = slice(start, stop or None)
    return x[:, bounds] if axis == 1 else x[:, :, bounds]


def _shifted(x: Any, axis: int, distance: int) -> Any:
    """`x[i + distance]` along an axis, and `x[i]` where that lies outside."""
    if distance == 0:
        return x
    if distance > 0:
        parts = [_part(x, axis, distance, 0), _part(x, axis, -distance, 0)]
    else:
        parts = [_part(x, axis, 0, -distance), _part(x, axis, 0, distance)]
    return tf.ensure_shape(tf.concat(parts, axis), x.shape)
