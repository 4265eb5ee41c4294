"""Dropout that follows from the step alone, so that a resumed run draws what one that was never killed draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from registry.backend import tf

__all__ = ["drawn_by_step"]


@contextmanager
def drawn_by_step(model: Any, seed: int, step: Any) -> Iterator[None]:
    """Let every layer that draws random numbers draw them from (seed, step, layer, replica).

    Keras's own generators either count in the kernels of the graph, which no checkpoint holds, or in variables that
    Keras leaves out of checkpoints.

    Args:
        model: whose layers draw; it must not have been traced yet.
        seed: of the run.
        step: scalar integer variable, the number of finished steps.
    """
    drawing = [layer for layer in model.layers if hasattr(layer, "_random_generator")]
    kept = [layer._random_generator for layer in drawing]
    for number, layer in enumerate(drawing):
        _replace_generator(layer, _StepGenerator(seed, number, step))
    try:
        yield
    finally:
        for layer, generator in zip(drawing, kept, strict=True):
            _replace_generator(layer, generator)


@tf.__internal__.tracking.no_automatic_dependency_tracking
def _replace_generator(layer: Any, generator: Any) -> None:
    layer._random_generator = generator


class _StepGenerator:
    """What Keras's layers ask of a generator, by TensorFlow's stateless operations."""

    _rng_type = "stateless"

    def __init__(self, seed: int, number: int, step: Any) -> None:
        self._seed, self._number, self._step = seed, number, step

    def _maybe_init(self) -> None:
        """Keras calls it before the first draw; there is nothing to do."""

    def make_seed_for_stateless_op(self) -> Any:
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context is not None else 0
        fold_in = tf.random.experimental.stateless_fold_in
        seed = fold_in(tf.constant([self._seed, self._number], tf.int64), tf.cast(self._step, tf.int64))
        return fold_in(seed, tf.cast(replica, tf.int64))

    def make_legacy_seed(self) -> None:
        """Keras asks for it where operations have a state; these have none."""

    def dropout(self, inputs: Any, rate: Any, noise_shape: Any = None) -> Any:
        return tf.nn.experimental.stateless_dropout(
            inputs, rate=rate, noise_shape=noise_shape, seed=self.make_seed_for_stateless_op()
        )

    def random_normal(
        self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, nonce: Any = None
    ) -> Any:
        return tf.random.stateless_normal(
            shape, self.make_seed_for_stateless_op(), mean, stddev, dtype or tf.float32
        )

    def random_uniform(
        self, shape: Any, minval: Any = 0.0, maxval: Any = None, dtype: Any = None, nonce: Any = None
    ) -> Any:
        return tf.random.stateless_uniform(
            shape, self.make_seed_for_stateless_op(), minval, maxval, dtype or tf.float32
        )

    def truncated_normal(
        self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, nonce: Any = None
    ) -> Any:
        return tf.random.stateless_truncated_normal(
            shape, self.make_seed_for_stateless_op(), mean, stddev, dtype or tf.float32
        )
