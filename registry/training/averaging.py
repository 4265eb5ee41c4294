"""An exponential moving average of the weights, which usually scores better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from registry.backend import tf

__all__ = ["MovingAverage"]


class MovingAverage(tf.Module):
    """Averages of variables: a ← d · a + (1 - d) · w after every step, with d = min(decay, (1 + t) / (10 + t)).

    The first steps forget faster, so that the fresh weights do not linger (as `tf.train.ExponentialMovingAverage`).

    Args:
        variables: floating-point weights, statistics of batch normalizations included.
        decay: weight of the past, 0 … 1.
    """

    def __init__(self, variables: Sequence[Any], decay: float) -> None:
        super().__init__(name="moving_average")
        self._variables = [variable for variable in variables if variable.dtype.is_floating]
        self.decay = decay
        self.averages = [
            tf.Variable(
                variable.read_value(),
                trainable=False,
                name=f"average_{number}",
                # Every replica computes the same average of the same weights.
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for number, variable in enumerate(self._variables)
        ]

    def update(self, step: Any) -> None:
        """Take in the weights after a step, counted from 0."""
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self.averages, self._variables, strict=True):
            average.assign(average + (1.0 - decay) * (variable - average))

    def average_of(self, variable: Any) -> Any:
        """The average of one of the variables."""
        place = next(number for number, one in enumerate(self._variables) if one is variable)
        return self.averages[place]

    def reset(self) -> None:
        """Forget the past."""
        for average, variable in zip(self.averages, self._variables, strict=True):
            average.assign(variable)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this block the model has the averages as its weights."""
        kept = [variable.numpy() for variable in self._variables]
        for average, variable in zip(self.averages, self._variables, strict=True):
            variable.assign(average.numpy())
        try:
            yield
        finally:
            for value, variable in zip(kept, self._variables, strict=True):
                variable.assign(value)
