"""Weights of a network that lives: no signal dies or explodes, no two layers are alike, statistics are not 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import keras

__all__ = ["randomize"]


def randomize(model: Any, images: NDArray[np.float32], seed: int = 0, *, common: float = 0.0) -> Any:
    """Draw every weight, then let each batch normalization measure its statistics on `images`.

    Fresh weights hide mistakes: a batch normalization that starts as the identity, a bias of 0, a layer scale of
    1e-6 that silences its whole branch.

    Args:
        model: `tf_keras.Model`, changed in place.
        images: normalized images (batch, height, width, 3).
        seed: of the random numbers.
        common: what all values of a channel's kernel have in common, in standard deviations of the others. Where
            signals add up and errors average out, as in trained networks, a hundred layers carry what they are given;
            of kernels without it, each multiplies the rounding of those before.

    Returns:
        The model.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        # Statistics of a layer that normalizes its input by constants are no weights to draw.
        statistics = {id(variable) for variable in layer.non_trainable_weights}
        for variable in layer.weights:
            if id(variable) not in statistics or not layer.trainable:
                variable.assign(_drawn(variable, rng, common))
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0  # the moving statistics become the batch's
    model(images, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum
        # Off the measured ones, so that a folded normalization differs from an unfolded one that lacks a term. A
        # channel that hardly moves on few images would be blown up on others, layer after layer.
        mean, measured = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        variance = np.maximum(measured, 0.2 * np.median(measured)) + 1e-6
        layer.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * np.sqrt(variance))
        layer.moving_variance.assign(variance * rng.uniform(0.8, 1.25, mean.shape))
    return model


def _drawn(variable: Any, rng: np.random.Generator, common: float) -> NDArray[Any]:
    shape = tuple(variable.shape)
    name = variable.name.rsplit("/", 1)[-1].split(":")[0]
    if "depthwise_kernel" in name:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:2])), shape)
    if len(shape) >= 2:
        deviation = np.sqrt(2 / np.prod(shape[:-1]))
        values = rng.normal(0, deviation, shape)
        return values + rng.normal(0, common * deviation, shape[-1]) if common else values
    if "beta" in name or "bias" in name:
        return rng.normal(0, 0.1, shape)
    return rng.uniform(0.5, 1.5, shape)  # factors: gamma, a layer scale
