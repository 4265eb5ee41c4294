"""The hyperparameters of an EfficientNet and the compound scaling that derives one size from another.

Papers: EfficientNet arXiv:1905.11946, EfficientNetV2 arXiv:2104.00298. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Architecture", "Stage", "lite", "mobile", "v2"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks of one width.

    Args:
        fused: one full convolution in place of the 1×1 expansion and the depthwise convolution (Fused-MBConv).
        kernel_size: of that convolution, or of the depthwise one.
        repeats: number of blocks.
        filters: channels that each block ends with.
        expansion: channels inside a block ÷ channels that enter it; at 1 there is no expansion.
        stride: of the first block in the undilated network.
        squeeze_excite: whether channels are gated before the projection.
    """

    fused: bool
    kernel_size: int
    repeats: int
    filters: int
    expansion: int
    stride: int
    squeeze_excite: bool


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One EfficientNet, all widths and depths resolved.

    Args:
        stem_filters: channels of the stem.
        stages: in order.
        activation: a key of `registry.models.activations.ACTIVATIONS`.
        depthwise: what the names of the depthwise convolutions end with.
        momentum: of batch normalization.
        epsilon: of batch normalization.
        symmetric_padding: strided convolutions pad both sides alike, as PyTorch's do, not as TensorFlow's `same`.
        drop_connect_blocks: number of blocks over which the drop-connect rate grows from 0 to its full value.
    """

    stem_filters: int
    stages: tuple[Stage, ...]
    activation: Literal["swish", "relu6"] = "swish"
    depthwise: Literal["dwconv", "dwconv2"] = "dwconv"
    momentum: float = 0.99
    epsilon: float = 1e-3
    symmetric_padding: bool = False
    drop_connect_blocks: int

    def symmetric(self) -> Architecture:
        """The same network with PyTorch's padding and the batch normalization constants of timm."""
        return replace(self, symmetric_padding=True, momentum=0.9, epsilon=1e-5)

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level: those of the last block of each stride."""
        widths, level = {}, 1
        before = self.stem_filters
        for stage in self.stages:
            if stage.stride > 1:
                widths[f"P{level}"] = before
                level += 1
            before = stage.filters
        widths[f"P{level}"] = before
        return widths


# (kernel size, repeats, filters, expansion, stride) of B0, found by search.
_MOBILE = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)
_STEM = 32

# V2: stem filters, then (fused, repeats, filters, expansion, stride); the kernel is 3×3 throughout, and exactly
# the stages that are not fused have squeeze-excite.
_V2_BASE = (
    (True, 1, 16, 1, 1),
    (True, 2, 32, 4, 2),
    (True, 2, 48, 4, 2),
    (False, 3, 96, 4, 2),
    (False, 5, 112, 6, 1),
    (False, 8, 192, 6, 2),
)
_V2: dict[str, tuple[int, tuple[tuple[bool, int, int, int, int], ...]]] = {
    "b": (32, _V2_BASE),
    "s": (
        24,
        (
            (True, 2, 24, 1, 1),
            (True, 4, 48, 4, 2),
            (True, 4, 64, 4, 2),
            (False, 6, 128, 4, 2),
            (False, 9, 160, 6, 1),
            (False, 15, 256, 6, 2),
        ),
    ),
    "m": (
        24,
        (
            (True, 3, 24, 1, 1),
            (True, 5, 48, 4, 2),
            (True, 5, 80, 4, 2),
            (False, 7, 160, 4, 2),
            (False, 14, 176, 6, 1),
            (False, 18, 304, 6, 2),
            (False, 5, 512, 6, 1),
        ),
    ),
    "l": (
        32,
        (
            (True, 4, 32, 1, 1),
            (True, 7, 64, 4, 2),
            (True, 7, 96, 4, 2),
            (False, 10, 192, 4, 2),
            (False, 19, 224, 6, 1),
            (False, 25, 384, 6, 2),
            (False, 7, 640, 6, 1),
        ),
    ),
}


def _scaled_filters(filters: int, width: float, *, keep: float = 0.9) -> int:
    """The multiple of 8 nearest to `filters · width`; one more where that loses too much of it."""
    wanted = filters * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < keep * wanted else nearest


def _scaled_repeats(repeats: int, depth: float) -> int:
    return math.ceil(repeats * depth)


def mobile(width: float, depth: float) -> Architecture:
    """B0–B7: everything scaled, stem included.

    Args:
        width: factor on the filters.
        depth: factor on the repeats.
    """
    stages = tuple(
        Stage(
            fused=False,
            kernel_size=kernel_size,
            repeats=_scaled_repeats(repeats, depth),
            filters=_scaled_filters(filters, width),
            expansion=expansion,
            stride=stride,
            squeeze_excite=True,
        )
        for kernel_size, repeats, filters, expansion, stride in _MOBILE
    )
    return Architecture(
        stem_filters=_scaled_filters(_STEM, width),
        stages=stages,
        drop_connect_blocks=sum(stage.repeats for stage in stages),
    )


def lite(width: float, depth: float) -> Architecture:
    """Lite0–Lite4: ReLU6, no squeeze-excite; the stem keeps its width, the first and last stage their depth.

    Arguments are those of `mobile`.
    """
    last = len(_MOBILE) - 1
    stages = tuple(
        Stage(
            fused=False,
            kernel_size=kernel_size,
            repeats=repeats if index in (0, last) else _scaled_repeats(repeats, depth),
            filters=_scaled_filters(filters, width),
            expansion=expansion,
            stride=stride,
            squeeze_excite=False,
        )
        for index, (kernel_size, repeats, filters, expansion, stride) in enumerate(_MOBILE)
    )
    return Architecture(
        stem_filters=_STEM,
        stages=stages,
        activation="relu6",
        drop_connect_blocks=sum(stage.repeats for stage in stages),
    )


def v2(size: str, width: float = 1.0, depth: float = 1.0) -> Architecture:
    """EfficientNetV2.

    Args:
        size: `b` for B0–B3, `s`, `m` or `l`.
        width: factor on the filters; any loss by rounding is accepted.
        depth: factor on the repeats.
    """
    stem_filters, table = _V2[size]
    return Architecture(
        stem_filters=_scaled_filters(stem_filters, width, keep=0),
        stages=tuple(
            Stage(
                fused=fused,
                kernel_size=3,
                repeats=_scaled_repeats(repeats, depth),
                filters=_scaled_filters(filters, width, keep=0),
                expansion=expansion,
                stride=stride,
                squeeze_excite=not fused,
            )
            for fused, repeats, filters, expansion, stride in table
        ),
        depthwise="dwconv2",
        momentum=0.9,
        # The reference counts the blocks before scaling, so that deeper networks drop more.
        drop_connect_blocks=sum(repeats for _, repeats, *_ in table),
    )
