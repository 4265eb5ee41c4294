"""What each Xception variant is, as data. Nothing here imports TensorFlow.

Papers: the original arXiv:1610.02357; the aligned one with strided separable convolutions in place of max pooling
arXiv:1802.02611, section 3.2, after the MSRA entry to COCO 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from registry.pyramid import EncoderSpec, NoOptions, Normalization

__all__ = [
    "ALIGNED",
    "ORIGINAL",
    "SPECS",
    "AlignedArchitecture",
    "AlignedOptions",
    "OriginalArchitecture",
    "Unit",
]

Shortcut = Literal["conv", "sum", "none"]
PositiveInt = Annotated[int, Field(strict=True, ge=1)]

DEEPEST_STAGE = 5


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Three separable convolutions, the last of them strided, and what is added to their result.

    Args:
        name: prefix of the layers: DeepLab's variable scope with `_` for `/`.
        filters: of each separable convolution.
        stride: of the unit.
        shortcut: `conv` adds a strided 1×1 convolution of the input, `sum` the input, `none` nothing.
        post_activation: ReLU after each depthwise and pointwise convolution, instead of one before each separable.
    """

    name: str
    filters: tuple[int, int, int]
    stride: int = 1
    shortcut: Shortcut = "sum"
    post_activation: bool = False


@dataclass(frozen=True, kw_only=True)
class AlignedArchitecture:
    """The hyperparameters of an aligned Xception.

    Args:
        entry_flow: (filters, stride) of each unit after the stem.
        middle_flow: (filters, number) of its units, which are alike.
        exit_flow: filters of the separable convolutions of its two units.
        stem: filters of the two convolutions before all units.
    """

    entry_flow: tuple[tuple[int, int], ...]
    middle_flow: tuple[int, int]
    exit_flow: tuple[tuple[int, int, int], tuple[int, int, int]]
    stem: tuple[int, int] = (32, 64)

    def units(self) -> tuple[Unit, ...]:
        """Every unit in order."""
        width, number = self.middle_flow
        strided, last = self.exit_flow
        return (
            *(
                Unit(
                    name=f"entry_flow_block{index}_unit_1",
                    filters=(filters, filters, filters),
                    stride=stride,
                    shortcut="conv",
                )
                for index, (filters, stride) in enumerate(self.entry_flow, start=1)
            ),
            *(
                Unit(name=f"middle_flow_block1_unit_{index}", filters=(width, width, width))
                for index in range(1, number + 1)
            ),
            Unit(name="exit_flow_block1_unit_1", filters=strided, stride=2, shortcut="conv"),
            Unit(name="exit_flow_block2_unit_1", filters=last, shortcut="none", post_activation=True),
        )

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level: those inside each strided unit before its stride, then the end."""
        counts = [unit.filters[1] for unit in self.units() if unit.stride > 1] + [self.exit_flow[-1][-1]]
        return {f"P{stage}": count for stage, count in enumerate(counts, start=1)}


@dataclass(frozen=True, kw_only=True)
class OriginalArchitecture:
    """The hyperparameters of an original Xception, named as in KerasHub's `XceptionBackbone`.

    Args:
        stackwise_conv_filters: filters of each convolution of each block.
        stackwise_pooling: whether the block ends in max pooling; the first one strides by convolution.
    """

    stackwise_conv_filters: tuple[tuple[int, ...], ...]
    stackwise_pooling: tuple[bool, ...]

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level: P1 the stem, P2 … the pooled sums, the deepest one the end."""
        ends = [filters[-1] for filters in self.stackwise_conv_filters]
        pooled = [end for end, pooling in zip(ends, self.stackwise_pooling, strict=True) if pooling]
        return {f"P{stage}": count for stage, count in enumerate([ends[0], *pooled[:-1], ends[-1]], start=1)}


class AlignedOptions(BaseModel):
    """Options of the aligned variants."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    multi_grid: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None,
        description="Factor on the atrous rate of each separable convolution of the last unit, e.g. [1, 2, 1].",
    )


_EXIT_FLOW = ((728, 1024, 1024), (1536, 1536, 2048))
_SHALLOW = ((128, 2), (256, 2), (728, 2))
_DEEP = ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2))

ALIGNED: dict[str, AlignedArchitecture] = {
    "xception_41": AlignedArchitecture(entry_flow=_SHALLOW, middle_flow=(728, 8), exit_flow=_EXIT_FLOW),
    "xception_65": AlignedArchitecture(entry_flow=_SHALLOW, middle_flow=(728, 16), exit_flow=_EXIT_FLOW),
    "xception_71": AlignedArchitecture(entry_flow=_DEEP, middle_flow=(728, 16), exit_flow=_EXIT_FLOW),
}

ORIGINAL: dict[str, OriginalArchitecture] = {
    "xception_original": OriginalArchitecture(
        stackwise_conv_filters=(
            (32, 64),
            (128, 128),
            (256, 256),
            (728, 728),
            *((728, 728, 728),) * 8,
            (728, 1024),
            (1536, 2048),
        ),
        stackwise_pooling=(False, True, True, True, *(False,) * 8, True, False),
    ),
}

# variant: (parameters up to P5, MACs at 512×512, files of timm beside the one that DeepLab's authors trained)
_MEMBERS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "xception_41": (25_035_872, 25_988_407_296, ()),
    "xception_65": (38_052_512, 39_174_316_032, ("ra3_in1k",)),
    "xception_71": (40_488_712, 50_888_056_832, ()),
}

_MINUS_ONE_TO_ONE = Normalization(scale=1 / 127.5, offset=-1.0)


def _timm(variant: str, tags: tuple[str, ...]) -> dict[str, str]:
    """Handles of timm's files; `tf_in1k` are TensorFlow DeepLab's own ImageNet weights."""
    model = variant.replace("_", "")
    return {
        ("imagenet" if tag == "tf_in1k" else tag): f"hf://timm/{model}.{tag}/model.safetensors"
        for tag in ("tf_in1k", *tags)
    }


def _aligned_specs() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name=name,
            channels=ALIGNED[name].channels(),
            output_strides=(8, 16, 32),
            options=AlignedOptions,
            normalization=_MINUS_ONE_TO_ONE,
            weights=_timm(name, tags),
            unused_weights=("logits",),
            parameters=parameters,
            macs=macs,
            license="Apache-2.0",
            paper="https://arxiv.org/abs/1802.02611",
            description=f"Aligned Xception-{name.rpartition('_')[2]} of DeepLabV3+.",
        )
        for name, (parameters, macs, tags) in _MEMBERS.items()
    ]


SPECS: tuple[EncoderSpec, ...] = (
    *_aligned_specs(),
    EncoderSpec(
        name="xception_original",
        channels=ORIGINAL["xception_original"].channels(),
        output_strides=(8, 16, 32),
        options=NoOptions,
        normalization=_MINUS_ONE_TO_ONE,
        weights={"imagenet": "kaggle://keras/xception/keras/xception_41_imagenet/2"},
        parameters=20_861_480,
        macs=23_996_386_688,
        license="Apache-2.0",
        paper="https://arxiv.org/abs/1610.02357",
        description="The original Xception, with max pooling; the image is padded by three pixels.",
    ),
)
