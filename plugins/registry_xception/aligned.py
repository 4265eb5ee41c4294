"""The aligned Xception of DeepLabV3+, one flat chain of layers named after TensorFlow DeepLab's variable scopes."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.layers import conv2d, depthwise_conv2d
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_xception.variants import DEEPEST_STAGE, AlignedArchitecture, Unit

__all__ = ["aligned_pyramid"]

layers = keras.layers

_NO_GRID = (1, 1, 1)


def aligned_pyramid(
    inputs: Any,
    architecture: AlignedArchitecture,
    *,
    output_stride: int,
    multi_grid: tuple[int, int, int] | None = None,
) -> dict[str, Any]:
    """Append an aligned Xception to a graph (arXiv:1802.02611, section 3.2).

    Strided kernels stand on one pixel of zeros at every side, whatever the size ("fixed padding"), so that features
    at every output stride lie on one grid.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: units of the three flows.
        output_stride: 8, 16 or 32; later strides become atrous rates.
        multi_grid: factor on the rate of each separable convolution of the last unit.

    Returns:
        `KerasTensor` per level. P1 … P4 are the last tensors of their stride: inside each strided unit, the normalized
        second pointwise convolution before its activation. P2 is so the very tensor that DeepLabV3+ takes as low-level
        features (`…/separable_conv2_pointwise`), and its decoder's weights fit; timm's extractor takes its ReLU.
        P5 is the end of the exit flow.
    """
    schedule = AtrousSchedule(output_stride)
    first, second = architecture.stem
    x = layers.ZeroPadding2D(1, name="entry_flow_conv1_1_pad")(inputs)
    strides = schedule.next(2).stride
    x = layers.Conv2D(first, 3, strides=strides, use_bias=False, name="entry_flow_conv1_1")(x)
    x = _relu(_batch_norm(x, "entry_flow_conv1_1"), "entry_flow_conv1_1")
    x = layers.Conv2D(second, 3, padding="same", use_bias=False, name="entry_flow_conv1_2")(x)
    x = _relu(_batch_norm(x, "entry_flow_conv1_2"), "entry_flow_conv1_2")

    units = architecture.units()
    pyramid: dict[str, Any] = {}
    for unit in units:
        grid = multi_grid if unit is units[-1] else None
        x, before_stride = _unit(x, unit, schedule.next(unit.stride), grid or _NO_GRID)
        if unit.stride > 1:
            pyramid[f"P{len(pyramid) + 1}"] = before_stride
    pyramid[f"P{DEEPEST_STAGE}"] = x
    return pyramid


def _batch_norm(x: Any, prefix: str) -> Any:
    return layers.BatchNormalization(epsilon=1e-3, momentum=0.9997, name=f"{prefix}_bn")(x)


def _relu(x: Any, prefix: str) -> Any:
    return layers.ReLU(name=f"{prefix}_relu")(x)


def _unit(inputs: Any, unit: Unit, sampling: Sampling, multi_grid: tuple[int, int, int]) -> tuple[Any, Any]:
    """Append one unit; also returns what its strided convolution starts from, before the activation."""
    x = before_stride = inputs
    last = len(unit.filters)
    for number, (filters, factor) in enumerate(zip(unit.filters, multi_grid, strict=True), start=1):
        name = f"{unit.name}_separable_conv{number}"
        if number == last:
            before_stride = x
        if not unit.post_activation:
            x = _relu(x, name)
        x = _separable(
            x,
            filters,
            stride=sampling.stride if number == last else 1,
            rate=sampling.rate_in * factor,
            activation=unit.post_activation,
            name=name,
        )
    if unit.shortcut == "none":
        return x, before_stride
    shortcut = inputs
    if unit.shortcut == "conv":
        name = f"{unit.name}_shortcut"
        shortcut = layers.Conv2D(unit.filters[-1], 1, strides=sampling.stride, use_bias=False, name=name)(
            inputs
        )
        shortcut = _batch_norm(shortcut, name)
    return layers.Add(name=f"{unit.name}_add")([x, shortcut]), before_stride


def _separable(x: Any, filters: int, *, stride: int, rate: int, activation: bool, name: str) -> Any:
    """Depthwise 3×3 → BN → pointwise → BN, each followed by ReLU where `activation` says so."""
    depthwise, pointwise = f"{name}_depthwise", f"{name}_pointwise"
    padding = "same"
    if stride > 1:
        x = layers.ZeroPadding2D(1, name=f"{depthwise}_pad")(x)
        padding = "valid"
    x = depthwise_conv2d(
        3, strides=stride, dilation_rate=rate, padding=padding, use_bias=False, name=depthwise
    )(x)
    x = _batch_norm(x, depthwise)
    if activation:
        x = _relu(x, depthwise)
    x = conv2d(filters, 1, use_bias=False, name=pointwise)(x)
    x = _batch_norm(x, pointwise)
    return _relu(x, pointwise) if activation else x
