"""What each DenseNet variant is, as data. Nothing here imports TensorFlow.

Paper: arXiv:1608.06993.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from registry.pyramid import EncoderSpec, NoOptions, Normalization

__all__ = ["SPECS", "CustomDenseNetOptions", "DenseNetArchitecture", "architecture_of"]

PositiveInt = Annotated[int, Field(strict=True, ge=1)]

STEM_FILTERS = 64


@dataclass(frozen=True, kw_only=True)
class DenseNetArchitecture:
    """The hyperparameters of a DenseNet, named as in KerasHub's `DenseNetBackbone`."""

    stackwise_num_repeats: tuple[int, ...]
    compression_ratio: float = 0.5
    growth_rate: int = 32

    def stack_channels(self) -> tuple[int, ...]:
        """Channels at the end of each dense block; transitions in between compress them."""
        channels, ends = STEM_FILTERS, []
        for repeats in self.stackwise_num_repeats:
            ends.append(channels + repeats * self.growth_rate)
            channels = self.compressed(ends[-1])
        return tuple(ends)

    def compressed(self, channels: int) -> int:
        """Channels after a transition."""
        return int(channels * self.compression_ratio)

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level: P1 is the stem, P2 … the dense blocks."""
        return {
            "P1": STEM_FILTERS,
            **{f"P{index}": count for index, count in enumerate(self.stack_channels(), start=2)},
        }


class CustomDenseNetOptions(BaseModel):
    """A DenseNet spelt out, as KerasHub's `DenseNetBackbone` takes it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        json_schema_extra={"examples": [{"stackwise_num_repeats": [1, 2, 1, 2], "growth_rate": 8}]},
    )

    stackwise_num_repeats: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=4)] = Field(
        description="Layers of each dense block, [6, 12, 24, 16] in DenseNet-121."
    )
    compression_ratio: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of the channels that a transition keeps."
    )
    growth_rate: PositiveInt = Field(32, description="Channels that each layer adds.")

    @model_validator(mode="after")
    def _transitions_keep_channels(self) -> CustomDenseNetOptions:
        architecture = self.architecture()
        if not all(architecture.compressed(count) for count in architecture.stack_channels()[:-1]):
            raise ValueError("`compression_ratio` leaves a transition without channels: raise it")
        return self

    def architecture(self) -> DenseNetArchitecture:
        """The options as an architecture."""
        return DenseNetArchitecture(**self.model_dump())


# depth: (layers of each dense block, parameters up to P5, MACs at 512×512)
_MEMBERS: dict[int, tuple[tuple[int, ...], int, int]] = {
    121: ((6, 12, 24, 16), 7_033_408, 14_801_698_816),
    169: ((6, 12, 32, 32), 12_636_224, 17_544_773_632),
    201: ((6, 12, 48, 32), 18_314_304, 22_410_166_272),
}

_PAPER = "https://arxiv.org/abs/1608.06993"
# What follows the deepest level in weight files: the last normalization and, in PyTorch's, the classifier.
_BEYOND = ("bn", "classifier")

_ARCHITECTURES = {
    f"densenet_{depth}": DenseNetArchitecture(stackwise_num_repeats=repeats)
    for depth, (repeats, _, _) in _MEMBERS.items()
}


def _named_specs() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name=f"densenet_{depth}",
            channels=_ARCHITECTURES[f"densenet_{depth}"].channels(),
            output_strides=(8, 16, 32),
            options=NoOptions,
            normalization=Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            weights={
                "imagenet": f"kaggle://keras/densenet/keras/densenet_{depth}_imagenet/3",
                # The file that KerasHub's was converted from.
                "tv_imagenet": f"hf://timm/densenet{depth}.tv_in1k/model.safetensors",
            },
            unused_weights=_BEYOND,
            parameters=parameters,
            macs=macs,
            license="Apache-2.0",
            paper=_PAPER,
            description=f"DenseNet with {depth} layers.",
        )
        for depth, (_, parameters, macs) in _MEMBERS.items()
    ]


SPECS: tuple[EncoderSpec, ...] = (
    *_named_specs(),
    EncoderSpec(
        name="densenet_custom",
        channels=lambda options: options.architecture().channels(),
        output_strides=(8, 16, 32),
        options=CustomDenseNetOptions,
        unused_weights=_BEYOND,
        keras_hub_class="DenseNetBackbone",
        license="Apache-2.0",
        paper=_PAPER,
        description="A DenseNet of your own: layers per dense block, growth and compression are options.",
    ),
)


def architecture_of(variant: str, options: BaseModel) -> DenseNetArchitecture:
    """Architecture of a variant; the custom one takes it from its options."""
    if isinstance(options, CustomDenseNetOptions):
        return options.architecture()
    return _ARCHITECTURES[variant]
