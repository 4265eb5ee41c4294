"""Which values become zero: the numbers and the patterns, on kernels of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils

from registry.backend import keras, tf
from registry.compression.kernels import kernel_attribute, kernels_of
from registry.compression.patterns import kept_values, require_pattern
from registry.compression.schedules import Moments
from registry.config.compression import PruningConfig, PruningTraining
from registry.errors import CompressionError
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D
from registry.models.padded import AtrousSeparableConv2D, PaddedAtrousConv2D


def kernel_of(layer, channels=8):
    inputs = keras.layers.Input((channels,) if isinstance(layer, keras.layers.Dense) else (6, 6, channels))
    model = keras.Model(inputs, layer(inputs))
    (kernel,) = kernels_of(model, ())
    return kernel


def drawn(kernel, seed=0):
    return np.random.default_rng(seed).normal(0, 1, kernel.variable.shape).astype(np.float32)


LAYERS = {
    "convolution": lambda: keras.layers.Conv2D(12, 3),
    "atrous": lambda: AtrousConv2D(12, 3, dilation_rate=2, padding="same"),
    "padded": lambda: PaddedAtrousConv2D(12, 3, dilation_rate=2, edges=((1, 1), (1, 1))),
    "transposed": lambda: keras.layers.Conv2DTranspose(12, 3),
    "separable": lambda: keras.layers.SeparableConv2D(12, 3),
    "atrous separable": lambda: AtrousSeparableConv2D(12, 3, dilation_rate=2, padding="same"),
    "dense": lambda: keras.layers.Dense(12),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_kind_of_kernel_knows_its_channels(layer):
    kernel = kernel_of(LAYERS[layer]())
    values = drawn(kernel)
    matrices = kernel.matrices(tf.constant(values))
    assert matrices.shape[-2:] == (12, 8)
    np.testing.assert_array_equal(kernel.from_matrices(matrices), values)


def test_depthwise_kernels_are_left_alone():
    assert kernel_attribute(keras.layers.DepthwiseConv2D) is None
    assert kernel_attribute(AtrousDepthwiseConv2D) is None
    assert kernel_attribute(AtrousConv2D) == "kernel"


@given(sparsity=st.floats(0.01, 0.99), seed=st.integers(0, 9), ties=st.booleans())
@settings(max_examples=30)
def test_unstructured_zeros_are_the_smallest_and_as_many_as_asked_for(sparsity, seed, ties):
    kernel = kernel_of(keras.layers.Conv2D(3, 3))
    values = np.round(drawn(kernel, seed)) if ties else drawn(kernel, seed)
    kept = kept_values(kernel, values, PruningConfig(), sparsity).numpy()
    assert np.sum(~kept) == min(np.round(sparsity * values.size), values.size - 1)
    assert np.abs(values)[~kept].max(initial=0) <= np.abs(values)[kept].min()


@pytest.mark.parametrize("layer", LAYERS)
def test_two_in_four_along_the_input_channels(layer):
    kernel = kernel_of(LAYERS[layer]())
    values = drawn(kernel)
    kept = kept_values(kernel, values, PruningConfig(pattern="2:4"), 0.5)
    groups = kernel.matrices(kept).numpy().reshape(-1, 4)
    assert (groups.sum(1) == 2).all()
    magnitudes = np.abs(kernel.matrices(tf.constant(values)).numpy().reshape(-1, 4))
    assert (np.where(groups, np.inf, magnitudes).min(1) <= np.where(groups, magnitudes, np.inf).min(1)).all()
    pruned = tf.constant(values * kept.numpy())
    if layer != "transposed":  # of which tfmot takes the other channels
        assert pruning_utils.is_pruned_m_by_n(pruned, (2, 4))


def test_two_in_four_needs_channels_by_fours():
    inputs = keras.layers.Input((6, 6, 3))
    x = keras.layers.Conv2D(6, 1, name="stem")(inputs)
    x = keras.layers.Conv2D(8, 1, name="odd")(x)
    model = keras.Model(inputs, keras.layers.Conv2D(5, 1, name="last")(x))
    config = PruningConfig(pattern="2:4")
    with pytest.raises(
        CompressionError, match=r"stem: 3 channels; odd: 6 channels\n.*exclude=\['stem', 'odd'\]"
    ):
        require_pattern(kernels_of(model, ()), config)
    require_pattern(kernels_of(model, ("stem", "odd")), config)


@pytest.mark.parametrize("block", [(4, 1), (1, 4), (2, 2), (8, 3)])
@pytest.mark.parametrize("layer", ["convolution", "dense"])
def test_blocks_are_zero_as_a_whole(layer, block):
    kernel = kernel_of(LAYERS[layer]())
    values = drawn(kernel)
    config = PruningConfig(pattern="block", block=block, sparsity=0.6)
    kept = kernel.matrices(kept_values(kernel, values, config, 0.6)).numpy()
    magnitudes = np.abs(kernel.matrices(tf.constant(values)).numpy())
    zero, living = [], []
    for tap in range(kept.shape[0]):
        for row in range(0, 12, block[0]):
            for column in range(0, 8, block[1]):
                place = np.s_[tap, row : row + block[0], column : column + block[1]]
                assert kept[place].all() or not kept[place].any()
                (living if kept[place].any() else zero).append(magnitudes[place].mean())
    assert len(zero) == round(0.6 * (len(zero) + len(living)))
    assert max(zero) <= min(living) + 1e-6


@pytest.mark.parametrize(("begin", "end", "frequency"), [(0, 10, 1), (4, 23, 5), (3, 103, 7)])
def test_the_polynomial_schedule_is_its_formula(begin, end, frequency):
    config = PruningTraining(
        sparsity=0.9,
        schedule="polynomial",
        initial_sparsity=0.2,
        begin=begin,
        end=end,
        frequency=frequency,
        power=2.5,
    )
    moments = Moments(config)
    for step in range(end + 10):
        due, sparsity = moments(tf.constant(step, tf.int64))
        progress = np.clip((step - begin) / (end - begin), 0, 1)
        assert float(sparsity) == pytest.approx(0.9 + (0.2 - 0.9) * (1 - progress) ** 2.5, abs=1e-6)
        assert bool(due) == (begin <= step <= end and ((step - begin) % frequency == 0 or step == end))


def test_the_constant_schedule_is_one_moment():
    moments = Moments(PruningTraining(sparsity=0.7, begin=3))
    found = [moments(tf.constant(step, tf.int64)) for step in range(6)]
    assert [bool(due) for due, _ in found] == [False, False, False, True, False, False]
    assert float(found[3][1]) == pytest.approx(0.7)
    with pytest.raises(CompressionError, match="end=1000"):
        Moments(PruningTraining(schedule="polynomial"))
