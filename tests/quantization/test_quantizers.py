"""What rounds tensors, against its formulas."""

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.quantization.quantizers import FixedRange, KernelRounding, RangeObserver, whole_range


def rounded(values, axes, bits=8):
    """Symmetric rounding to 2^bits - 1 steps with a scale for each output channel, in NumPy."""
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    scale = np.abs(values).max(others, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.round(values / scale) * scale


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 3, 4, 5), (3,)), ((3, 3, 4, 2), (2, 3)), ((3, 3, 4, 5), (2,)), ((6, 7), (1,))]
)
@pytest.mark.parametrize("bits", [4, 8])
def test_kernels_have_a_scale_for_each_output_channel(shape, axes, bits):
    values = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    values *= np.geomspace(0.01, 10, shape[axes[0]]).reshape(
        [-1 if i == axes[0] else 1 for i in range(len(shape))]
    )
    result = KernelRounding(axes, bits)(tf.constant(values), True, {})
    np.testing.assert_allclose(result, rounded(values, axes, bits), rtol=1e-4, atol=1e-6)


def test_a_kernel_of_zeros_stays_one():
    result = KernelRounding((3,))(tf.zeros((3, 3, 2, 4)), False, {})
    np.testing.assert_array_equal(result, 0)


def test_gradients_pass_where_a_value_is_within_the_range():
    x = tf.constant([-3.0, -0.9, 0.2, 0.9, 4.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(FixedRange(-1.0, 1.0)(x, True, {}) * [1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 2, 3, 4, 0])


def test_an_observer_follows_the_extremes_until_it_is_frozen():
    layer = keras.layers.Layer()
    observer = RangeObserver(momentum=0.75)
    variables = observer.build(None, "output", layer)
    variables["min"].assign(-1.0)
    variables["max"].assign(2.0)
    low, high = -1.0, 2.0
    for factor in (1.0, 3.0):
        observer(tf.constant([-2.0, 0.5, 1.0]) * factor, True, variables)
        low, high = 0.75 * low - 0.25 * 2 * factor, 0.75 * high + 0.25 * factor
        np.testing.assert_allclose([variables["min"], variables["max"]], [low, high], rtol=1e-6)
    observer(tf.constant([-50.0, 50.0]), False, variables)
    observer.frozen = True
    observer(tf.constant([-50.0, 50.0]), True, variables)
    np.testing.assert_allclose([variables["min"], variables["max"]], [low, high], rtol=1e-6)


def test_activations_are_rounded_to_even_steps_of_their_range():
    observer = RangeObserver()
    variables = observer.build(None, "output", keras.layers.Layer())
    variables["min"].assign(-1.0)
    variables["max"].assign(1.55)
    values = np.random.default_rng(1).uniform(-2, 2, 1000).astype(np.float32)
    result = observer(tf.constant(values), False, variables).numpy()
    # 255 steps of 0.01, and -1 lies on one of them.
    expected = np.round(np.clip(values, -1.0, 1.55) / 0.01) * 0.01
    assert np.abs(result - expected).max() < 0.0101  # halves go either way
    assert np.mean(np.abs(result - expected) < 1e-5) > 0.99


def test_observers_of_one_group_share_their_range():
    shared = {}
    first, second = RangeObserver(shared=shared), RangeObserver(shared=shared)
    layers = keras.layers.Layer(), keras.layers.Layer()
    made = first.build(None, "output", layers[0])
    assert second.build(None, "output", layers[1]) is made
    assert [len(layer.weights) for layer in layers] == [2, 0]


@pytest.mark.parametrize(
    ("limits", "bits", "expected"),
    [
        ((0.0, 0.0), 8, (0.0, 1.0)),
        ((1.0, 3.0), 8, (0.0, 3.0)),
        ((-3.0, -1.0), 8, (-3.0, 1e-6)),
        ((-1.0, 3.0), 16, (-3.0, 3.0)),
        ((-4.0, 3.0), 16, (-4.0, 4.0)),
    ],
)
def test_ranges_are_those_that_kernels_can_have(limits, bits, expected):
    np.testing.assert_allclose(whole_range(*limits, bits), expected, rtol=1e-6)
