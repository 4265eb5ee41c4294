"""Activations against their formulas, and as the single operations that TFLite has kernels for."""

import math

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.activations import ACTIVATIONS, activation
from registry.models.layers import squeeze_excite

POINTS = np.linspace(-7, 7, 57, dtype=np.float32).reshape(1, 3, 19, 1)


def relu6(x):
    return np.clip(x, 0, 6)


FORMULAS = {
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "hard_sigmoid": lambda x: relu6(x + 3) / 6,
    "hard_swish": lambda x: x * relu6(x + 3) / 6,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": relu6,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("kind", sorted(ACTIVATIONS))
def test_activation_equals_its_formula(kind):
    layer = activation(kind, name="activation")
    np.testing.assert_allclose(layer(POINTS), FORMULAS[kind](POINTS.astype(np.float64)), atol=1e-6)
    assert tuple(layer.compute_output_shape((None, 3, 19, 1))) == (None, 3, 19, 1)
    again = type(layer).from_config(layer.get_config())
    np.testing.assert_array_equal(again(POINTS), layer(POINTS))


@pytest.mark.parametrize("kind", sorted(ACTIVATIONS))
def test_mixed_precision_keeps_its_dtype(kind):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        assert activation(kind)(tf.constant(POINTS, tf.float16)).dtype == tf.float16
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_an_unknown_activation_names_the_nearest():
    with pytest.raises(ModelError, match="hard_swish"):
        activation("hard_swiss")


NAMES = {part: f"se_{part}" for part in ("pool", "reduce", "activation", "expand", "gate", "scale")}


def test_squeeze_excite_scales_each_channel_by_a_gate_of_its_mean():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, squeeze_excite(inputs, 3, gate="hard_sigmoid", names=NAMES))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    reduce, reduce_bias, expand, expand_bias = model.get_weights()
    image = rng.normal(size=(2, 5, 7, 4)).astype(np.float32)
    hidden = np.maximum(image.mean((1, 2)) @ reduce[0, 0] + reduce_bias, 0)
    gate = relu6(hidden @ expand[0, 0] + expand_bias + 3) / 6
    np.testing.assert_allclose(model(image), image * gate[:, None, None], atol=1e-5)
    assert [layer.name for layer in model.layers[1:]] == list(NAMES.values())
