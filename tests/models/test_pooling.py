"""Atrous pooling equals its definition, tap by tap, and strided pooling where it is subsampled."""

import itertools

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.pooling import AtrousAveragePooling2D, AtrousMaxPooling2D

CLASSES = {AtrousMaxPooling2D: np.max, AtrousAveragePooling2D: np.mean}


def image(height=9, width=11):
    return np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)


def by_definition(x, reduce, rate, taps, before, padding):
    """Gather the taps of every window that lie on the map."""
    _, height, width, _ = x.shape
    rows = [[row + (tap - before[0]) * rate for tap in range(taps[0])] for row in range(height)]
    columns = [[column + (tap - before[1]) * rate for tap in range(taps[1])] for column in range(width)]
    if padding == "valid":
        rows = [[row + tap * rate for tap in range(taps[0])] for row in range(height - (taps[0] - 1) * rate)]
        columns = [
            [column + tap * rate for tap in range(taps[1])] for column in range(width - (taps[1] - 1) * rate)
        ]
    result = np.zeros((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    for (i, ys), (j, xs) in itertools.product(enumerate(rows), enumerate(columns)):
        inside = x[:, [y for y in ys if 0 <= y < height]][:, :, [x for x in xs if 0 <= x < width]]
        result[:, i, j] = reduce(inside, axis=(1, 2))
    return result


@pytest.mark.parametrize("layer", CLASSES)
@pytest.mark.parametrize("rate", [1, 2, 4])
@pytest.mark.parametrize(
    ("taps", "before", "padding"),
    [
        ((2, 2), (0, 0), "same"),
        ((2, 2), (1, 1), "same"),
        ((3, 3), (1, 1), "same"),
        ((3, 3), (0, 0), "same"),
        ((3, 2), (2, 0), "same"),
        ((5, 1), (2, 0), "same"),
        ((2, 3), (0, 1), "valid"),
    ],
)
def test_pooling_is_what_it_says(layer, rate, taps, before, padding):
    x = image()
    pooling = layer(rate, pool_size=taps, taps_before=before, padding=padding)
    expected = by_definition(x, CLASSES[layer], rate, taps, before, padding)
    np.testing.assert_allclose(pooling(x), expected, atol=1e-6)
    assert tuple(pooling.compute_output_shape(x.shape)) == expected.shape
    open_size = keras.layers.Input((None, None, 3))
    np.testing.assert_allclose(keras.Model(open_size, pooling(open_size))(x), expected, atol=1e-6)


@pytest.mark.parametrize("layer", CLASSES)
def test_maps_smaller_than_the_rate(layer):
    x = image(2, 3)
    expected = by_definition(x, CLASSES[layer], 4, (3, 3), (1, 1), "same")
    np.testing.assert_allclose(layer(4, pool_size=3)(x), expected, atol=1e-6)
    np.testing.assert_allclose(expected, x)


@pytest.mark.parametrize(
    ("layer", "strided"),
    [
        (AtrousMaxPooling2D, keras.layers.MaxPooling2D),
        (AtrousAveragePooling2D, keras.layers.AveragePooling2D),
    ],
)
@pytest.mark.parametrize("taps", [2, 3, 5])
def test_subsampled_it_is_strided_pooling_borders_included(layer, strided, taps):
    x = image(12, 8)
    expected = strided(taps, strides=2, padding="same")(x)
    before = (taps - 2) // 2  # rows that `same` padding adds before the map at even sizes
    got = layer(1, pool_size=taps, taps_before=before)(x)[:, ::2, ::2]
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("layer", CLASSES)
def test_gradients_and_dtypes(layer):
    x = tf.constant(image(6, 6))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(2, pool_size=3)(x))
    # Each window gives away one unit in all.
    assert float(tf.reduce_sum(tape.gradient(total, x))) == pytest.approx(2 * 6 * 6 * 3, rel=1e-4)
    half = layer(2, pool_size=3, dtype=keras.mixed_precision.Policy("mixed_float16"))
    assert half(x).dtype == tf.float16


@pytest.mark.parametrize("layer", CLASSES)
def test_configuration_survives(layer):
    pooling = layer(3, pool_size=(3, 5), taps_before=(0, 2), padding="valid")
    assert layer.from_config(pooling.get_config()).get_config() == pooling.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"padding": "full"}, "'same' or 'valid'"), ({"pool_size": 3, "taps_before": 3}, "counts taps")],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        AtrousMaxPooling2D(2, **arguments)
