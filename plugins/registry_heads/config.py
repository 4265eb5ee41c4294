"""What a preset may say about each head, with the papers' values as defaults. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from registry.architecture import (
    ArchitectureConfig,
    ArchitectureSpec,
    BatchNormConfig,
    Fraction,
    Level,
    PositiveInt,
    Section,
)

__all__ = [
    "SPECS",
    "FpnConfig",
    "GatePoolingConfig",
    "LrAsppConfig",
    "PspNetConfig",
    "SegFormerConfig",
    "UNetConfig",
]

Levels = Annotated[tuple[Level, ...], Field(min_length=1)]
Sizes = tuple[PositiveInt, PositiveInt]


class GatePoolingConfig(Section):
    """Average pooling of LR-ASPP's gate over windows of the high-level map, cut to the map where it is smaller."""

    size: Sizes = Field(default=(49, 49), description="Rows and columns of a window, in pixels of the map.")
    stride: Sizes = Field(default=(16, 20), description="Rows and columns from one window to the next.")


class LrAsppConfig(ArchitectureConfig):
    """Lite R-ASPP (arXiv:1905.02244, section 6.4): gated features and two classifiers."""

    high_level_feature_key: Level = Field(default="P5", description="Level that the gate sees and scales.")
    low_level_feature_key: Level = Field(default="P3", description="Level that adds detail.")
    filters: PositiveInt = Field(default=128, description="Channels of the gated features.")
    pooling: Literal["global"] | GatePoolingConfig = Field(
        default="global",
        description="What the gate averages over; the paper's windows of 49×49 need a fixed input size.",
    )
    batch_norm: BatchNormConfig = Field(default_factory=BatchNormConfig)


class FpnConfig(ArchitectureConfig):
    """Feature pyramid network (arXiv:1612.03144) with the semantic branch of Panoptic FPN (arXiv:1901.02446)."""

    feature_keys: Levels = Field(
        default=("P2", "P3", "P4", "P5"), description="Levels that are merged, any order."
    )
    pyramid_filters: PositiveInt = Field(default=256, description="Channels of every level of the FPN.")
    filters: PositiveInt = Field(default=128, description="Channels of the semantic branch.")
    dropout: Fraction = Field(default=0.0, description="Dropout rate before the classifier.")
    batch_norm: BatchNormConfig = Field(default_factory=BatchNormConfig)


class UNetConfig(ArchitectureConfig):
    """U-Net (arXiv:1505.04597) whose contracting path is the encoder."""

    feature_keys: Levels = Field(
        default=("P1", "P2", "P3", "P4", "P5"),
        description="Levels that are joined; the deepest one starts the decoder.",
    )
    decoder_filters: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        default=(256, 128, 64, 32, 16),
        description="Channels of each block: one per joined level, then one at the input's resolution, if given.",
    )
    convolutions: Annotated[int, Field(strict=True, ge=1, le=4)] = Field(
        default=2, description="3x3 convolutions per block, each with batch normalization and ReLU."
    )
    interpolation: Literal["nearest", "bilinear"] = Field(
        default="nearest", description="How a block upsamples what it gets from below."
    )
    batch_norm: BatchNormConfig = Field(default_factory=BatchNormConfig)

    @model_validator(mode="after")
    def _one_block_per_step(self) -> UNetConfig:
        steps = len(set(self.feature_keys)) - 1
        if len(self.decoder_filters) not in (steps, steps + 1):
            raise ValueError(
                f"`decoder_filters` must have {steps} or {steps + 1} values for {steps + 1} `feature_keys`"
            )
        return self


class PspNetConfig(ArchitectureConfig):
    """Pyramid scene parsing network (arXiv:1612.01105)."""

    feature_key: Level = Field(
        default="P5", description="Level that is pooled; the paper has it at stride 8."
    )
    bins: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        default=(1, 2, 3, 6), description="Rows (and columns) of each pooled map."
    )
    bin_filters: Literal["auto"] | PositiveInt = Field(
        default="auto",
        description="Channels of each pooled map; `auto`: those of the level ÷ number of bins.",
    )
    filters: PositiveInt = Field(
        default=512, description="Channels of the convolution before the classifier."
    )
    dropout: Fraction = Field(default=0.1, description="Dropout rate before the classifier.")
    batch_norm: BatchNormConfig = Field(default_factory=BatchNormConfig)


class _MlpBatchNorm(BatchNormConfig):
    """Batch normalization of the all-MLP head, as KerasHub's."""

    momentum: Fraction = Field(default=0.9, description="Momentum of the moving statistics.")
    epsilon: Annotated[float, Field(strict=True, gt=0.0, allow_inf_nan=False)] = Field(
        default=1e-5, description="Small number added to the variance."
    )


class SegFormerConfig(ArchitectureConfig):
    """SegFormer's all-MLP head (arXiv:2105.15203, section 3.2)."""

    feature_keys: Levels = Field(default=("P2", "P3", "P4", "P5"), description="Levels that are fused.")
    filters: PositiveInt = Field(
        default=256, description="Channels of each projected level; 256 for B0 and B1, 768 for the others."
    )
    dropout: Fraction = Field(default=0.1, description="Dropout rate before the classifier.")
    batch_norm: _MlpBatchNorm = Field(default_factory=_MlpBatchNorm)


def _several(config: Any) -> tuple[str, ...]:
    return tuple(config.feature_keys)


SPECS = (
    ArchitectureSpec(
        name="lr_aspp",
        config=LrAsppConfig,
        levels=lambda config: (config.low_level_feature_key, config.high_level_feature_key),
        paper="arXiv:1905.02244",
        description="Lite reduced ASPP of MobileNetV3: a global gate and two classifiers.",
    ),
    ArchitectureSpec(
        name="fpn",
        config=FpnConfig,
        levels=_several,
        paper="arXiv:1901.02446",
        description="Feature pyramid network with Panoptic FPN's semantic branch.",
    ),
    ArchitectureSpec(
        name="unet",
        config=UNetConfig,
        levels=_several,
        paper="arXiv:1505.04597",
        description="U-Net's expanding path on the encoder's levels.",
    ),
    ArchitectureSpec(
        name="pspnet",
        config=PspNetConfig,
        levels=lambda config: (config.feature_key,),
        paper="arXiv:1612.01105",
        description="Pyramid pooling of the deepest features.",
    ),
    ArchitectureSpec(
        name="segformer",
        config=SegFormerConfig,
        levels=_several,
        paper="arXiv:2105.15203",
        description="SegFormer's all-MLP head.",
    ),
)
