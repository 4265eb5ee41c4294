"""Learning rates over the steps of a run."""

from __future__ import annotations

import math
from typing import Any

from registry.backend import keras, tf
from registry.errors import ModelError, nearest

__all__ = ["SHAPES", "Schedule"]

SHAPES = ("poly", "cosine", "constant")


@keras.saving.register_keras_serializable(package="atrous")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a decay.

    At step t of T, after w steps of warm-up and with p = (t - w) / (T - w): `poly` is peak · (1 - p)^power, the DeepLab
    papers' (arXiv:1706.05587, section 4); `cosine` is peak · (1 + cos πp) / 2; `constant` is peak. All stay at or above
    `floor` · peak.

    Args:
        peak: largest learning rate.
        steps: length of the run.
        shape: `poly`, `cosine` or `constant`.
        power: exponent of `poly`.
        warmup: number of steps in which the rate rises from peak / warmup to the peak.
        floor: smallest rate after the warm-up, as a share of the peak.

    Raises:
        ModelError: an argument is out of range.
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        *,
        shape: str = "poly",
        power: float = 0.9,
        warmup: int = 0,
        floor: float = 0.0,
    ) -> None:
        super().__init__()
        if shape not in SHAPES:
            raise ModelError(
                f"the shape of a schedule is one of {', '.join(SHAPES)}",
                received=shape,
                repair=nearest(shape, SHAPES),
            )
        if peak <= 0 or steps < 1 or not 0 <= warmup < steps or not 0 <= floor <= 1:
            raise ModelError(
                "a schedule has a positive peak, at least one step, a warm-up shorter than the run and a floor in 0…1",
                received=f"peak={peak}, steps={steps}, warmup={warmup}, floor={floor}",
            )
        self.peak, self.steps, self.shape = peak, steps, shape
        self.power, self.warmup, self.floor = power, warmup, floor

    def __call__(self, step: Any) -> Any:
        """Learning rate of a step, counted from 0."""
        step = tf.cast(step, tf.float32)
        progress = tf.clip_by_value((step - self.warmup) / (self.steps - self.warmup), 0.0, 1.0)
        if self.shape == "poly":
            share = (1.0 - progress) ** self.power
        elif self.shape == "cosine":
            share = 0.5 * (1.0 + tf.cos(math.pi * progress))
        else:
            share = tf.ones_like(progress)
        share = tf.maximum(share, self.floor)
        rising = (step + 1.0) / max(self.warmup, 1)
        return self.peak * tf.where(step < self.warmup, rising, share)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "shape": self.shape,
            "power": self.power,
            "warmup": self.warmup,
            "floor": self.floor,
        }
