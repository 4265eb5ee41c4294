"""Sums, products and averages of several tensors become those of two, with equal results."""

import numpy as np
import pytest
from small_networks import randomize

from registry.backend import keras
from registry.rewrites import Graph
from registry.rewrites.sums import combine_in_pairs

layers = keras.layers


def branches(x, count):
    return [layers.Conv2D(5, 3, padding="same", name=f"branch_{number}")(x) for number in range(count)]


@pytest.mark.parametrize(
    ("layer", "count", "pairs"),
    [
        (layers.Add, 4, 3),
        (layers.Multiply, 3, 2),
        (layers.Average, 2, 1),
        (layers.Average, 3, 2),
    ],
)
def test_many_become_pairs(layer, count, pairs):
    inputs = layers.Input((8, 6, 3))
    combined = layer(name="combined")(branches(inputs, count))
    model = randomize(keras.Model(inputs, layers.ReLU()(combined)))
    graph = Graph.of(model)
    assert combine_in_pairs(graph) == 1
    rewritten = graph.to_keras()
    assert all(
        len(made.input) == 2 for made in rewritten.layers if isinstance(made, (layers.Add, layers.Multiply))
    )
    kinds = [type(made).__name__ for made in rewritten.layers]
    assert kinds.count("Add") + kinds.count("Multiply") == pairs
    assert rewritten.get_layer("combined").output_shape == (None, 8, 6, 5)
    image = np.random.default_rng(0).normal(size=(2, 8, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(rewritten(image), model(image), rtol=1e-6, atol=1e-6)
    assert combine_in_pairs(Graph.of(rewritten)) == 0


def test_one_pixel_is_broadcast():
    inputs = layers.Input((8, 6, 3))
    full = branches(inputs, 2)
    pixel = layers.GlobalAveragePooling2D(keepdims=True)(full[0])
    model = randomize(keras.Model(inputs, layers.Add()([pixel, pixel, full[1]])))
    graph = Graph.of(model)
    assert combine_in_pairs(graph) == 1
    image = np.random.default_rng(0).normal(size=(1, 8, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(graph.to_keras()(image), model(image), rtol=1e-6, atol=1e-6)


def test_two_stay():
    inputs = layers.Input((8, 6, 3))
    model = keras.Model(inputs, layers.Add()(branches(inputs, 2)))
    assert combine_in_pairs(Graph.of(model)) == 0
