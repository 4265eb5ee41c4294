"""The graph of TinyNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.backend import keras
from registry.models.layers import AtrousDepthwiseConv2D

layers = keras.layers


def tinynet_pyramid(inputs: Any, *, channels: Mapping[str, int], output_stride: int) -> dict[str, Any]:
    """Append TinyNet to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        channels: channels per level, P1 first.
        output_stride: from here on, levels keep their size and double the atrous rate instead.

    Returns:
        `KerasTensor` per level.
    """
    x, stride, rate = inputs, 1, 1
    pyramid = {}
    for level, filters in channels.items():
        held_back = stride == output_stride
        x = _separable(x, filters, stride=1 if held_back else 2, rate=rate, name=f"{level.lower()}_reduce")
        # The convolution that lost its stride still sees the old grid; those after it see every second pixel.
        stride, rate = (stride, rate * 2) if held_back else (stride * 2, rate)
        x = _separable(x, filters, stride=1, rate=rate, name=f"{level.lower()}_refine")
        pyramid[level] = x
    return pyramid


def _separable(x: Any, filters: int, *, stride: int, rate: int, name: str) -> Any:
    """Depthwise 3×3, pointwise 1×1, each with batch normalization; the first may stride or dilate."""
    if stride > 1:
        # TensorFlow's `same` padding is lopsided at stride 2 and even sizes; padding both sides alike keeps
        # the pixels of every output stride on one grid.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    padding = "valid" if stride > 1 else "same"
    x = AtrousDepthwiseConv2D(
        3, strides=stride, dilation_rate=rate, padding=padding, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_bn")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
    x = layers.BatchNormalization(name=f"{name}_pointwise_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
