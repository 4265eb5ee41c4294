"""Dilated and grouped convolutions as one native operation, and their gradients on every device.

TensorFlow has kernels for more than it differentiates: without oneDNN (on CPUs without AVX-512, where it is off by
default) a dilated convolution on CPU has no gradient, and a dilated depthwise convolution has a wrong one or none at
all. What a device can do is found by trying.

All tensors are NHWC: (batch, height, width, channels).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from registry.backend import tf

__all__ = ["atrous_conv2d", "atrous_depthwise_conv2d", "has_grouped_kernels", "traced_for_others"]

Pair = tuple[int, int]

_for_others: ContextVar[bool] = ContextVar("traced for others", default=False)


@contextmanager
def traced_for_others() -> Iterator[None]:
    """Trace native operations within this block, whatever this device computes.

    For a graph that will run elsewhere, as a `.tflite` file, or that is only looked at: it must not depend on the
    machine that made it.
    """
    token = _for_others.set(True)
    try:
        yield
    finally:
        _for_others.reset(token)


def atrous_conv2d(inputs: Any, kernel: Any, *, rate: Pair, padding: str) -> Any:
    """Convolve with a dilated kernel, at stride 1, in one native operation.

    Args:
        inputs: tensor (batch, height, width, channels).
        kernel: tensor (rows, columns, channels ÷ groups, filters).
        rate: atrous rate of rows and columns.
        padding: `SAME` or `VALID`.

    Returns:
        Tensor (batch, height, width, filters), smaller by the kernel's reach if `VALID`.
    """
    kernel = tf.convert_to_tensor(kernel)
    is_grouped = inputs.shape[-1] != kernel.shape[2]
    if is_grouped or _differentiates_dilation(inputs.dtype):
        return tf.nn.conv2d(inputs, kernel, 1, padding, dilations=rate)

    @tf.custom_gradient
    def convolve(x: Any, w: Any) -> tuple[Any, Any]:
        y = tf.nn.conv2d(x, w, 1, padding, dilations=rate)

        def gradient(upstream: Any) -> Any:
            return (
                _input_gradient(w, upstream, rate, padding),
                _kernel_gradient(x, w, upstream, rate, padding),
            )

        return y, gradient

    return convolve(inputs, kernel)


def _input_gradient(kernel: Any, upstream: Any, rate: Pair, padding: str) -> Any:
    """∂L/∂x is the correlation turned around: `upstream` convolved with the kernel mirrored in rows and columns.

    With y[p] = Σ_t x[p + t·r - b]·w[t], x[q] receives Σ_t upstream[q - t·r + b]·w[t]ᵀ.
    """
    mirrored = tf.transpose(tf.reverse(kernel, [0, 1]), (0, 1, 3, 2))
    edges = []
    for extent, step in zip(kernel.shape[:2], rate, strict=True):
        reach = (extent - 1) * step
        before, after = _same_edges(reach) if padding == "SAME" else (0, 0)
        edges.append((reach - before, reach - after))
    padded = tf.pad(upstream, ((0, 0), *edges, (0, 0)))
    return tf.nn.conv2d(padded, mirrored, 1, "VALID", dilations=rate)


def _kernel_gradient(x: Any, kernel: Any, upstream: Any, rate: Pair, padding: str) -> Any:
    """∂L/∂w[t] = Σ_p x[p + t·r - b]ᵀ · upstream[p]: for each tap, over the pixels that it meets."""
    rows, columns = kernel.shape[:2]
    edges = [
        _same_edges((extent - 1) * step) if padding == "SAME" else (0, 0)
        for extent, step in zip((rows, columns), rate, strict=True)
    ]
    sides = (tf.shape(x)[1], tf.shape(x)[2])
    outputs = (tf.shape(upstream)[1], tf.shape(upstream)[2])
    taps = []
    for row in range(rows):
        for column in range(columns):
            starts = (row * rate[0] - edges[0][0], column * rate[1] - edges[1][0])
            spans = [
                _overlap(start, side, length)
                for start, side, length in zip(starts, sides, outputs, strict=True)
            ]
            (top, bottom), (left, right) = spans
            met = upstream[:, top:bottom, left:right]
            seen = x[:, top + starts[0] : bottom + starts[0], left + starts[1] : right + starts[1]]
            taps.append(
                tf.matmul(
                    tf.reshape(seen, (-1, x.shape[-1])),
                    tf.reshape(met, (-1, upstream.shape[-1])),
                    transpose_a=True,
                )
            )
    return tf.reshape(tf.stack(taps), kernel.shape)


def _same_edges(reach: int) -> Pair:
    """Zeros before and after that `SAME` padding adds at stride 1."""
    return reach // 2, reach - reach // 2


def _overlap(start: int, side: Any, length: Any) -> tuple[Any, Any]:
    """The outputs p in 0 … length for which p + start lies within 0 … side; empty where there are none."""
    first = tf.minimum(tf.maximum(0, -start), length)
    return first, tf.maximum(tf.minimum(length, side - start), first)


def atrous_depthwise_conv2d(inputs: Any, kernel: Any, *, rate: tuple[int, int], padding: str) -> Any:
    """Convolve each channel with its own dilated kernel: natively where the device can, with the right gradient.

    Args:
        inputs: tensor (batch, height, width, channels).
        kernel: tensor (rows, columns, channels, multiplier).
        rate: atrous rate of rows and columns.
        padding: `SAME` or `VALID`.

    Returns:
        Tensor (batch, height, width, channels · multiplier), smaller by the kernel's reach if `VALID`.
    """
    native = max(rate) > 1 and _has_dilated_depthwise(inputs.dtype)
    convolve = _native_depthwise_conv2d if native else _composite_depthwise_conv2d
    return convolve(inputs, kernel, rate=rate, padding=padding)


def _has_dilated_depthwise(dtype: Any) -> bool:
    """Whether to trace a dilated DepthwiseConv2dNative in that dtype: where the device computes it, or for others."""
    return _for_others.get() or _computes_dilated_depthwise(dtype)


@functools.cache
def _computes_dilated_depthwise(dtype: Any) -> bool:
    """Whether this device computes a dilated DepthwiseConv2dNative in that dtype: only trying it tells."""
    with tf.init_scope():
        try:
            tf.raw_ops.DepthwiseConv2dNative(
                input=tf.zeros([1, 3, 3, 1], dtype),
                filter=tf.zeros([3, 3, 1, 1], dtype),
                strides=[1, 1, 1, 1],
                padding="SAME",
                dilations=[1, 2, 2, 1],
            )
        except tf.errors.OpError:
            return False
    return True


def _composite_depthwise_conv2d(inputs: Any, kernel: Any, *, rate: tuple[int, int], padding: str) -> Any:
    return tf.nn.depthwise_conv2d(inputs, kernel, [1, 1, 1, 1], padding, dilations=list(rate))


def _native_depthwise_conv2d(inputs: Any, kernel: Any, *, rate: tuple[int, int], padding: str) -> Any:
    @tf.custom_gradient
    def convolve(x: Any, w: Any) -> tuple[Any, Any]:
        y = tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=w, strides=[1, 1, 1, 1], padding=padding, dilations=[1, *rate, 1]
        )

        def gradient(upstream: Any) -> Any:
            # The raw operation's CPU gradient is silently wrong for SAME and raises for VALID, so the composite
            # operation, equal in its values, is differentiated in its place.
            with tf.GradientTape() as tape:
                tape.watch([x, w])
                composite = _composite_depthwise_conv2d(x, w, rate=rate, padding=padding)
            return tape.gradient(composite, [x, w], output_gradients=upstream)

        return y, gradient

    return convolve(inputs, tf.convert_to_tensor(kernel))


def has_grouped_kernels(dtype: Any) -> bool:
    """Whether to trace a grouped convolution as one operation: where the device has it and its gradient, or for others.

    On CPU it is oneDNN that has. Without it the gradient is missing, and so is the operation fused with a bias.
    """
    return _for_others.get() or _differentiates(dtype, channels=2, rate=1)


def _differentiates_dilation(dtype: Any) -> bool:
    """Whether the gradient of a dilated convolution is the operation's own."""
    return _for_others.get() or _differentiates(dtype, channels=1, rate=2)


@functools.cache
def _differentiates(dtype: Any, *, channels: int, rate: int) -> bool:
    """Whether this device computes a convolution of one channel per group and its gradients: only trying it tells.

    By raw operations: where this is called, no tape records.
    """
    with tf.init_scope():
        x, w = tf.zeros([1, 3, 3, channels], dtype), tf.zeros([2, 2, 1, channels], dtype)
        form: dict[str, Any] = {
            "strides": [1, 1, 1, 1],
            "padding": "SAME",
            "dilations": [1, rate, rate, 1],
        }
        try:
            y = tf.raw_ops.Conv2D(input=x, filter=w, **form)
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=w, out_backprop=y, **form)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=w.shape, out_backprop=y, **form)
        except tf.errors.OpError:
            return False
    return True
