"""What an architecture is drawn from: its blocks as data, known from the configuration alone.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "CONVOLUTION_REWRITES",
    "Block",
    "BlockKind",
    "SketchArguments",
    "classifier_block",
    "upsampling_block",
]

BlockKind = Literal["convolution", "pooling", "resizing", "joining", "classifier", "other"]

CONVOLUTION_REWRITES = ("fold_batch_normalization", "fuse_activations")
"""What becomes of a convolution with batch normalization and activation."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of an architecture: a layer, or a few that belong together.

    Args:
        name: unique among the blocks, and no level's name.
        title: what it is, in a few words: `3×3 convolution`.
        inputs: names of what it reads, blocks that stand before it or pyramid levels.
        kind: what it does, which chooses its colour.
        stride: how many pixels of the image one of its output stands for; None where that is no constant.
        channels: of its output.
        note: a second line, for instance `rate 6`.
        rewrites: names of the rewrites for inference that act on it, as `registry.rewrites` has them.
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    kind: BlockKind = "convolution"
    stride: int | None = None
    channels: int | None = None
    note: str = ""
    rewrites: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SketchArguments:
    """What an architecture's blocks depend on beside its own section of the preset.

    Args:
        strides: stride of each pyramid level of the encoder.
        channels: channels of each pyramid level.
        output_stride: of the encoder.
        num_classes: number of classes, background included.
        size: input height and width in pixels that some rewrites depend on.
    """

    strides: Mapping[str, int]
    channels: Mapping[str, int]
    output_stride: int
    num_classes: int
    size: tuple[int, int]


def classifier_block(
    above: str,
    stride: int,
    arguments: SketchArguments,
    *,
    name: str = "classifier",
    rewrites: tuple[str, ...] = (),
) -> Block:
    """A 1×1 convolution that gives the logits.

    Args:
        above: name of what it reads.
        stride: of that and of its output.
        arguments: that say how many classes there are.
        name: of the block.
        rewrites: that act on it.
    """
    return Block(
        name=name,
        title="1×1 classifier",
        kind="classifier",
        inputs=(above,),
        stride=stride,
        channels=arguments.num_classes,
        rewrites=rewrites,
    )


def upsampling_block(
    above: str,
    factor: int,
    stride: int,
    channels: int,
    *,
    name: str = "upsampling",
    interpolation: str = "bilinear",
    note: str = "",
) -> Block:
    """A map that becomes `factor` times as high and wide.

    Args:
        above: name of what it reads.
        factor: along both sides.
        stride: of its output.
        channels: of its input and output.
        name: of the block.
        interpolation: between pixels.
        note: a second line.
    """
    return Block(
        name=name,
        title=f"{interpolation} upsampling ×{factor}",
        kind="resizing",
        inputs=(above,),
        stride=stride,
        channels=channels,
        note=note,
    )
