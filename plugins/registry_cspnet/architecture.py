"""The hyperparameters of a CSPNet and what follows from them: strides, channels, levels. No TensorFlow.

Papers: CSPNet arXiv:1911.11929, DarkNet-53 arXiv:1804.02767.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Activation", "BlockType", "CSPNetArchitecture", "Stage", "StageType"]

BlockType = Literal["bottleneck_block", "dark_block", "edge_block"]
StageType = Literal["csp", "cs3", "dark"]
Activation = Literal[
    "leaky_relu",
    "relu",
    "relu6",
    "silu",
    "swish",
    "hard_silu",
    "hard_swish",
    "gelu",
    "sigmoid",
    "hard_sigmoid",
]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: downsampling, then `depth` blocks.

    Args:
        stride: of the downsampling in the undilated network, 1 or 2.
        depth: number of blocks.
        filters: width that the others are factors of.
        down_filters: channels after downsampling; None keeps the input's.
        expand_filters: channels of the expansion, of which one half goes through the blocks; 0 for `dark` stages.
        block_filters: channels of a block.
        hidden_filters: channels between the convolutions of a block.
        channels: channels of the stage's result.
    """

    stride: int
    depth: int
    filters: int
    down_filters: int | None
    expand_filters: int
    block_filters: int
    hidden_filters: int
    channels: int


@dataclass(frozen=True, kw_only=True)
class CSPNetArchitecture:
    """The hyperparameters of a CSPNet, named as in KerasHub's `CSPNetBackbone`; one entry per stage in each tuple."""

    stem_filters: tuple[int, ...]
    stem_kernel_size: int
    stem_strides: int
    stem_padding: Literal["valid", "same"]
    stem_pooling: Literal["max"] | None
    stackwise_depth: tuple[int, ...]
    stackwise_strides: tuple[int, ...]
    stackwise_num_filters: tuple[int, ...]
    block_type: BlockType
    stage_type: StageType
    groups: int = 1
    activation: Activation = "leaky_relu"
    bottle_ratio: tuple[float, ...] = (1.0,)
    block_ratio: tuple[float, ...] = (1.0,)
    expand_ratio: tuple[float, ...] = (1.0,)
    avg_down: bool = False
    down_growth: bool = False
    cross_linear: bool = False

    @property
    def stem_convolution_strides(self) -> tuple[int, ...]:
        """Stride of each convolution of the stem: the first takes the first factor of 2, the last the second."""
        last = len(self.stem_filters) - 1
        return tuple(
            2
            if (index == 0 and self.stem_strides > 1)
            or (index == last and self.stem_strides > 2 and not self.stem_pooling)
            else 1
            for index in range(last + 1)
        )

    def stages(self) -> Iterator[Stage]:
        """Every stage in order. Where a tuple is short, its last entry stands for the rest."""
        for index, (depth, filters) in enumerate(
            zip(self.stackwise_depth, self.stackwise_num_filters, strict=True)
        ):
            stride, bottle, block, expand = (
                values[min(index, len(values) - 1)]
                for values in (self.stackwise_strides, self.bottle_ratio, self.block_ratio, self.expand_ratio)
            )
            dark = self.stage_type == "dark"
            expanded = 0 if dark else round(filters * expand)
            block_filters = round(filters * block)
            yield Stage(
                stride=int(stride),
                depth=depth,
                filters=filters,
                down_filters=filters if dark or self.avg_down or self.down_growth else None,
                expand_filters=expanded,
                block_filters=block_filters,
                hidden_filters=round(block_filters * bottle),
                channels=expanded // 2 if self.stage_type == "cs3" else filters,
            )

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level: those of the last tensor at each stride."""
        stride, at_stride = 1, {}
        for filters, step in zip(self.stem_filters, self.stem_convolution_strides, strict=True):
            stride *= step
            at_stride[stride] = filters
        if self.stem_pooling:
            stride *= 2
            at_stride[stride] = self.stem_filters[-1]
        for stage in self.stages():
            stride *= stage.stride
            at_stride[stride] = stage.channels
        return {f"P{stride.bit_length() - 1}": count for stride, count in at_stride.items() if stride > 1}
