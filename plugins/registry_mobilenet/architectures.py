"""What the MobileNets are made of, as tables. Nothing here imports TensorFlow.

Papers: V1 arXiv:1704.04861, V2 arXiv:1801.04381, V3 arXiv:1905.02244, V4 arXiv:2404.10518.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from registry_mobilenet.widths import divisible, levels

__all__ = [
    "Architecture",
    "BlockV2",
    "BlockV3",
    "BlockV4",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "MobileNetV4",
]


# Filters and stride of each depthwise separable convolution.
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


@dataclass(frozen=True, kw_only=True)
class MobileNetV1:
    """Depthwise separable convolutions in a row.

    Args:
        alpha: width multiplier, rounded down.
    """

    alpha: float = 1.0

    @property
    def stem(self) -> int:
        """Filters of the first convolution."""
        return int(32 * self.alpha)

    def blocks(self) -> list[tuple[int, int]]:
        """Stride and filters of each block."""
        return [(stride, int(filters * self.alpha)) for filters, stride in _V1]

    def channels(self) -> dict[str, int]:
        """Channels per level."""
        return levels(self.stem, self.blocks())


@dataclass(frozen=True)
class BlockV2:
    """An inverted residual: 1×1 expansion → 3×3 depthwise → linear 1×1 projection.

    Args:
        expansion: channels of the depthwise convolution per channel of the input; 1 leaves the expansion out.
        filters: of the projection.
        stride: of the depthwise convolution.
    """

    expansion: int
    filters: int
    stride: int


# Expansion, filters, blocks, stride of the first of them.
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclass(frozen=True, kw_only=True)
class MobileNetV2:
    """Inverted residuals with linear bottlenecks.

    Args:
        alpha: width multiplier, rounded to multiples of eight.
        early_rate: a depthwise convolution that loses its stride has the atrous rate of those after it.
    """

    alpha: float = 1.0
    early_rate: bool = False

    @property
    def stem(self) -> int:
        """Filters of the first convolution."""
        return divisible(32 * self.alpha)

    def blocks(self) -> list[BlockV2]:
        """Each block, with its filters."""
        return [
            BlockV2(expansion, divisible(int(filters * self.alpha)), stride if repeat == 0 else 1)
            for expansion, filters, repeats, stride in _V2
            for repeat in range(repeats)
        ]

    def channels(self) -> dict[str, int]:
        """Channels per level."""
        return levels(self.stem, ((block.stride, block.filters) for block in self.blocks()))


@dataclass(frozen=True)
class BlockV3:
    """An inverted residual with squeeze-excite and an activation of its own.

    Args:
        expansion: channels of the depthwise convolution per channel of the input, before rounding.
        filters: of the projection.
        kernel: size of the depthwise convolution.
        stride: of the depthwise convolution.
        squeeze_excite: whether channels are gated before the projection.
        activation: `relu` or `hard_swish`.
    """

    expansion: float
    filters: int
    kernel: int
    stride: int
    squeeze_excite: bool
    activation: str


_RE, _HS = "relu", "hard_swish"

# Per stage, which is also the numbering of timm and KerasHub:
# expansion, filters, kernel, stride, squeeze-excite, activation.
_V3: dict[str, tuple[tuple[tuple[float, int, int, int, bool, str], ...], ...]] = {
    "small": (
        ((1, 16, 3, 2, True, _RE),),
        ((72 / 16, 24, 3, 2, False, _RE), (88 / 24, 24, 3, 1, False, _RE)),
        ((4, 40, 5, 2, True, _HS), (6, 40, 5, 1, True, _HS), (6, 40, 5, 1, True, _HS)),
        ((3, 48, 5, 1, True, _HS), (3, 48, 5, 1, True, _HS)),
        ((6, 96, 5, 2, True, _HS), (6, 96, 5, 1, True, _HS), (6, 96, 5, 1, True, _HS)),
    ),
    "large": (
        ((1, 16, 3, 1, False, _RE),),
        ((4, 24, 3, 2, False, _RE), (3, 24, 3, 1, False, _RE)),
        ((3, 40, 5, 2, True, _RE), (3, 40, 5, 1, True, _RE), (3, 40, 5, 1, True, _RE)),
        (
            (6, 80, 3, 2, False, _HS),
            (2.5, 80, 3, 1, False, _HS),
            (2.3, 80, 3, 1, False, _HS),
            (2.3, 80, 3, 1, False, _HS),
        ),
        ((6, 112, 3, 1, True, _HS), (6, 112, 3, 1, True, _HS)),
        ((6, 160, 5, 2, True, _HS), (6, 160, 5, 1, True, _HS), (6, 160, 5, 1, True, _HS)),
    ),
}


@dataclass(frozen=True, kw_only=True)
class MobileNetV3:
    """Inverted residuals found by search, with hard-swish and squeeze-excite in the late ones.

    Args:
        size: `small` or `large`.
        alpha: width multiplier, rounded to multiples of eight; the stem keeps its 16 filters.
        minimalistic: without squeeze-excite, hard-swish and 5×5 kernels.
        torch_padding: strided layers pad both sides alike, as the networks trained in PyTorch do, and batch
            normalization has PyTorch's epsilon.
        norm_epsilon: of every batch normalization, where it is another one.
        early_rate: a depthwise convolution that loses its stride has the atrous rate of those after it.
    """

    size: Literal["small", "large"]
    alpha: float = 1.0
    minimalistic: bool = False
    torch_padding: bool = False
    norm_epsilon: float | None = None
    early_rate: bool = False

    @property
    def stem(self) -> int:
        """Filters of the first convolution."""
        return 16

    @property
    def activation(self) -> str:
        """Activation of the first and the last convolution."""
        return _RE if self.minimalistic else _HS

    @property
    def last(self) -> int:
        """Filters of the 1×1 convolution after the blocks."""
        return divisible(self.blocks()[-1].filters * 6)

    def stages(self) -> list[list[BlockV3]]:
        """The blocks by stage."""
        return [
            [
                BlockV3(
                    expansion,
                    divisible(filters * self.alpha),
                    3 if self.minimalistic else kernel,
                    stride,
                    squeeze_excite and not self.minimalistic,
                    _RE if self.minimalistic else activation,
                )
                for expansion, filters, kernel, stride, squeeze_excite, activation in stage
            ]
            for stage in _V3[self.size]
        ]

    def blocks(self) -> list[BlockV3]:
        """Each block in order."""
        return [block for stage in self.stages() for block in stage]

    def channels(self) -> dict[str, int]:
        """Channels per level; P5 is the 1×1 convolution that the paper's segmentation heads read."""
        blocks = ((block.stride, block.filters) for block in self.blocks())
        return levels(self.stem, blocks, last=self.last)


