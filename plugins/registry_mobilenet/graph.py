"""MobileNetV1, V2 and V3, flat chains of layers named as in tf_keras.applications so that its weights load by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from registry.backend import keras
from registry.models.activations import activation
from registry.models.layers import squeeze_excite
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_mobilenet.architectures import (
    Architecture,
    BlockV2,
    BlockV3,
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
)
from registry_mobilenet.convention import SLIM, TENSORFLOW, TORCH, Convention
from registry_mobilenet.universal import v4_pyramid
from registry_mobilenet.widths import divisible

__all__ = ["mobilenet_pyramid"]

layers = keras.layers


def mobilenet_pyramid(inputs: Any, architecture: Architecture, *, output_stride: int) -> dict[str, Any]:
    """Append a MobileNet to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: which one.
        output_stride: 8, 16 or 32; later strides become atrous rates.

    Returns:
        `KerasTensor` per level: the last block's output at each stride, or the stem's where no block is. P5 of V3 and
        V4 is the 1×1 convolution after the blocks, P5 of V2 the block before it, as DeepLab reads them.
    """
    schedule = AtrousSchedule(output_stride, early=getattr(architecture, "early_rate", False))
    schedule.next(2)  # the stem
    if isinstance(architecture, MobileNetV1):
        return _v1_pyramid(inputs, architecture, schedule)
    if isinstance(architecture, MobileNetV2):
        return _v2_pyramid(inputs, architecture, schedule)
    if isinstance(architecture, MobileNetV3):
        return _v3_pyramid(inputs, architecture, schedule)
    return v4_pyramid(inputs, architecture, schedule)


def _v1_pyramid(inputs: Any, architecture: MobileNetV1, schedule: AtrousSchedule) -> dict[str, Any]:
    x = SLIM.convolution(inputs, architecture.stem, 3, stride=2, name="conv1")
    x = layers.ReLU(6.0, name="conv1_relu")(SLIM.normalization(x, "conv1_bn"))
    stage, pyramid = 1, {"P1": x}
    for index, (stride, filters) in enumerate(architecture.blocks(), start=1):
        sampling = schedule.next(stride)
        # tf-keras pads one row and column at the end for any size; `same` does so for even ones, and gives odd
        # ones the last pixel that the paper's network sees.
        x = SLIM.depthwise(x, 3, stride=sampling.stride, rate=sampling.rate_in, name=f"conv_dw_{index}")
        x = layers.ReLU(6.0, name=f"conv_dw_{index}_relu")(SLIM.normalization(x, f"conv_dw_{index}_bn"))
        x = SLIM.convolution(x, filters, 1, name=f"conv_pw_{index}")
        x = layers.ReLU(6.0, name=f"conv_pw_{index}_relu")(SLIM.normalization(x, f"conv_pw_{index}_bn"))
        stage += stride == 2
        pyramid[f"P{stage}"] = x
    return pyramid


def _v2_pyramid(inputs: Any, architecture: MobileNetV2, schedule: AtrousSchedule) -> dict[str, Any]:
    x = TENSORFLOW.convolution(inputs, architecture.stem, 3, stride=2, name="Conv1")
    x = layers.ReLU(6.0, name="Conv1_relu")(TENSORFLOW.normalization(x, "bn_Conv1"))
    stage, pyramid = 1, {"P1": x}
    for index, block in enumerate(architecture.blocks()):
        prefix = f"block_{index}_" if index else "expanded_conv_"
        x = _v2_block(x, block, schedule.next(block.stride), prefix)
        stage += block.stride == 2
        pyramid[f"P{stage}"] = x
    return pyramid


def _v2_block(inputs: Any, block: BlockV2, sampling: Sampling, prefix: str) -> Any:
    x, width = inputs, inputs.shape[-1]
    if block.expansion > 1:
        x = TENSORFLOW.convolution(x, block.expansion * width, 1, name=f"{prefix}expand")
        x = TENSORFLOW.normalization(x, f"{prefix}expand_BN")
        x = layers.ReLU(6.0, name=f"{prefix}expand_relu")(x)
    x = TENSORFLOW.depthwise(x, 3, stride=sampling.stride, rate=sampling.rate_in, name=f"{prefix}depthwise")
    x = TENSORFLOW.normalization(x, f"{prefix}depthwise_BN")
    x = layers.ReLU(6.0, name=f"{prefix}depthwise_relu")(x)
    x = TENSORFLOW.convolution(x, block.filters, 1, name=f"{prefix}project")
    x = TENSORFLOW.normalization(x, f"{prefix}project_BN")
    if block.stride == 1 and block.filters == width:
        x = layers.Add(name=f"{prefix}add")([inputs, x])
    return x


def _v3_pyramid(inputs: Any, architecture: MobileNetV3, schedule: AtrousSchedule) -> dict[str, Any]:
    convention = TORCH if architecture.torch_padding else TENSORFLOW
    if architecture.norm_epsilon is not None:
        convention = replace(convention, epsilon=architecture.norm_epsilon)
    x = convention.convolution(inputs, architecture.stem, 3, stride=2, name="Conv", pad_name="Conv/pad")
    x = convention.normalization(x, "Conv/BatchNorm")
    x = activation(architecture.activation, name="Conv/activation")(x)
    stage, pyramid = 1, {"P1": x}
    for index, block in enumerate(architecture.blocks()):
        prefix = f"expanded_conv_{index}/" if index else "expanded_conv/"
        x = _v3_block(x, block, schedule.next(block.stride), prefix, convention, expand=index > 0)
        stage += block.stride == 2
        pyramid[f"P{stage}"] = x
    x = convention.convolution(x, architecture.last, 1, name="Conv_1")
    x = convention.normalization(x, "Conv_1/BatchNorm")
    pyramid[f"P{stage}"] = activation(architecture.activation, name="Conv_1/activation")(x)
    return pyramid


def _v3_block(
    inputs: Any, block: BlockV3, sampling: Sampling, prefix: str, convention: Convention, *, expand: bool
) -> Any:
    x, width = inputs, inputs.shape[-1]
    expanded = divisible(width * block.expansion)
    if expand:
        x = convention.convolution(x, expanded, 1, name=f"{prefix}expand")
        x = convention.normalization(x, f"{prefix}expand/BatchNorm")
        x = activation(block.activation, name=f"{prefix}expand/activation")(x)
    x = convention.depthwise(
        x,
        block.kernel,
        stride=sampling.stride,
        rate=sampling.rate_in,
        name=f"{prefix}depthwise",
        pad_name=f"{prefix}depthwise/pad",
    )
    x = convention.normalization(x, f"{prefix}depthwise/BatchNorm")
    x = activation(block.activation, name=f"{prefix}depthwise/activation")(x)
    if block.squeeze_excite:
        parts = {
            "pool": "AvgPool",
            "reduce": "Conv",
            "activation": "Relu",
            "expand": "Conv_1",
            "gate": "gate",
            "scale": "Mul",
        }
        x = squeeze_excite(
            x,
            divisible(expanded * 0.25),
            gate="hard_sigmoid",
            names={part: f"{prefix}squeeze_excite/{name}" for part, name in parts.items()},
        )
    x = convention.convolution(x, block.filters, 1, name=f"{prefix}project")
    x = convention.normalization(x, f"{prefix}project/BatchNorm")
    if block.stride == 1 and block.filters == width:
        x = layers.Add(name=f"{prefix}Add")([inputs, x])
    return x
