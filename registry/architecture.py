"""What an architecture plugin says and receives: its spec, its configuration's base class, the builder's arguments.

An architecture is what stands on an encoder's pyramid: decoder, head and classifier. Nothing here imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from registry.errors import ModelError, WeightsMismatchError

__all__ = [
    "ArchitectureConfig",
    "ArchitectureSpec",
    "BatchNormConfig",
    "Fraction",
    "Level",
    "PositiveInt",
    "Section",
    "SegmenterArguments",
    "SegmenterWeights",
]

PositiveInt = Annotated[int, Field(strict=True, ge=1)]
Fraction = Annotated[float, Field(strict=True, ge=0.0, lt=1.0, allow_inf_nan=False)]
Level = Literal["P1", "P2", "P3", "P4", "P5"]


class Section(BaseModel):
    """One mapping of a preset: unknown keys are refused, values cannot change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)


class BatchNormConfig(Section):
    """Batch normalization of an architecture's own layers (the encoder has its own)."""

    momentum: Fraction = Field(default=0.99, description="Momentum of the moving statistics.")
    epsilon: Annotated[float, Field(strict=True, gt=0.0, allow_inf_nan=False)] = Field(
        default=1e-3, description="Small number added to the variance."
    )


class ArchitectureConfig(Section):
    """The section `architecture` of a preset. Each architecture subclasses it and adds its own keys."""

    name: Annotated[str, Field(strict=True, min_length=1)]


@dataclass(frozen=True, kw_only=True)
class ArchitectureSpec:
    """One architecture, described without building it.

    Args:
        name: the word a preset writes under `architecture.name`; the entry point's name.
        config: subclass of `ArchitectureConfig` whose fields are what a preset may write beside `name`.
        levels: pyramid levels that it reads; a function of the validated config where that decides.
        paper: where it is described.
        description: one sentence.
    """

    name: str
    config: type[ArchitectureConfig]
    levels: Sequence[str] | Callable[[Any], Sequence[str]]
    paper: str = ""
    description: str = ""

    @cached_property
    def section(self) -> type[ArchitectureConfig]:
        """The config model whose `name` is this architecture's: what the preset's section is validated by."""
        name: Any = (Literal[self.name], Field())
        return create_model(
            self.config.__name__,
            __base__=self.config,
            __module__=self.config.__module__,
            __doc__=self.config.__doc__,
            name=name,
        )

    def levels_for(self, config: ArchitectureConfig) -> tuple[str, ...]:
        """Levels that are read under a validated config, sorted."""
        levels = self.levels(config) if callable(self.levels) else self.levels
        return tuple(sorted(set(levels)))

    def check_levels(self, config: ArchitectureConfig, delivered: Iterable[str], encoder: str) -> None:
        """Refuse an encoder that does not deliver what is read.

        Args:
            config: this architecture's validated config.
            delivered: levels of the encoder.
            encoder: name of the encoder, for the message.

        Raises:
            ModelError: a level is missing; names those of both.
        """
        levels, delivered = self.levels_for(config), sorted(delivered)
        if set(levels) <= set(delivered):
            return
        raise ModelError(
            f"architecture {self.name!r} reads {_joined(levels)}, and each must be a level of the encoder",
            received=f"encoder {encoder!r}, which has {', '.join(delivered)}",
            repair="name other levels under `architecture`, or choose another encoder",
        )


@dataclass(frozen=True, kw_only=True)
class SegmenterArguments:
    """What a preset says about any segmenter, whatever its architecture.

    Args:
        num_classes: number of classes, background included.
        activation: `softmax` or `sigmoid` on the logits; None keeps them.
        preprocessor: what `predict`, `fit` and `evaluate` pass images through, or None.
        name: of the model.
    """

    num_classes: int
    activation: str | None = None
    preprocessor: Any = None
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class SegmenterWeights:
    """A whole model's weights of another project, taken apart.

    Args:
        encoder: arrays of the encoder in the names that its own plugin converts, without what another project puts
            before them.
        head: layer name → arrays in the order of its variables, of all that stands on the encoder.
        unused: names in `head` that the model has no layer for, by intention: an auxiliary classifier.
        refusal: why the whole cannot be loaded into a model of this configuration, raised where that is asked for;
            the encoder's arrays can be loaded nonetheless.
        encoder_options: options that the encoder must have been built with, since no file shows them:
            `{"norm_epsilon": 0.001}`.
        dilated_encoder: those that matter only where its output stride is below 32: `{"early_rate": True}`.
    """

    encoder: Mapping[str, Sequence[Any]]
    head: Mapping[str, Sequence[Any]]
    unused: tuple[str, ...] = ()
    refusal: WeightsMismatchError | None = None
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    dilated_encoder: Mapping[str, Any] = field(default_factory=dict)


def _joined(levels: Sequence[str]) -> str:
    return levels[0] if len(levels) == 1 else f"{', '.join(levels[:-1])} and {levels[-1]}"
