"""The DenseNet graph, one flat chain of layers named as in KerasHub so that its weights load by name."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.layers import AtrousAveragePooling2D, conv2d
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_densenet.variants import STEM_FILTERS, DenseNetArchitecture

__all__ = ["densenet_pyramid"]

layers = keras.layers


def densenet_pyramid(
    inputs: Any, architecture: DenseNetArchitecture, *, output_stride: int
) -> dict[str, Any]:
    """Append a DenseNet to a graph.

    Where a transition pools an odd number of rows or columns, the last one is averaged with itself and stays, as the
    pyramid contract (sizes rounded up) asks; KerasHub drops it. Sizes that stay even down to the deepest level,
    multiples of 32, give KerasHub's numbers everywhere.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: layers per dense block, growth and compression.
        output_stride: 8, 16 or 32; later transitions pool at stride 1 and dense blocks dilate.

    Returns:
        `KerasTensor` per level: P1 the stem, P2 … the dense blocks before their transition's normalization, as
        KerasHub's `pyramid_outputs`.
    """
    x = layers.Conv2D(STEM_FILTERS, 7, strides=2, padding="same", use_bias=False, name="conv1_conv")(inputs)
    x = _bn_relu(x, "conv1")
    pyramid = {"P1": x}
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    schedule = AtrousSchedule(output_stride)
    schedule.next(4)  # stem and pooling
    sampling = Sampling()
    for index, repeats in enumerate(architecture.stackwise_num_repeats, start=1):
        if index > 1:
            sampling = schedule.next(2)
            x = _transition(x, architecture, sampling, f"transition{index - 1}")
        for block in range(1, repeats + 1):
            x = _dense_layer(x, architecture.growth_rate, sampling.rate_out, f"stack{index}_block{block}")
        pyramid[f"P{index + 1}"] = x
    return pyramid


def _bn_relu(x: Any, prefix: str) -> Any:
    x = layers.BatchNormalization(epsilon=1.001e-5, name=f"{prefix}_bn")(x)
    return layers.ReLU(name=f"{prefix}_relu")(x)


def _dense_layer(x: Any, growth_rate: int, rate: int, name: str) -> Any:
    """Pre-activated 1×1 bottleneck and 3×3; its output joins its input."""
    y = _bn_relu(x, f"{name}_1")
    y = layers.Conv2D(4 * growth_rate, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = _bn_relu(y, f"{name}_2")
    y = conv2d(growth_rate, 3, dilation_rate=rate, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def _transition(x: Any, architecture: DenseNetArchitecture, sampling: Sampling, name: str) -> Any:
    x = _bn_relu(x, name)
    x = layers.Conv2D(architecture.compressed(x.shape[-1]), 1, use_bias=False, name=f"{name}_conv")(x)
    if sampling.stride > 1:
        return layers.AveragePooling2D(2, strides=2, padding="same", name=f"{name}_pool")(x)
    return AtrousAveragePooling2D(sampling.rate_in, name=f"{name}_pool")(x)
