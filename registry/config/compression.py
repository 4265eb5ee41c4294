"""How a model's kernels are made to compress: the section `compression` of a preset, and of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from registry.architecture import Fraction, PositiveInt, Section
from registry.config.scalars import Positive, Word

__all__ = [
    "ClusteringConfig",
    "ClusteringTraining",
    "CompressionConfig",
    "CompressionTraining",
    "PruningConfig",
    "PruningTraining",
]

Index = Annotated[int, Field(strict=True, ge=0)]


class PruningConfig(Section):
    """Which share of a kernel's values is zero, and where."""

    sparsity: Annotated[float, Field(strict=True, gt=0.0, lt=1.0)] = Field(
        default=0.5, description="Share of zeros in each kernel; 0.5 with the pattern `2:4`."
    )
    pattern: Literal["unstructured", "2:4", "block"] = Field(
        default="unstructured",
        description="`unstructured`: the smallest values, wherever; `2:4`: two of four neighbouring input channels; "
        "`block`: whole blocks.",
    )
    block: tuple[PositiveInt, PositiveInt] = Field(
        default=(4, 1), description="Output and input channels of a block, for the pattern `block`."
    )
    exclude: tuple[Word, ...] = Field(
        default=(), description="Layers that stay dense: names, or patterns with `*` and `?`."
    )

    @model_validator(mode="after")
    def _one_sparsity_of_two_in_four(self) -> PruningConfig:
        if self.pattern == "2:4" and self.sparsity != 0.5:
            raise PydanticCustomError(
                "sparsity",
                "two zeros in four are a `sparsity` of 0.5; leave it out, or take another pattern",
                {"at": "sparsity"},
            )
        return self


class ClusteringConfig(Section):
    """How many values a kernel consists of."""

    clusters: Annotated[int, Field(strict=True, ge=2, le=256)] = Field(
        default=16, description="Different values in each kernel, at most."
    )
    exclude: tuple[Word, ...] = Field(
        default=(),
        description="Layers whose values stay their own: names in the model's inference form, or patterns.",
    )


class CompressionConfig(Section):
    """What holds of a model's kernels, and goes on to hold in training."""

    pruning: PruningConfig | None = None
    clustering: ClusteringConfig | None = None


class PruningTraining(PruningConfig):
    """Zeros that training makes (arXiv:1710.01878)."""

    schedule: Literal["constant", "polynomial"] = Field(
        default="constant",
        description="`constant`: all at once at `begin`; `polynomial`: more and more from `begin` to `end`.",
    )
    initial_sparsity: Fraction = Field(default=0.0, description="Of `polynomial`, at `begin`.")
    begin: Index = Field(
        default=0, description="Step after which the first zeros are made; 0: before training."
    )
    end: PositiveInt | None = Field(
        default=None,
        description="Of `polynomial`: step at which `sparsity` is reached; null: half of the run.",
    )
    frequency: PositiveInt = Field(default=100, description="Of `polynomial`: steps between more zeros.")
    power: Positive = Field(default=3.0, description="Of `polynomial`: exponent.")

    @model_validator(mode="after")
    def _in_order(self) -> PruningTraining:
        if self.schedule == "polynomial" and self.pattern == "2:4":
            raise PydanticCustomError(
                "schedule",
                "the pattern `2:4` has one sparsity, so its `schedule` is `constant`",
                {"at": "schedule"},
            )
        if self.schedule == "polynomial" and self.initial_sparsity > self.sparsity:
            raise PydanticCustomError(
                "initial_sparsity", "`initial_sparsity` is at most `sparsity`", {"at": "initial_sparsity"}
            )
        if self.end is not None and self.end <= self.begin:
            raise PydanticCustomError("end", "`end` comes after `begin`", {"at": "end"})
        return self


class ClusteringTraining(ClusteringConfig):
    """Values that are shared from the first step on (arXiv:1510.00149)."""

    initialization: Literal["kmeans_plus_plus", "linear", "density", "random"] = Field(
        default="kmeans_plus_plus",
        description="Where k-means starts: at distant values, evenly spaced, evenly filled, or anywhere.",
    )


class CompressionTraining(Section):
    """Training that makes kernels compress: zeros, or shared values, one of them in a run."""

    pruning: PruningTraining | None = None
    clustering: ClusteringTraining | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> CompressionTraining:
        if (self.pruning is None) == (self.clustering is None):
            raise PydanticCustomError(
                "compression",
                "a run has `pruning` or `clustering`, one of them; prune in one run, and cluster what it leaves in the "
                "next: zeros stay zeros",
                {"at": ""},
            )
        return self
