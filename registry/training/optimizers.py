"""Optimizers whose update of a variable is one kernel: the mathematics of tf-keras's, without its intermediate tensors.

tf-keras writes an update as a sum of products, each a tensor of the variable's size; for networks of which weights take
most of the memory, those of all variables together take more than the activations. TensorFlow has kernels for the same
formulas that work in place. Slot variables and their names are tf-keras's, and so are checkpoints.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras, tf
from registry.config import RecipeConfig
from registry.training.schedules import Schedule
from registry.training.step import decayed_variables

__all__ = ["AdamW", "MomentumSGD", "make_optimizer"]


class MomentumSGD(keras.optimizers.SGD):
    """`tf_keras.optimizers.SGD` for dense gradients: v ← momentum · v − rate · g, w ← w + v (or Nesterov's w)."""

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Update a variable in place."""
        velocity = self.momentums[self._index_dict[self._var_key(variable)]]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=tf.cast(self.learning_rate, variable.dtype),
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


class AdamW(keras.optimizers.AdamW):
    """`tf_keras.optimizers.AdamW` for dense gradients (arXiv:1711.05101); weights decay as tf-keras does it."""

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Update a variable in place."""
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        index = self._index_dict[self._var_key(variable)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(self.learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=gradient,
        )


def make_optimizer(config: RecipeConfig, schedule: Schedule, model: Any) -> Any:
    """The optimizer of a recipe; decay is for kernels only, and AdamW's own."""
    section = config.optimizer
    if section.name == "sgd":
        return MomentumSGD(schedule, momentum=section.momentum, nesterov=section.nesterov)
    optimizer = AdamW(
        schedule,
        weight_decay=config.weight_decay,
        beta_1=section.beta_1,
        beta_2=section.beta_2,
        epsilon=section.epsilon,
    )
    decayed = {variable.ref() for variable in decayed_variables(model)}
    optimizer.exclude_from_weight_decay(
        var_list=[variable for variable in model.trainable_variables if variable.ref() not in decayed]
    )
    return optimizer
