"""The moving average of weights against its formula."""

import numpy as np

from registry.backend import tf
from registry.training.averaging import MovingAverage


def test_the_average_follows_its_formula():
    weight = tf.Variable([1.0, -2.0])
    average = MovingAverage([weight], 0.5)
    expected = np.array([1.0, -2.0])
    for step in range(12):
        weight.assign_add([1.0, 0.5])
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.numpy()
        np.testing.assert_allclose(average.averages[0], expected, rtol=1e-6)


def test_it_is_applied_for_a_while():
    weight, counter = tf.Variable([1.0]), tf.Variable(3, dtype=tf.int64)
    average = MovingAverage([weight, counter], 0.9)
    weight.assign([5.0])
    with average.applied():
        assert weight.numpy() == [1.0]
    assert weight.numpy() == [5.0]
    assert counter.numpy() == 3
    average.reset()
    with average.applied():
        assert weight.numpy() == [5.0]
