"""Dropout that follows from the step."""

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.training.randomness import drawn_by_step


@pytest.fixture
def model():
    inputs = keras.layers.Input((50,))
    first = keras.layers.Dropout(0.5, name="first")(inputs)
    second = keras.layers.Dropout(0.5, name="second")(inputs)
    noisy = keras.layers.GaussianNoise(2.0)(inputs)
    return keras.Model(inputs, [first, second, noisy])


def test_draws_follow_from_seed_step_and_layer(model):
    step = tf.Variable(0, dtype=tf.int64)
    ones = tf.ones((4, 50))

    def draws(seed):
        with drawn_by_step(model, seed, step):
            run = tf.function(lambda: model(ones, training=True))
            found = []
            for number in (0, 1, 0):
                step.assign(number)
                found.append([output.numpy() for output in run()])
        return found

    first, second, again = draws(7)
    for before, other, repeated in zip(first, second, again, strict=True):
        np.testing.assert_array_equal(before, repeated)
        assert (before != other).any()
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(draws(7)[1], second)
    assert (draws(8)[0][0] != first[0]).any()


def test_its_statistics_are_those_of_the_layers(model):
    step = tf.Variable(0, dtype=tf.int64)
    with drawn_by_step(model, 0, step):
        kept, _, noisy = model(tf.ones((400, 50)), training=True)
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert abs(np.mean(kept) - 1) < 0.03
    assert abs(np.std(noisy) - 2) < 0.05
    assert abs(np.mean(noisy) - 1) < 0.05


def test_layers_get_their_own_generators_back(model):
    layer = model.get_layer("first")
    own = layer._random_generator
    with drawn_by_step(model, 0, tf.Variable(0, dtype=tf.int64)):
        assert layer._random_generator is not own
    assert layer._random_generator is own
