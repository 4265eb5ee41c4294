"""Averages by convolution are the averages, where every window lies on the map."""

import numpy as np
import pytest
from small_networks import blocks

import registry
from registry.backend import keras
from registry.inspection import inspect_delegates, inspect_model
from registry.rewrites import Graph
from registry.rewrites.pooling import average_by_convolution
from registry.testing.randomizing import randomize

layers = keras.layers


def pooled(size, *arguments, **options):
    inputs = layers.Input((*size, 5))
    return keras.Model(inputs, layers.ReLU()(layers.AveragePooling2D(*arguments, **options)(inputs)))


@pytest.mark.parametrize(
    ("size", "arguments", "options"),
    [
        ((8, 6), (2,), {"padding": "same"}),
        ((8, 6), (2,), {}),
        ((9, 7), (2,), {}),
        ((9, 7), (3, 2), {"padding": "valid"}),
        ((8, 6), ((4, 1), 2), {}),
        ((9, 7), (1, 2), {"padding": "same"}),
        ((12, 15), (3,), {"padding": "same"}),
    ],
)
def test_whole_windows_are_convolved(size, arguments, options):
    model = pooled(size, *arguments, **options)
    graph = Graph.of(model)
    assert average_by_convolution(graph) == 1
    rewritten = graph.to_keras()
    image = np.random.default_rng(0).normal(size=(2, *size, 5)).astype(np.float32)
    np.testing.assert_allclose(rewritten(image), model(image), rtol=1e-6, atol=1e-6)
    assert not rewritten.weights  # nothing that training, pruning or clustering could change
    assert average_by_convolution(Graph.of(rewritten)) == 0


@pytest.mark.parametrize(
    ("size", "arguments", "options"),
    [
        ((9, 6), (2,), {"padding": "same"}),  # the last row is an average of one
        ((8, 6), (3, 1), {"padding": "same"}),
        ((None, None), (2,), {"padding": "same"}),
        ((8, 6), (2, (2, 1)), {}),  # TensorFlow's depthwise convolution has one stride for both axes
        ((64, 64), (6,), {}),  # more taps than a kernel should have
    ],
)
def test_others_stay(size, arguments, options):
    assert average_by_convolution(Graph.of(pooled(size, *arguments, **options))) == 0


def test_an_integer_file_stays_in_one_piece(small_preset, tmp_path):
    """ResNet-vd's shortcuts average 2×2 pixels: from calibration, and from training with the rounding."""
    images = blocks(8, 64)
    small_preset["encoder"]["options"]["block_type"] = "basic_block_vd"
    model = registry.build(small_preset, weights=None)
    randomize(model, np.asarray(model.preprocessor(images.astype(np.float32))))
    rounded = registry.quantize(model, calibration=images, size=(64, 64), progress=False)
    for number, (source, options) in enumerate([(model, {"calibration": images}), (rounded, {})]):
        path = tmp_path / f"{number}.tflite"
        report = registry.export(
            source, path, size=(64, 64), quantization="int8", input_dtype="int8", progress=False, **options
        )
        assert report.rewrites["average_by_convolution"] > 0
        assert "AVERAGE_POOL_2D" not in report.operations
        delegates = inspect_delegates(path, inspect_model(path))
        assert (delegates.xnnpack_partitions, delegates.outside) == (1, ())
