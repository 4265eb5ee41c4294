"""MobileNetV4 of universal inverted bottlenecks (arXiv:2404.10518), layers named after timm's modules."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_mobilenet.architectures import BlockV4, MobileNetV4
from registry_mobilenet.convention import TORCH
from registry_mobilenet.widths import divisible

__all__ = ["v4_pyramid"]

layers = keras.layers


def v4_pyramid(inputs: Any, architecture: MobileNetV4, schedule: AtrousSchedule) -> dict[str, Any]:
    """Append a MobileNetV4.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: which one.
        schedule: strides and rates, the stem's stride told.

    Returns:
        `KerasTensor` per level.
    """
    x = TORCH.convolution(inputs, architecture.stem, 3, stride=2, name="conv_stem")
    x = layers.ReLU(name="bn1_act")(TORCH.normalization(x, "bn1"))
    level, pyramid = 1, {"P1": x}
    stages = architecture.stages()
    for stage, blocks in enumerate(stages):
        for index, block in enumerate(blocks):
            x = _BLOCKS[block.kind](x, block, schedule.next(block.stride), f"blocks_{stage}_{index}")
            level += block.stride == 2
            pyramid[f"P{level}"] = x
    last = BlockV4("conv", architecture.last, 1, kernel=1)
    pyramid[f"P{level}"] = _conv_block(x, last, schedule.next(), f"blocks_{len(stages)}_0")
    return pyramid


def _conv_block(x: Any, block: BlockV4, sampling: Sampling, prefix: str) -> Any:
    x = TORCH.convolution(
        x, block.filters, block.kernel, stride=sampling.stride, rate=sampling.rate_in, name=f"{prefix}_conv"
    )
    return layers.ReLU(name=f"{prefix}_bn1_act")(TORCH.normalization(x, f"{prefix}_bn1"))


def _fused_block(inputs: Any, block: BlockV4, sampling: Sampling, prefix: str) -> Any:
    x = TORCH.convolution(
        inputs,
        divisible(inputs.shape[-1] * block.expansion),
        block.kernel,
        stride=sampling.stride,
        rate=sampling.rate_in,
        name=f"{prefix}_conv_exp",
    )
    x = layers.ReLU(name=f"{prefix}_bn1_act")(TORCH.normalization(x, f"{prefix}_bn1"))
    x = TORCH.convolution(x, block.filters, 1, name=f"{prefix}_conv_pwl")
    return _residual(inputs, TORCH.normalization(x, f"{prefix}_bn2"), block, prefix)


def _universal_block(inputs: Any, block: BlockV4, sampling: Sampling, prefix: str) -> Any:
    """The depthwise convolution after the expansion strides; without it the one before does."""
    # Before the stride is reached, an extra depthwise convolution still runs at the rate so far.
    before = sampling if not block.kernel else Sampling(1, sampling.rate_in, sampling.rate_in)
    x = inputs
    if block.start:
        x = TORCH.depthwise(
            x, block.start, stride=before.stride, rate=before.rate_in, name=f"{prefix}_dw_start_conv"
        )
        x = TORCH.normalization(x, f"{prefix}_dw_start_bn")
    x = TORCH.convolution(x, divisible(inputs.shape[-1] * block.expansion), 1, name=f"{prefix}_pw_exp_conv")
    x = layers.ReLU(name=f"{prefix}_pw_exp_act")(TORCH.normalization(x, f"{prefix}_pw_exp_bn"))
    if block.kernel:
        x = TORCH.depthwise(
            x, block.kernel, stride=sampling.stride, rate=sampling.rate_in, name=f"{prefix}_dw_mid_conv"
        )
        x = layers.ReLU(name=f"{prefix}_dw_mid_act")(TORCH.normalization(x, f"{prefix}_dw_mid_bn"))
    x = TORCH.convolution(x, block.filters, 1, name=f"{prefix}_pw_proj_conv")
    return _residual(inputs, TORCH.normalization(x, f"{prefix}_pw_proj_bn"), block, prefix)


def _residual(inputs: Any, x: Any, block: BlockV4, prefix: str) -> Any:
    if block.stride == 1 and block.filters == inputs.shape[-1]:
        return layers.Add(name=f"{prefix}_add")([inputs, x])
    return x


_BLOCKS = {"conv": _conv_block, "fused": _fused_block, "universal": _universal_block}
