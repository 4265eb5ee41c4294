"""When zeros are made in training, and how many: tensorflow-model-optimization's schedules."""

from __future__ import annotations

from typing import Any

import tensorflow_model_optimization as tfmot

from registry.backend import tf
from registry.config.compression import PruningTraining
from registry.errors import CompressionError

__all__ = ["Moments"]


class Moments:
    """The steps after which zeros are made.

    - `constant`: after step `begin` they all are.
    - `polynomial`: s(t) = s₁ + (s₀ - s₁) · (1 - (t - begin) / (end - begin))^power at each `frequency`-th step from
      `begin`, and at `end` whatever the frequency (arXiv:1710.01878).

    Args:
        config: the schedule; `end` must be known for `polynomial`.

    Raises:
        CompressionError: it is not.
    """

    def __init__(self, config: PruningTraining) -> None:
        self.last = config.begin
        """The step after which all zeros are made."""
        if config.schedule == "constant":
            self._sparsity = tfmot.sparsity.keras.ConstantSparsity(
                config.sparsity, config.begin, config.begin
            )
            return
        if config.end is None:
            raise CompressionError(
                "a polynomial schedule has an end",
                received="end=None",
                repair="say at which step of training the sparsity is reached: end=1000",
            )
        self.last = config.end
        self._sparsity = tfmot.sparsity.keras.PolynomialDecay(
            config.initial_sparsity,
            config.sparsity,
            config.begin,
            config.end,
            power=config.power,
            frequency=config.frequency,
        )

    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Whether zeros are made after this many steps (boolean), and which share there is then (float32)."""
        is_due, sparsity = self._sparsity(step)
        return tf.logical_or(is_due, tf.equal(step, self.last)), sparsity