@dataclass(frozen=True)
class BlockV4:
    """A block of MobileNetV4.

    `conv` is one convolution; `fused` a k×k expansion and a 1×1 projection; `universal` the universal inverted
    bottleneck: depthwise → 1×1 expansion → depthwise → 1×1 projection, where either depthwise may be left out.

    Args:
        kind: `conv`, `fused` or `universal`.
        filters: of the block's output.
        stride: of the convolution; in a universal block, of its last depthwise convolution.
        expansion: channels between expansion and projection per channel of the input.
        kernel: size of the convolution; in a universal block, of the depthwise one after the expansion, or 0.
        start: size of the depthwise convolution before the expansion, or 0.
    """

    kind: Literal["conv", "fused", "universal"]
    filters: int
    stride: int
    expansion: int = 1
    kernel: int = 0
    start: int = 0


def _universal(
    start: int, kernel: int, expansion: int, *, stride: int = 1, times: int = 1
) -> tuple[tuple[int, int, int, int], ...]:
    return ((start, kernel, expansion, stride),) * times


# Filters and blocks (size of the depthwise kernel before and after the expansion, expansion, stride) of the stages
# that end at strides 8, 16 and 32. Stages before them are spelt out in `MobileNetV4.stages`.
_V4: dict[str, tuple[tuple[int, tuple[tuple[int, int, int, int], ...]], ...]] = {
    "small": (
        (
            96,
            (
                *_universal(5, 5, 3, stride=2),
                *_universal(0, 3, 2, times=4),
                *_universal(3, 0, 4),
            ),
        ),
        (
            128,
            (
                *_universal(3, 3, 6, stride=2),
                *_universal(5, 5, 4),
                *_universal(0, 5, 4),
                *_universal(0, 5, 3),
                *_universal(0, 3, 4, times=2),
            ),
        ),
    ),
    "medium": (
        (80, (*_universal(3, 5, 4, stride=2), *_universal(3, 3, 2))),
        (
            160,
            (
                *_universal(3, 5, 6, stride=2),
                *_universal(3, 3, 4, times=2),
                *_universal(3, 5, 4),
                *_universal(3, 3, 4),
                *_universal(3, 0, 4),
                *_universal(0, 0, 2),
                *_universal(3, 0, 4),
            ),
        ),
        (
            256,
            (
                *_universal(5, 5, 6, stride=2),
                *_universal(5, 5, 4),
                *_universal(3, 5, 4, times=2),
                *_universal(0, 0, 4),
                *_universal(3, 0, 4),
                *_universal(3, 5, 2),
                *_universal(5, 5, 4),
                *_universal(0, 0, 4, times=2),
                *_universal(5, 0, 2),
            ),
        ),
    ),
    "large": (
        (96, (*_universal(3, 5, 4, stride=2), *_universal(3, 3, 4))),
        (
            192,
            (
                *_universal(3, 5, 4, stride=2),
                *_universal(3, 3, 4, times=3),
                *_universal(3, 5, 4),
                *_universal(5, 3, 4, times=5),
                *_universal(3, 0, 4),
            ),
        ),
        (
            512,
            (
                *_universal(5, 5, 4, stride=2),
                *_universal(5, 5, 4, times=3),
                *_universal(5, 0, 4),
                *_universal(5, 3, 4),
                *_universal(5, 0, 4, times=2),
                *_universal(5, 3, 4),
                *_universal(5, 5, 4),
                *_universal(5, 0, 4, times=3),
            ),
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class MobileNetV4:
    """The convolutional MobileNetV4s, with timm's stages and numbering.

    Args:
        size: `small`, `medium` or `large`.
        alpha: width multiplier, rounded to multiples of eight; below 1 the stem keeps its filters.
    """

    size: Literal["small", "medium", "large"]
    alpha: float = 1.0

    @property
    def stem(self) -> int:
        """Filters of the first convolution."""
        filters = 24 if self.size == "large" else 32
        return filters if self.alpha < 1 else divisible(filters * self.alpha)

    @property
    def last(self) -> int:
        """Filters of the 1×1 convolution after the blocks."""
        return divisible(960 * self.alpha)

    def stages(self) -> list[list[BlockV4]]:
        """The blocks by stage, without the last convolution."""

        def width(filters: int) -> int:
            return divisible(filters * self.alpha)

        if self.size == "small":
            early = [
                [BlockV4("conv", width(32), 2, kernel=3), BlockV4("conv", width(32), 1, kernel=1)],
                [BlockV4("conv", width(96), 2, kernel=3), BlockV4("conv", width(64), 1, kernel=1)],
            ]
        else:
            early = [[BlockV4("fused", width(48), 2, expansion=4, kernel=3)]]
        late = [
            [
                BlockV4("universal", width(filters), stride, expansion, kernel, start)
                for start, kernel, expansion, stride in blocks
            ]
            for filters, blocks in _V4[self.size]
        ]
        return early + late

    def channels(self) -> dict[str, int]:
        """Channels per level; P5 is the 1×1 convolution after the last block."""
        blocks = ((block.stride, block.filters) for stage in self.stages() for block in stage)
        return levels(self.stem, blocks, last=self.last)


Architecture = MobileNetV1 | MobileNetV2 | MobileNetV3 | MobileNetV4
