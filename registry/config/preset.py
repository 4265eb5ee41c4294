"""What a preset may say.

The section `architecture` is open: its keys beside `name` are those of the architecture's plugin, and the catalog
narrows `PresetConfig` to the one that a preset names.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from registry.architecture import ArchitectureConfig, PositiveInt, Section
from registry.config.compression import CompressionConfig
from registry.config.quantization import QuantizationConfig
from registry.config.scalars import Channel, Color, Number, OneOfIntegers, Word

__all__ = [
    "EncoderConfig",
    "EvaluationConfig",
    "InputConfig",
    "Label",
    "NormalizationConfig",
    "PresetConfig",
    "WeightsConfig",
]


class EncoderConfig(Section):
    """Which encoder, at which output stride."""

    plugin: Word = Field(
        description="Name of the encoder plugin: the entry-point name in `registry.encoders`."
    )
    variant: Word = Field(description="Encoder variant that the plugin offers, for instance `resnet_50`.")
    output_stride: Annotated[Literal[4, 8, 16, 32], OneOfIntegers] = Field(
        default=32,
        description="Ratio of input size to the deepest feature map; below 32, late strides become rates.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of this variant, checked by the plugin, e.g. `multi_grid`."
    )


class Label(Section):
    """One class: its name and the RGB colour it is drawn in."""

    name: Word
    color: Color


class NormalizationConfig(Section):
    """`pixel * scale + offset` on RGB pixels in 0…255, one number or one per channel."""

    scale: Number | tuple[Number, Number, Number] = 1.0
    offset: Number | tuple[Number, Number, Number] = 0.0


class InputConfig(Section):
    """What the model takes in."""

    image_shape: tuple[PositiveInt | None, PositiveInt | None, Annotated[Literal[3], OneOfIntegers]] = Field(
        default=(None, None, 3),
        description="Height, width and channels that the graph is built for; null leaves a size open.",
    )
    size: tuple[PositiveInt, PositiveInt] = Field(
        default=(512, 512), description="Height and width for export and prediction."
    )
    normalization: Literal["encoder"] | NormalizationConfig = Field(
        default="encoder",
        description="How pixels become inputs; `encoder`: as the encoder's weights were trained.",
    )


class WeightsConfig(Section):
    """Where `weights='default'` comes from."""

    segmentation: StrictStr | None = Field(
        default=None,
        description="Weights for the whole model: a handle (kaggle://, hf://, https://), or a file beside this one.",
    )
    encoder: StrictStr | None = Field(
        default=None,
        description="Weights for the encoder: one of its sources by name, a handle, or a file beside this one.",
    )


class EvaluationConfig(Section):
    """A measured accuracy, with its source."""

    dataset: Word
    mean_iou: Annotated[float, Field(strict=True, ge=0.0, le=1.0, allow_inf_nan=False)]
    source: Word


class PresetConfig(Section):
    """One assembly: encoder, architecture, classes, input and weights."""

    description: StrictStr = ""
    paper: StrictStr = ""
    license: StrictStr = Field(default="", description="SPDX identifier of the published weights.")
    encoder: EncoderConfig
    architecture: SerializeAsAny[ArchitectureConfig] = Field(
        description="Which architecture, and what its plugin lets a preset say about it."
    )
    num_classes: PositiveInt = Field(description="Number of classes, background included.")
    labels: tuple[Label, ...] = Field(
        default=(), description="Name and colour per class, in the order of the logits."
    )
    ignore_label: Channel = Field(default=255, description="Mask value that losses and metrics skip.")
    activation: Literal["softmax", "sigmoid"] | None = Field(
        default=None, description="Applied to the logits; null keeps them."
    )
    input: InputConfig = Field(default_factory=InputConfig)
    compression: CompressionConfig | None = Field(
        default=None, description="What the model's kernels consist of; null: of whatever values."
    )
    quantization: QuantizationConfig | None = Field(
        default=None, description="How the model rounds; null: it computes in floating point."
    )
    weights: WeightsConfig = Field(default_factory=WeightsConfig)
    evaluation: tuple[EvaluationConfig, ...] = ()

    @model_validator(mode="after")
    def _labels_match_classes(self) -> PresetConfig:
        if self.labels and len(self.labels) != self.num_classes:
            raise PydanticCustomError(
                "labels_match_classes",
                "`labels` names {labels} classes, but `num_classes` is {num_classes}",
                # `at` tells the catalog which value to point at: a validator of the whole has no location.
                {"at": "labels", "labels": len(self.labels), "num_classes": self.num_classes},
            )
        return self
