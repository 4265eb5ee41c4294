"""How a model computes in integers: the section `quantization` of a preset, and of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from registry.architecture import Fraction, PositiveInt, Section
from registry.config.scalars import Positive, Word

__all__ = ["CalibrationConfig", "DistillationConfig", "QuantizationConfig", "QuantizationTraining"]


class QuantizationConfig(Section):
    """What is rounded, and to how many bits."""

    scheme: Literal["int8", "int16x8"] = Field(
        default="int8", description="`int8`: weights and activations; `int16x8`: activations to 16 bits."
    )
    exclude: tuple[Word, ...] = Field(
        default=(), description="Layers that stay in floating point: names, or patterns with `*` and `?`."
    )


class CalibrationConfig(Section):
    """How the ranges of activations are measured before training."""

    images: PositiveInt = Field(default=200, description="Training images that are looked at, at most.")
    method: Literal["min_max", "percentile", "mse"] = Field(
        default="min_max",
        description="`min_max`: all values; `percentile`: all but the rarest; `mse`: the range of the smallest error.",
    )
    percentile: Annotated[float, Field(strict=True, gt=50.0, le=100.0)] = Field(
        default=99.99, description="Share of the values that lie within the range, in percent."
    )


class DistillationConfig(Section):
    """The model in floating point teaches the one that rounds (arXiv:1503.02531)."""

    weight: Positive = Field(default=1.0, description="Factor in the sum of losses.")
    temperature: Positive = Field(default=2.0, description="Divides the logits of both.")


class QuantizationTraining(QuantizationConfig):
    """Training that knows of the rounding (arXiv:1712.05877)."""

    calibration: CalibrationConfig = Field(default_factory=CalibrationConfig)
    observer_momentum: Fraction = Field(
        default=0.99, description="Weight of the past in the ranges that follow training."
    )
    freeze_observers: Annotated[float, Field(strict=True, ge=0.0, le=1.0)] = Field(
        default=0.5, description="Share of the run after which ranges stay as they are."
    )
    distillation: DistillationConfig | None = None
