"""PyTorch's layout becomes Keras's: the same sums, nothing lost, nothing read before its time."""

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.errors import WeightsMismatchError
from registry.weights.arrays import StoredArray
from registry.weights.conversion import (
    batch_norm,
    convolution,
    dense,
    depthwise_convolution,
    is_torch_layout,
    layer_norm,
    parameter,
    torch_layers,
)


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def patches(image, size):
    """(channels, height, width) → every window, (channels, rows, columns, size, size)."""
    return np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(1, 2))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_sums_the_same_products(groups):
    kernel, image = noise(6, 4 // groups, 3, 3), noise(4, 7, 8)
    windows = patches(image, 3).reshape(groups, 4 // groups, 5, 6, 3, 3)
    by_definition = np.einsum("gcyxhw,gochw->goyx", windows, kernel.reshape(groups, -1, *kernel.shape[1:]))
    layer = keras.layers.Conv2D(6, 3, groups=groups, use_bias=False)
    layer.build((None, 7, 8, 4))
    layer.kernel.assign(np.asarray(convolution(kernel)))
    np.testing.assert_allclose(
        layer(image.transpose(1, 2, 0)[None])[0],
        by_definition.reshape(6, 5, 6).transpose(1, 2, 0),
        atol=1e-5,
    )


def test_a_depthwise_convolution_sums_the_same_products():
    kernel, image = noise(4, 1, 3, 3), noise(4, 7, 8)
    by_definition = np.einsum("cyxhw,chw->cyx", patches(image, 3), kernel[:, 0])
    converted = np.asarray(depthwise_convolution(kernel))
    result = tf.nn.depthwise_conv2d(image.transpose(1, 2, 0)[None], converted, [1, 1, 1, 1], "VALID")[0]
    np.testing.assert_allclose(result, by_definition.transpose(1, 2, 0), atol=1e-5)


def test_a_dense_kernel_also_from_a_pointwise_convolution():
    kernel, features = noise(5, 3), noise(2, 3)
    np.testing.assert_allclose(features @ np.asarray(dense(kernel)), features @ kernel.T, atol=1e-6)
    np.testing.assert_array_equal(dense(kernel[:, :, None, None]), kernel.T)


@pytest.mark.parametrize(
    ("convert", "array"),
    [
        (convolution, noise(2, 3)),
        (depthwise_convolution, noise(4, 2, 3, 3)),
        (depthwise_convolution, noise(4)),
        (dense, noise(4, 2, 3, 3)),
    ],
)
def test_another_shape_is_refused_by_its_shape(convert, array):
    with pytest.raises(WeightsMismatchError) as caught:
        convert(array)
    assert str(array.shape) in str(caught.value)


def file_of_a_block():
    return {
        "conv.weight": [noise(4, 3, 3, 3)],
        "bn.weight": [noise(4)],
        "bn.running_var": [noise(4) ** 2],
        "bn.running_mean": [noise(4) + 1],
        "bn.bias": [noise(4) + 2],
        "bn.num_batches_tracked": [np.zeros((), np.int64)],
        "dw.weight": [noise(4, 1, 3, 3)],
        "fc.bias": [noise(2)],
        "fc.weight": [noise(2, 4)],
        "scale.gamma": [noise(4)],
    }


def test_normalizations_by_prefix():
    arrays = file_of_a_block()
    gamma, beta, mean, variance = batch_norm(arrays, "bn")
    for array, suffix in (
        (gamma, "weight"),
        (beta, "bias"),
        (mean, "running_mean"),
        (variance, "running_var"),
    ):
        np.testing.assert_array_equal(array, arrays[f"bn.{suffix}"][0])
    assert [np.asarray(a)[0] for a in layer_norm(arrays, "bn")] == [np.asarray(a)[0] for a in (gamma, beta)]


def test_an_absent_parameter_is_named_with_its_neighbours():
    with pytest.raises(WeightsMismatchError, match=r"bn1\.running_mean[\s\S]*'bn\.running_mean'"):
        parameter(file_of_a_block(), "bn1.running_mean")


def test_a_whole_file_is_gathered_by_module():
    arrays = file_of_a_block()
    layers = torch_layers(arrays)
    assert {name: [array.shape for array in held] for name, held in layers.items()} == {
        "conv": [(3, 3, 3, 4)],
        "bn": [(4,)] * 4,
        "dw": [(3, 3, 4, 1)],
        "fc": [(4, 2), (2,)],
        "scale": [(4,)],
    }
    np.testing.assert_array_equal(layers["bn"][3], arrays["bn.running_var"][0])
    assert torch_layers(arrays, depthwise=lambda name: False)["dw"][0].shape == (3, 3, 1, 4)


def test_layouts_are_told_apart_by_names():
    assert is_torch_layout(file_of_a_block())
    assert not is_torch_layout({"conv1_conv": [], "block1": []})


def test_nothing_is_read_until_numpy_asks():
    reads = []

    def read():
        reads.append(1)
        return noise(4, 1, 3, 3)

    array = StoredArray((4, 1, 3, 3), read)
    converted = depthwise_convolution(array)
    assert converted.shape == (3, 3, 4, 1)
    assert array.transpose().shape == (3, 3, 1, 4)
    assert array.reshape(4, 9).shape == (4, 9)
    assert not reads
    np.testing.assert_array_equal(np.asarray(converted), noise(4, 1, 3, 3).transpose(2, 3, 0, 1))
    assert len(reads) == 1
    with pytest.raises(ValueError, match="cannot reshape"):
        array.reshape(5, 9)
