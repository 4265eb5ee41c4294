"""A model in floating point teaches another one (arXiv:1503.02531)."""

from __future__ import annotations

from typing import Any

from registry.backend import tf

__all__ = ["Distillation"]


class Distillation:
    """How far a student's classes are from a teacher's: T² · KL(softmax(t / T) ‖ softmax(s / T)), mean over pixels.

    Every pixel counts, annotated or not: the teacher has an opinion on each.

    Args:
        teacher: a segmenter, pixels after its preprocessor → logits; it is not trained.
        weight: factor in the sum of losses.
        temperature: T.
    """

    def __init__(self, teacher: Any, *, weight: float, temperature: float) -> None:
        self._teacher, self._weight, self._temperature = teacher, weight, temperature

    def __call__(self, inputs: Any, logits: Any) -> Any:
        """Weighted loss of each image.

        Args:
            inputs: preprocessed images.
            logits: of the student.
        """
        temperature = self._temperature
        taught = tf.stop_gradient(tf.cast(self._teacher(inputs, training=False), tf.float32)) / temperature
        learnt = tf.cast(logits, tf.float32) / temperature
        log_taught = tf.nn.log_softmax(taught)
        divergence = tf.reduce_sum(tf.exp(log_taught) * (log_taught - tf.nn.log_softmax(learnt)), -1)
        return self._weight * temperature**2 * tf.reduce_mean(divergence, (1, 2))
