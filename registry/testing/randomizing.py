"""Weights of a network that lives: no signal dies or explodes, no two layers are alike, statistics are not 0 and 1."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import keras

__all__ = ["randomize"]


def randomize(model: Any, images: NDArray[np.float32], seed: int = 0) -> Any:
    """Draw every weight, then let each batch normalization measure its statistics on `images`.

    Fresh weights hide mistakes: a batch normalization that starts as the identity, a bias of 0, a layer scale of
    1e-6 that silences its whole branch.

    Offsets of normalizations lie around 1, so that most of what reaches an activation passes. Where it cuts off half,
    as with offsets around 0, normalized layers with drawn kernels are chaotic: a difference grows by a fifth with each
    (arXiv:1902.08129), and after fifty the rounding of an integer file is all that is left of an image. Trained
    networks carry what they are given through a hundred.

    Args:
        model: `tf_keras.Model`, changed in place.
        images: normalized images (batch, height, width, 3).
        seed: of the random numbers.

    Returns:
        The model.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        # Statistics of a layer that normalizes its input by constants are no weights to draw.
        statistics = {id(variable) for variable in layer.non_trainable_weights}
        for variable in layer.weights:
            if id(variable) not in statistics or not layer.trainable:
                variable.assign(_drawn(variable, rng))
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    with _measuring(normalizations, rng):
        model(images, training=False)
    return model


@contextlib.contextmanager
def _measuring(normalizations: list[Any], rng: np.random.Generator) -> Iterator[None]:
    """Each layer takes the statistics of what reaches it, before it normalizes by them.

    All in one pass: a layer that measured what the others pass on in training, where each normalizes by the batch
    itself, would not know the shifts that inference brings. They add up until they are all that a network says.
    """

    def measured(layer: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        values = np.asarray(inputs, np.float64).reshape(-1, inputs.shape[-1])
        mean, variance = values.mean(0), values.var(0)
        # Off the measured ones, so that a folded normalization differs from an unfolded one that lacks a term. A
        # channel that hardly moves on few images would be blown up on others, layer after layer.
        variance = np.maximum(variance, 0.2 * np.median(variance)) + 1e-6
        layer.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * np.sqrt(variance))
        layer.moving_variance.assign(variance * rng.uniform(0.8, 1.25, mean.shape))
        return type(layer).call(layer, inputs, training=False)

    for layer in normalizations:
        layer.call = functools.partial(measured, layer)
    try:
        yield
    finally:
        for layer in normalizations:
            del layer.call


def _drawn(variable: Any, rng: np.random.Generator) -> NDArray[Any]:
    shape = tuple(variable.shape)
    name = variable.name.rsplit("/", 1)[-1].split(":")[0]
    if "depthwise_kernel" in name:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:2])), shape)
    if len(shape) >= 2:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
    if "beta" in name:
        return rng.normal(1, 0.1, shape)
    if "bias" in name:
        return rng.normal(0, 0.1, shape)
    return rng.uniform(0.5, 1.5, shape)  # factors: gamma, a layer scale
