"""The pyramid-output contract: what an encoder promises, and the check that it keeps it.

A level's name is its stage: `P3` is the output of the third stage, at stride 2³ = 8 in the undilated network.
An *output stride* holds the late stages back: at output stride 16, `P5` still names the fifth stage but is
reported at stride 16. Nothing here imports TensorFlow; tensors are only asked for their shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from registry.errors import ModelError, PyramidContractError, nearest

__all__ = [
    "LEVELS",
    "EncoderSpec",
    "NoOptions",
    "Normalization",
    "check_pyramid",
    "level_stage",
    "reported_stride",
]

LEVELS = ("P1", "P2", "P3", "P4", "P5")


class NoOptions(BaseModel):
    """The options of an encoder that has none: any key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How RGB pixels in 0…255 become the encoder's input: `pixel * scale + offset`, per channel.

    Args:
        scale: one factor, or one per channel.
        offset: one summand, or one per channel.
    """

    scale: float | tuple[float, float, float] = 1.0
    offset: float | tuple[float, float, float] = 0.0

    @classmethod
    def from_mean_std(cls, mean: Sequence[float], std: Sequence[float]) -> Normalization:
        """Build from the mean and standard deviation of pixels scaled to 0…1, as PyTorch recipes state them."""
        scale = tuple(1.0 / (255.0 * deviation) for deviation in std)
        offset = tuple(-average / deviation for average, deviation in zip(mean, std, strict=True))
        return cls(scale=scale, offset=offset)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One encoder variant, described without building it.

    Args:
        name: the word a preset writes under `encoder.variant`, for instance `resnet_50`.
        channels: number of channels per level, `{"P1": 64, …}`; a function of the validated options where
            they decide it.
        output_strides: output strides that the builder supports; the largest is the undilated network's.
        min_size: smallest height and width in pixels that give every level at least one pixel.
        options: pydantic model of the variant's own options; unknown keys must be forbidden.
        normalization: how pixels in 0…255 become the input that the weight sources were trained with.
        weights: weight sources by name, `{"imagenet": "kaggle://…"}`.
        unused_weights: names of layers in those sources that lie beyond the deepest level, so that the pyramid has
            no place for them.
        keras_hub_class: KerasHub class that this variant stands for; its constructor arguments are then the
            variant's options. Lets KerasHub directories with such an encoder be read.
        keras_hub_config: a function of the validated options that gives KerasHub's serialized encoder, `module`,
            `class_name`, `registered_name` and `config`, as its `config.json` has it; None where KerasHub cannot
            express them. Lets models be written as KerasHub directories: the layers must have KerasHub's names and,
            within one class, its order.
        parameters: number of parameters of the encoder up to its deepest level, with default options.
        macs: multiply-accumulate operations up to the deepest level for one image of 512×512 pixels at the
            undilated network's output stride, with default options.
        license: SPDX identifier of the published weights.
        paper: where the architecture is described.
        description: one sentence.
        exclusions: checks of `registry.testing` that the variant is known not to pass, by name, each with the reason.
    """

    name: str
    channels: Mapping[str, int] | Callable[[Any], Mapping[str, int]]
    output_strides: tuple[int, ...] = (32,)
    min_size: int = 32
    options: type[BaseModel] = NoOptions
    normalization: Normalization = field(default_factory=Normalization)
    weights: Mapping[str, str] = field(default_factory=dict)
    unused_weights: tuple[str, ...] = ()
    keras_hub_class: str = ""
    keras_hub_config: Callable[[Any], Mapping[str, Any] | None] | None = None
    parameters: int | None = None
    macs: int | None = None
    license: str = ""
    paper: str = ""
    description: str = ""
    exclusions: Mapping[str, str] = field(default_factory=dict)

    def channels_for(self, options: BaseModel | None = None) -> dict[str, int]:
        """Channels per level under the given validated options."""
        if callable(self.channels):
            return dict(self.channels(options if options is not None else self.options()))
        return dict(self.channels)

    def checked_output_stride(self, output_stride: int | None) -> int:
        """An output stride that the encoder supports; None asks for the undilated network's.

        Raises:
            ModelError: the encoder does not support it.
        """
        if output_stride is None:
            return max(self.output_strides)
        if output_stride not in self.output_strides:
            raise ModelError(
                f"encoder {self.name!r} supports the output strides {', '.join(map(str, self.output_strides))}",
                received=output_stride,
                repair="choose one of them under encoder.output_stride",
            )
        return output_stride


def level_stage(level: str) -> int:
    """Stage of a level, 4 for `P4`.

    Raises:
        PyramidContractError: the name is not `P` followed by a number.
    """
    match = re.fullmatch(r"P([1-9]\d?)", level)
    if match is None:
        raise PyramidContractError(
            "a pyramid level is written P1 … P5",
            received=level,
            repair=nearest(level, LEVELS),
        )
    return int(match[1])


def reported_stride(level: str, output_stride: int) -> int:
    """Stride at which a level is delivered: 2^stage, held back by the output stride."""
    return min(2 ** level_stage(level), output_stride)


def check_pyramid(
    shapes: Mapping[tuple[int, int], Mapping[str, Sequence[int | None]]],
    *,
    channels: Mapping[str, int],
    output_stride: int,
    encoder: str,
    origin: str,
) -> None:
    """Hold the delivered pyramid against the promise.

    Args:
        shapes: input size (height, width) → level → delivered shape `(batch, height, width, channels)`. Two or
            more sizes, multiples of the output stride, tell a stride from a coincidence.
        channels: promised levels and their channels.
        output_stride: the output stride that was asked for.
        encoder: name of the encoder, for messages.
        origin: plugin and distribution, for messages.

    Raises:
        PyramidContractError: a level is missing, unasked for, not rank 4, or has other channels or another
            stride than promised. All violations are listed at once.
    """
    violations: list[str] = []
    for (height, width), levels in shapes.items():
        at = f"at input {height}×{width}"
        missing = sorted(set(channels) - set(levels))
        extra = sorted(set(levels) - set(channels))
        if missing:
            violations.append(f"levels {', '.join(missing)} promised, not delivered")
        if extra:
            violations.append(f"levels {', '.join(extra)} delivered, not promised")
        for level in sorted(set(channels) & set(levels)):
            shape = tuple(levels[level])
            if len(shape) != 4:
                violations.append(
                    f"{level}: promised rank 4 (batch, height, width, channels), delivered {shape}"
                )
                continue
            if shape[3] != channels[level]:
                violations.append(f"{level}: promised {channels[level]} channels, delivered {shape[3]}")
            promised = reported_stride(level, output_stride)
            expected = (-(-height // promised), -(-width // promised))
            if shape[1:3] != expected:
                violations.append(
                    f"{level}: promised stride {promised}, delivered {_stride_of((height, width), shape[1:3])} {at}"
                )
    if violations:
        raise PyramidContractError(
            f"encoder {encoder!r} of {origin} must deliver the pyramid it promises at output stride {output_stride}",
            received="; ".join(dict.fromkeys(violations)),
            repair="correct the plugin's EncoderSpec or its builder",
        )


def _stride_of(size: tuple[int, int], delivered: Sequence[int | None]) -> str:
    strides = [
        f"{extent / got:g}" if got else "an unknown stride"
        for extent, got in zip(size, delivered, strict=True)
    ]
    return f"stride {strides[0]}" if len(set(strides)) == 1 else f"strides {' × '.join(strides)}"
