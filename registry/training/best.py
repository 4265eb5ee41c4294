"""Which weights of a run are the best so far, and for how long they have been."""

from __future__ import annotations

from registry.backend import tf

__all__ = ["Best"]


class Best(tf.Module):
    """The best validation so far; part of a checkpoint, so that a resumed run remembers it."""

    def __init__(self) -> None:
        super().__init__(name="best")
        self._score = tf.Variable(-1.0, dtype=tf.float64, trainable=False, name="score")
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._stale = tf.Variable(0, dtype=tf.int64, trainable=False, name="stale")

    @property
    def score(self) -> float | None:
        """Mean IoU of the best weights; None before the first validation."""
        score = float(self._score.numpy())
        return score if score >= 0 else None

    @property
    def step(self) -> int:
        """After which they were found."""
        return int(self._step.numpy())

    @property
    def stale(self) -> int:
        """Validations since then that were not better."""
        return int(self._stale.numpy())

    def consider(self, score: float, step: int, min_delta: float) -> bool:
        """Take in a validation.

        Args:
            score: mean IoU, 0 … 1.
            step: number of finished steps.
            min_delta: smallest gain that resets the count of validations without one.

        Returns:
            Whether these weights are the best so far.
        """
        before = self.score
        is_gain = before is None or score > before + min_delta
        self._stale.assign(0 if is_gain else self.stale + 1)
        is_best = before is None or score > before
        if is_best:
            self._score.assign(score)
            self._step.assign(step)
        return is_best
