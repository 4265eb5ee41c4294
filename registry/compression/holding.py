"""`Compression`: what kernels are held to in every step of training.

Nothing is wrapped and no variable is added to the model: what holds of a kernel is read off the kernel before a step,
and made to hold again after it. So a model that is saved and read back, in whatever way, is held to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from registry.backend import tf
from registry.compression.kernels import Kernel, KernelFacts, kernel_facts, matches
from registry.compression.patterns import kept_values
from registry.compression.schedules import Moments
from registry.config.compression import CompressionConfig, PruningTraining

__all__ = ["Compression"]


class Compression(tf.Module):
    """Zeros that stay, values that are shared; and with a schedule, zeros that are made.

    Args:
        config: what holds, as the preset says it.
        model: whose kernels are held.
        kernels: those of them that are; equal values are, with clustering, outside of the layers that it excludes.
        schedule: how zeros are made; None only keeps those that there are.
    """

    def __init__(
        self,
        config: CompressionConfig,
        model: Any,
        kernels: Sequence[Kernel],
        schedule: PruningTraining | None = None,
    ) -> None:
        super().__init__(name="compression")
        self.config = config
        # By a function: a module that held the model would have all of it in its checkpoints.
        self._facts = lambda: kernel_facts(model)
        self._kernels = tuple(kernels)
        self._shared = [self.shares(kernel.layer) for kernel in kernels]
        self._schedule = schedule
        self._moments = None if schedule is None else Moments(schedule)
        self.step = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name="compression_step",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        """Steps of training that were made."""
        if self._moments is not None:
            self._make_zeros(tf.constant(0, tf.int64), [kernel.variable.read_value() for kernel in kernels])
            if self._moments.last == 0:
                self._moments = None  # all are made, and need only be kept

    @property
    def is_complete(self) -> bool:
        """Whether all zeros are made; until then, a better score may only be that of a denser model."""
        return self._moments is None or int(self.step.numpy()) >= self._moments.last

    @property
    def kernels(self) -> tuple[KernelFacts, ...]:
        """What all kernels of the model consist of now, held or not."""
        return self._facts()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose kernels are held."""
        return tuple(kernel.layer for kernel in self._kernels)

    def shares(self, layer: str) -> bool:
        """Whether equal values of a layer's kernel stay equal: with clustering, where the layer is not excluded."""
        clustering = self.config.clustering
        return clustering is not None and not matches(layer, clustering.exclude)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this block a step is made; after it, kernels are what they were held to.

        `fit` and `registry.train` do this by themselves; a loop of one's own writes

            with model.compression.held():
                optimizer.apply_gradients(zip(gradients, model.trainable_variables))

        - A value that was zero is zero again. (A kernel of zeros alone is fresh, not pruned.)
        - With clustering, values that were equal take the mean of their steps, which is the gradient of a shared
          value (arXiv:1510.00149, section 3).
        - With a schedule, where it is due, the smallest values become zero.
        """
        before = [tf.identity(kernel.variable.read_value()) for kernel in self._kernels]
        yield
        values = []
        for kernel, is_shared, like in zip(self._kernels, self._shared, before, strict=True):
            value = kernel.variable.read_value()
            if is_shared:
                value = like + _mean_of_equals(value - like, like)
            values.append(_with_zeros_of(value, like))
        self.step.assign_add(1)
        if self._moments is None:
            _assign(self._kernels, values)
        else:
            self._make_zeros(self.step.read_value(), values)

    def impose(self, counterpart: Callable[[Any], Any]) -> None:
        """Let other variables, such as averages of the weights, have the zeros and the equal values of the kernels.

        Args:
            counterpart: variable of a kernel → the other variable.
        """
        for kernel, is_shared in zip(self._kernels, self._shared, strict=True):
            like, other = kernel.variable.read_value(), counterpart(kernel.variable)
            value = other.read_value()
            if is_shared:
                value = _one_of_equals(value, like)
            other.assign(_with_zeros_of(value, like))

    def on(self, model: Any, kernels: Sequence[Kernel]) -> Compression:
        """The same, without its schedule, for another model with these values."""
        return Compression(self.config, model, kernels)

    def _make_zeros(self, step: Any, values: list[Any]) -> None:
        """Write values, after making zeros of them where the schedule is due."""
        schedule, moments = self._schedule, self._moments
        if schedule is None or moments is None:
            raise TypeError("there is no schedule")  # a caller's mistake, not a user's
        is_due, sparsity = moments(step)

        def pruned() -> list[Any]:
            return [
                tf.where(kept_values(kernel, value, schedule, sparsity), value, tf.zeros_like(value))
                for kernel, value in zip(self._kernels, values, strict=True)
            ]

        _assign(self._kernels, tf.cond(is_due, pruned, lambda: [tf.identity(value) for value in values]))


def _assign(kernels: Sequence[Kernel], values: Sequence[Any]) -> None:
    variables = [kernel.variable for kernel in kernels]
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return

    def update(strategy: Any, values: Sequence[Any]) -> None:
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable, lambda one, new: one.assign(new), args=(value,))

    # Every replica has the same kernels, hence the same new values.
    context.merge_call(update, args=(list(values),))


def _with_zeros_of(values: Any, like: Any) -> Any:
    lives = tf.not_equal(like, 0.0)
    return tf.where(lives | ~tf.reduce_any(lives), values, tf.zeros_like(values))


def _groups(like: Any) -> tuple[Any, Any]:
    """Number of the value of each place, and how many values there are."""
    unique, numbers = tf.unique(tf.reshape(like, (-1,)))
    return numbers, tf.size(unique)


def _mean_of_equals(changes: Any, like: Any) -> Any:
    numbers, count = _groups(like)
    means = tf.math.unsorted_segment_mean(tf.reshape(changes, (-1,)), numbers, count)
    return tf.reshape(tf.gather(means, numbers), like.shape)


def _one_of_equals(values: Any, like: Any) -> Any:
    """Of values that should be equal, and are up to rounding, the greatest."""
    numbers, count = _groups(like)
    greatest = tf.math.unsorted_segment_max(tf.reshape(values, (-1,)), numbers, count)
    return tf.reshape(tf.gather(greatest, numbers), like.shape)
