"""The original Xception, one flat chain of layers named as in KerasHub."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.layers import depthwise_conv2d
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_xception.pooling import AtrousSameMaxPooling2D
from registry_xception.variants import DEEPEST_STAGE, OriginalArchitecture

__all__ = ["original_pyramid"]

layers = keras.layers


def original_pyramid(
    inputs: Any, architecture: OriginalArchitecture, *, output_stride: int
) -> dict[str, Any]:
    """Append an original Xception to a graph (arXiv:1610.02357).

    The two convolutions of its stem do not pad, which leaves every level a pixel short of the pyramid contract. Three
    pixels of zeros around the image make up for them exactly: sizes become ⌈size ÷ stride⌉, each pixel lies over its
    own place in the image, and the features equal those of KerasHub's network for the image padded so.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: filters and pooling per block.
        output_stride: 8, 16 or 32; later strides become atrous rates.

    Returns:
        `KerasTensor` per level: P1 the stem, P2 … the sums that follow each pooling but the last, P5 the end.
    """
    schedule = AtrousSchedule(output_stride)
    x = layers.ZeroPadding2D(3, name="block1_pad")(inputs)
    for number, filters in enumerate(architecture.stackwise_conv_filters[0], start=1):
        name = f"block1_conv{number}"
        strides = schedule.next(2).stride if number == 1 else 1
        x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=name)(x)
        x = _relu(_batch_norm(x, f"{name}_bn"), name)
    pyramid = {"P1": x}

    rate = 1
    last = len(architecture.stackwise_conv_filters)
    for block in range(2, last):
        filters_of_block = architecture.stackwise_conv_filters[block - 1]
        pooling = architecture.stackwise_pooling[block - 1]
        sampling = schedule.next(2 if pooling else 1)
        x = _residual_block(x, filters_of_block, sampling, pooling=pooling, block=block)
        rate = sampling.rate_out
        if pooling:
            pyramid[f"P{len(pyramid) + 1}"] = x
    for number, filters in enumerate(architecture.stackwise_conv_filters[-1], start=1):
        name = f"block{last}_sepconv{number}"
        x = _relu(_separable(x, filters, rate, name), name)
    pyramid[f"P{DEEPEST_STAGE}"] = x
    return pyramid


def _batch_norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=name)(x)


def _relu(x: Any, prefix: str) -> Any:
    return layers.ReLU(name=f"{prefix}_act")(x)


def _separable(x: Any, filters: int, rate: int, name: str) -> Any:
    """Depthwise 3×3 → pointwise → BN."""
    x = depthwise_conv2d(3, dilation_rate=rate, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
    return _batch_norm(x, f"{name}_bn")


def _residual_block(
    inputs: Any, filters_of_block: tuple[int, ...], sampling: Sampling, *, pooling: bool, block: int
) -> Any:
    x = inputs
    for number, filters in enumerate(filters_of_block, start=1):
        name = f"block{block}_sepconv{number}"
        if block > 2 or number > 1:  # the stem has activated its result already
            x = _relu(x, name)
        x = _separable(x, filters, sampling.rate_in, name)
    if pooling:
        name = f"block{block}_pool"
        pool = (
            layers.MaxPooling2D(3, strides=2, padding="same", name=name)
            if sampling.stride > 1
            else AtrousSameMaxPooling2D(sampling.rate_in, name=name)
        )
        x = pool(x)
    residual, name = inputs, f"block{block}_residual"
    if residual.shape[-1] != x.shape[-1]:
        residual = layers.Conv2D(
            x.shape[-1], 1, strides=sampling.stride, use_bias=False, name=f"{name}_conv"
        )(residual)
        residual = _batch_norm(residual, f"{name}_bn")
    return layers.Add(name=f"{name}_add")([x, residual])
