"""What a preset may say about DeepLabV3 and DeepLabV3+. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool
from pydantic_core import PydanticCustomError

from registry.architecture import (
    ArchitectureConfig,
    ArchitectureSpec,
    BatchNormConfig,
    Fraction,
    Level,
    PositiveInt,
    Section,
)

__all__ = ["SPECS", "AsppConfig", "DecoderConfig", "DeepLabV3Config", "DeepLabV3PlusConfig"]


def _no_lookalike(value: object) -> object:
    """Refuse `true` and `3.0` where a `Literal` lists 1 or 3: Python holds them equal, a preset must not."""
    if isinstance(value, bool | float):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


class AsppConfig(Section):
    """Atrous spatial pyramid pooling (arXiv:1706.05587)."""

    filters: PositiveInt = Field(default=256, description="Channels of each branch and of the projection.")
    separable: StrictBool = Field(
        default=False, description="Depthwise separable 3x3 branches, as in arXiv:1802.02611."
    )
    depthwise_norm: StrictBool = Field(
        default=True,
        description="Normalize and activate between the halves of separable convolutions.",
    )
    atrous: StrictBool = Field(
        default=True,
        description="Include the 3x3 branches; without them, as in MobileNetV2's DeepLab, `dilation_rates` is idle.",
    )
    image_pooling: StrictBool = Field(default=True, description="Include the global average pooling branch.")
    output_convolution: Literal["none", "plain", "separable"] = Field(
        default="none",
        description="3x3 convolution after the projection, as in segmentation_models.pytorch's DeepLabV3+.",
    )
    dropout: Fraction = Field(default=0.0, description="Dropout rate after the projection.")


class DecoderConfig(Section):
    """Convolutions between the (upsampled, concatenated) features and the classifier."""

    filters: PositiveInt = Field(default=256, description="Channels of each convolution.")
    convolutions: Annotated[int, Field(strict=True, ge=0, le=8)] = Field(
        default=1, description="How many convolutions, each with batch normalization and ReLU."
    )
    kernel_size: Annotated[Literal[1, 3, 5], BeforeValidator(_no_lookalike)] = Field(
        default=1, description="Kernel size of each convolution."
    )
    separable: StrictBool = Field(default=False, description="Depthwise separable convolutions.")
    depthwise_norm: StrictBool = Field(
        default=True, description="Normalize and activate between the halves of separable convolutions."
    )


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
    kernel_size: Annotated[Literal[1, 3, 5], BeforeValidator(_no_lookalike)] = Field(
        default=3, description="Kernel size of each convolution."
    )


class _DeepLab(ArchitectureConfig):
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
    classifier_bias: StrictBool = Field(
        default=False,
        description="Give the classifier a bias, as TensorFlow DeepLab and torchvision do and KerasHub does not.",
    )
    batch_norm: BatchNormConfig = Field(default_factory=BatchNormConfig)
    hidden_activation: Literal["relu", "swish"] = Field(
        default="relu",
        description="After each normalization of ASPP and decoder; Model Garden's ResNets come with swish.",
    )
    align_corners: StrictBool = Field(
        default=False,
        description="Upsample with corner pixels on corner pixels, as TensorFlow 1's DeepLab does, instead of "
        "half-pixel centres.",
    )


class DeepLabV3Config(_DeepLab):
    """DeepLabV3 (arXiv:1706.05587): ASPP, classifier, bilinear upsampling."""

    decoder: _DeepLabV3Decoder = Field(default_factory=_DeepLabV3Decoder)


class DeepLabV3PlusConfig(_DeepLab):
    """DeepLabV3+ (arXiv:1802.02611): ASPP, a decoder that adds low-level features, classifier, upsampling."""

    low_level_feature_key: Level = Field(default="P2", description="Pyramid level that the decoder adds.")
    projection_filters: PositiveInt = Field(
        default=48, description="Channels that the low-level features are reduced to."
    )
    decoder: _DeepLabV3PlusDecoder = Field(default_factory=_DeepLabV3PlusDecoder)


def _levels(config: Any) -> tuple[str, ...]:
    low_level = getattr(config, "low_level_feature_key", None)
    return (config.spatial_pyramid_pooling_key, *([low_level] if low_level else []))


SPECS = (
    ArchitectureSpec(
        name="deeplab_v3",
        config=DeepLabV3Config,
        levels=_levels,
        paper="arXiv:1706.05587",
        description="Atrous spatial pyramid pooling, classifier, bilinear upsampling.",
    ),
    ArchitectureSpec(
        name="deeplab_v3_plus",
        config=DeepLabV3PlusConfig,
        levels=_levels,
        paper="arXiv:1802.02611",
        description="DeepLabV3 with a decoder that adds low-level features.",
    ),
)
