"""One step of training: loss, gradients, update; the same on one device and on many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from registry.backend import keras, tf
from registry.errors import ModelError

__all__ = ["TrainingStep", "decayed_variables", "freeze_batch_norm"]

Loss = Callable[[Any, Any], Any]


def freeze_batch_norm(model: Any) -> int:
    """Keep every batch normalization at its statistics, scale and offset.

    For batches that are too small for statistics of their own (arXiv:1706.05587, section 4).

    Returns:
        How many layers were frozen.
    """
    frozen = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in frozen:
        layer.trainable = False
    return len(frozen)


def decayed_variables(model: Any) -> list[Any]:
    """The variables that weight decay is for: kernels, neither biases nor scales and offsets of normalizations."""
    normalizations = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    return [
        variable
        for layer in model.layers
        if not isinstance(layer, normalizations)
        for variable in layer.trainable_variables
        if variable.shape.rank > 1
    ]


class TrainingStep:
    """Updates a model by one batch.

    Args:
        model: a segmenter of atrous, normalized pixels → logits.
        optimizer: of tf-keras.
        losses: (weight, loss) pairs; each loss gives one number per image.
        batch_size: images of the batch, of all replicas together.
        weight_decay: factor of the L2 penalty's gradient, added to that of each kernel.
        clip_norm: largest norm of all gradients together; None leaves them.
        factors: reference of a variable (`variable.ref()`) → factor on its gradient, penalty included, where that
            is not 1: a learning rate of its own, for optimizers that do not normalize gradients.
        distillation: (preprocessed images, logits) → one more loss per image.

    Raises:
        ModelError: the model ends in an activation; losses need logits.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        losses: Sequence[tuple[float, Loss]],
        *,
        batch_size: int,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        factors: Mapping[Any, float] | None = None,
        distillation: Loss | None = None,
    ) -> None:
        if getattr(model, "activation", None) is not None:
            raise ModelError(
                "training needs logits",
                received=f"a model that ends in {model.activation!r}",
                repair="build it with activation: null; export and predict apply the softmax",
            )
        self.model, self.optimizer = model, optimizer
        self.losses = tuple(losses)
        self.batch_size = batch_size
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self._factors = dict(factors or {})
        self._distillation = distillation
        self._decayed = {variable.ref() for variable in decayed_variables(model)}
        optimizer.build(model.trainable_variables)

    def __call__(self, images: Any, masks: Any) -> Any:
        """Train on this replica's part of a batch.

        Args:
            images: uint8 or float32 (part of the batch, height, width, 3), RGB in 0…255.
            masks: integers (part of the batch, height, width).

        Returns:
            This replica's share of the batch's loss: the sum over all replicas is the mean over all images.
        """
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            inputs = self.model.preprocessor(images)
            logits = self.model(inputs, training=True)
            losses = [weight * loss(masks, logits) for weight, loss in self.losses]
            if self._distillation is not None:
                losses.append(self._distillation(inputs, logits))
            per_image = tf.add_n(losses)
            loss = tf.reduce_sum(per_image) / self.batch_size
            scaled = (
                self.optimizer.get_scaled_loss(loss)
                if isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)
                else loss
            )
        gradients = tape.gradient(scaled, variables)
        if isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer):
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        gradients = self._summed(gradients)
        gradients = [
            self._with_decay(gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        if self._factors:
            gradients = [
                gradient * self._factors.get(variable.ref(), 1.0)
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        self.optimizer.apply_gradients(
            zip(gradients, variables, strict=True), skip_gradients_aggregation=True
        )
        return loss

    @staticmethod
    def _summed(gradients: list[Any]) -> list[Any]:
        """Sum over the replicas, before decay and clipping, which are no replica's own."""
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return gradients
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, gradients))

    def _with_decay(self, gradient: Any, variable: Any) -> Any:
        if not self.weight_decay or variable.ref() not in self._decayed:
            return gradient
        return gradient + self.weight_decay * variable
