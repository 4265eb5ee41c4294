"""What holds of kernels holds after every step, whatever makes the step."""

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.compression import Compression, kernel_facts
from registry.compression.centroids import shared_values
from registry.compression.kernels import kernels_of
from registry.config.compression import ClusteringConfig, CompressionConfig, PruningConfig, PruningTraining
from registry.training.averaging import MovingAverage

PRUNED = CompressionConfig(pruning=PruningConfig())
CLUSTERED = CompressionConfig(clustering=ClusteringConfig())
OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
}


def step_of(network, optimizer, compression, *, compiled=True):
    """A function of a number: one step on images drawn by it."""

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, network.trainable_variables)
        with compression.held():
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return gradients

    function = tf.function(step) if compiled else step

    def make(number):
        rng = np.random.default_rng(number)
        x = rng.normal(0, 1, (2, 8, 8, 4)).astype(np.float32)
        return function(x, rng.normal(0, 1, (2, 8, 8, 3)).astype(np.float32))

    optimizer.build(network.trainable_variables)
    return make


def kernels(network):
    return [network.get_layer(name).kernel.numpy() for name in ("first", "second")]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_gradient_moment_or_decay_revives_a_zero(network, optimizer):
    schedule = PruningTraining(sparsity=0.5, begin=2)
    compression = Compression(PRUNED, network, kernels_of(network, ()), schedule)
    step = step_of(network, OPTIMIZERS[optimizer](), compression)
    for number in range(2):  # moments arise while all weights live
        step(number)
    masks = [kernel == 0 for kernel in kernels(network)]
    assert [mask.sum() for mask in masks] == [144, 12]
    before = kernels(network)
    for number in range(2, 6):
        gradients = step(number)
        assert (np.abs(gradients[0].numpy())[masks[0]] > 0).any()
    for kernel, mask, old in zip(kernels(network), masks, before, strict=True):
        np.testing.assert_array_equal(kernel == 0, mask)
        assert (kernel != old)[~mask].all()


def test_a_schedule_reaches_its_sparsity_step_by_step_and_can_be_resumed(network, tmp_path):
    schedule = PruningTraining(
        sparsity=0.75, schedule="polynomial", begin=1, end=8, frequency=3, initial_sparsity=0.25
    )
    compression = Compression(PRUNED, network, kernels_of(network, ("second",)), schedule)
    assert compression.layers == ("first",)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    step = step_of(network, optimizer, compression)
    held = tf.train.Checkpoint(model=network, optimizer=optimizer, compression=compression)
    found = []
    for number in range(10):
        assert compression.is_complete == (number >= 8)
        step(number)
        found.append(kernel_facts(network)[0].sparsity)
        if number == 4:
            saved = held.save(str(tmp_path / "state"))

    def asked(finished):
        return np.round(288 * (0.75 - 0.5 * (1 - (finished - 1) / 7) ** 3)) / 288

    expected = [asked(1), asked(1), asked(1), asked(4), asked(4), asked(4), asked(7), 0.75, 0.75, 0.75]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert kernel_facts(network)[1].sparsity == 0
    whole = kernels(network)

    held.restore(saved).assert_existing_objects_matched()
    assert int(compression.step.numpy()) == 5
    for number in range(5, 10):
        step(number)
    for resumed, kernel in zip(kernels(network), whole, strict=True):
        np.testing.assert_array_equal(resumed, kernel)


def test_equal_values_move_by_the_mean_of_their_gradients(network):
    for layer in ("first", "second"):
        variable = network.get_layer(layer).kernel
        variable.assign(shared_values(variable.numpy(), 4, "linear"))
    compression = Compression(CLUSTERED, network, kernels_of(network, ()))
    before = kernels(network)[0]
    step = step_of(network, keras.optimizers.SGD(0.1), compression, compiled=False)
    gradient = step(0)[0].numpy()
    after = kernels(network)[0]
    values = np.unique(before)
    assert len(values) == 4
    for value in values:
        moved = np.unique(after[before == value])
        assert len(moved) == 1
        assert moved[0] == pytest.approx(value - 0.1 * gradient[before == value].mean(), abs=1e-6)


def test_many_steps_of_adam_make_no_more_values_and_averages_have_them_too(network):
    variable = network.get_layer("first").kernel
    pruned = np.where(np.abs(variable.numpy()) < 0.05, 0, variable.numpy())
    variable.assign(shared_values(pruned, 8, "kmeans_plus_plus"))
    config = CompressionConfig(pruning=PruningConfig(), clustering=ClusteringConfig(clusters=8))
    compression = Compression(config, network, kernels_of(network, ("second",)))
    zeros = variable.numpy() == 0
    assert zeros.any()
    average = MovingAverage(network.weights, 0.9)
    step = step_of(network, OPTIMIZERS["adamw"](), compression)
    for number in range(8):
        step(number)
        average.update(tf.constant(number))
        compression.impose(average.average_of)
    for values in (variable.numpy(), average.average_of(variable).numpy()):
        assert np.unique(values).size == 8
        np.testing.assert_array_equal(values == 0, zeros)
    assert np.unique(network.get_layer("second").kernel.numpy()).size == 24
    assert (variable.numpy() != average.average_of(variable).numpy()).any()


def test_a_fresh_kernel_of_zeros_is_not_held(network):
    network.get_layer("second").kernel.assign(np.zeros((1, 1, 8, 3)))
    compression = Compression(PRUNED, network, kernels_of(network, ()))
    step_of(network, keras.optimizers.SGD(0.1), compression, compiled=False)(0)
    assert (kernels(network)[1] != 0).all()


@pytest.mark.parametrize("initialization", ["kmeans_plus_plus", "linear", "density", "random"])
def test_shared_values_are_the_means_of_the_nearest(initialization):
    keras.utils.set_random_seed(1)
    values = np.random.default_rng(0).normal(0, 1, (3, 3, 8, 8)).astype(np.float32)
    result = shared_values(values, 6, initialization)
    centroids = np.unique(result)
    assert 2 <= centroids.size <= 6
    for centroid in centroids:
        assert centroid == pytest.approx(values[result == centroid].mean(), abs=1e-5)
    nearest = centroids[np.abs(values[..., None] - centroids).argmin(-1)]
    np.testing.assert_array_equal(nearest, result)


def test_zeros_are_a_cluster_and_few_values_stay():
    values = np.random.default_rng(0).normal(0, 1, 400).astype(np.float32)
    values[::2] = 0
    result = shared_values(values, 5, "kmeans_plus_plus")
    assert np.unique(result).size == 5
    np.testing.assert_array_equal(result == 0, values == 0)
    few = np.array([0.0, 0.5, 0.5, -1.0], np.float32)
    np.testing.assert_array_equal(shared_values(few, 3, "random"), few)
