"""What a preset YAML may say: frozen, typed, strict.

The classes here are the single owner of every key, its type, its range and its default; the catalog fills
them from YAML, the assembly reads them, `preset_schema` publishes them for editors. Nothing here imports
TensorFlow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

__all__ = [
    "ArchitectureConfig",
    "AsppConfig",
    "BatchNormConfig",
    "DecoderConfig",
    "DeepLabV3Config",
    "DeepLabV3PlusConfig",
    "EncoderConfig",
    "EvaluationConfig",
    "InputConfig",
    "Label",
    "NormalizationConfig",
    "PresetConfig",
    "WeightsConfig",
]


def _no_lookalike(value: object) -> object:
    """Refuse `true` and `3.0` where a `Literal` lists 1 or 3: Python holds them equal, a preset must not."""
    if isinstance(value, bool | float):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


PositiveInt = Annotated[int, Field(strict=True, ge=1)]
Fraction = Annotated[float, Field(strict=True, ge=0.0, lt=1.0, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)] | StrictInt
Level = Literal["P1", "P2", "P3", "P4", "P5"]
OneOfIntegers = BeforeValidator(_no_lookalike)
Word = Annotated[str, Field(strict=True, min_length=1)]
Channel = Annotated[int, Field(strict=True, ge=0, le=255)]


class _Section(BaseModel):
    """One mapping of a preset: unknown keys are refused, values cannot change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class EncoderConfig(_Section):
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


class AsppConfig(_Section):
    """Atrous spatial pyramid pooling (arXiv:1706.05587)."""

    filters: PositiveInt = Field(default=256, description="Channels of each branch and of the projection.")
    separable: StrictBool = Field(
        default=False, description="Depthwise separable 3x3 branches, as in arXiv:1802.02611."
    )
    image_pooling: StrictBool = Field(default=True, description="Include the global average pooling branch.")
    dropout: Fraction = Field(default=0.0, description="Dropout rate after the projection.")


class DecoderConfig(_Section):
    """Convolutions between the (upsampled, concatenated) features and the classifier."""

    filters: PositiveInt = Field(default=256, description="Channels of each convolution.")
    convolutions: Annotated[int, Field(strict=True, ge=0, le=8)] = Field(
        default=1, description="How many convolutions, each with batch normalization and ReLU."
    )
    kernel_size: Annotated[Literal[1, 3, 5], OneOfIntegers] = Field(
        default=1, description="Kernel size of each convolution."
    )
    separable: StrictBool = Field(default=False, description="Depthwise separable convolutions.")


# The papers differ in these defaults. They are classes, not default instances, so that a preset which sets
# one key of `decoder` keeps the architecture's defaults for the others.
class _DeepLabV3Decoder(DecoderConfig):
    """Convolutions between the ASPP features and the classifier; the paper has none."""

    convolutions: Annotated[int, Field(strict=True, ge=0, le=8)] = Field(
        default=0, description="How many convolutions, each with batch normalization and ReLU."
    )


class _DeepLabV3PlusDecoder(DecoderConfig):
    """Convolutions between the concatenated features and the classifier; the paper has two of 3×3."""

    convolutions: Annotated[int, Field(strict=True, ge=0, le=8)] = Field(
        default=2, description="How many convolutions, each with batch normalization and ReLU."
    )
    kernel_size: Annotated[Literal[1, 3, 5], OneOfIntegers] = Field(
        default=3, description="Kernel size of each convolution."
    )


class BatchNormConfig(_Section):
    """Batch normalization of ASPP and decoder (the encoder has its own)."""

    momentum: Fraction = Field(default=0.99, description="Momentum of the moving statistics.")
    epsilon: Annotated[float, Field(strict=True, gt=0.0, allow_inf_nan=False)] = Field(
        default=1e-3, description="Small number added to the variance."
    )


class _DeepLab(_Section):
    name: str  # narrowed below; stands here so that it is listed first
    spatial_pyramid_pooling_key: Level = Field(default="P5", description="Pyramid level that ASPP reads.")
    upsampling_size: Literal["auto"] | PositiveInt | tuple[PositiveInt, PositiveInt] = Field(
        default="auto",
        description="Bilinear upsampling of the ASPP output; `auto` fits the low-level features (or is 1).",
    )
    dilation_rates: Literal["auto"] | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        default="auto",
        description="Atrous rates of the 3x3 branches; `auto`: 3/6/9, 6/12/18, 12/24/36 at stride 32, 16, 8.",
    )
    aspp: AsppConfig = Field(default_factory=AsppConfig)
    batch_norm: BatchNormConfig = Field(default_factory=BatchNormConfig)


class DeepLabV3Config(_DeepLab):
    """DeepLabV3 (arXiv:1706.05587): ASPP, classifier, bilinear upsampling."""

    name: Literal["deeplab_v3"]
    decoder: _DeepLabV3Decoder = Field(default_factory=_DeepLabV3Decoder)


class DeepLabV3PlusConfig(_DeepLab):
    """DeepLabV3+ (arXiv:1802.02611): ASPP, a decoder that adds low-level features, classifier, upsampling."""

    name: Literal["deeplab_v3_plus"]
    low_level_feature_key: Level = Field(default="P2", description="Pyramid level that the decoder adds.")
    projection_filters: PositiveInt = Field(
        default=48, description="Channels that the low-level features are reduced to."
    )
    decoder: _DeepLabV3PlusDecoder = Field(default_factory=_DeepLabV3PlusDecoder)


ArchitectureConfig = Annotated[DeepLabV3Config | DeepLabV3PlusConfig, Field(discriminator="name")]


class Label(_Section):
    """One class: its name and the RGB colour it is drawn in."""

    name: Word
    color: tuple[Channel, Channel, Channel]


class NormalizationConfig(_Section):
    """`pixel * scale + offset` on RGB pixels in 0…255, one number or one per channel."""

    scale: Number | tuple[Number, Number, Number] = 1.0
    offset: Number | tuple[Number, Number, Number] = 0.0


class InputConfig(_Section):
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


class WeightsConfig(_Section):
    """Where `weights='default'` comes from."""

    segmentation: StrictStr | None = Field(
        default=None, description="Handle of weights for the whole model: kaggle://, hf://."
    )
    encoder: StrictStr | None = Field(
        default=None, description="Name of a weight source of the encoder, or a handle."
    )


class EvaluationConfig(_Section):
    """A measured accuracy, with its source."""

    dataset: Word
    mean_iou: Annotated[float, Field(strict=True, ge=0.0, le=1.0, allow_inf_nan=False)]
    source: Word


class PresetConfig(_Section):
    """One assembly: encoder, architecture, classes, input and weights."""

    description: StrictStr = ""
    paper: StrictStr = ""
    license: StrictStr = Field(default="", description="SPDX identifier of the published weights.")
    encoder: EncoderConfig
    architecture: ArchitectureConfig
    num_classes: PositiveInt = Field(description="Number of classes, background included.")
    labels: tuple[Label, ...] = Field(
        default=(), description="Name and colour per class, in the order of the logits."
    )
    ignore_label: Channel = Field(default=255, description="Mask value that losses and metrics skip.")
    activation: Literal["softmax", "sigmoid"] | None = Field(
        default=None, description="Applied to the logits; null keeps them."
    )
    input: InputConfig = Field(default_factory=InputConfig)
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
