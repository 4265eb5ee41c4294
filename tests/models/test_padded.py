"""Separable, padded and grouped atrous convolutions equal Keras's in value and gradient."""

import numpy as np
import pytest

import registry.models.layers as ours
from registry.backend import keras, tf
from registry.models.layers import AtrousConv2D
from registry.models.padded import AtrousSeparableConv2D, PaddedAtrousConv2D, PaddedAtrousDepthwiseConv2D

L = keras.layers
EDGES = ((0, 4), (1, 3))


def image():
    return tf.constant(np.random.default_rng(0).normal(size=(2, 11, 13, 4)).astype(np.float32))


def value_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        weights = tf.reshape(tf.range(tf.size(y), dtype=tf.float32) % 7.0 - 3.0, tf.shape(y))
        loss = tf.reduce_sum(y * weights)
    return y, tape.gradient(loss, [x, *layer.trainable_variables])


def assert_same(layer, reference, *, graph):
    x = image()
    layer.build(x.shape)
    reference.build(x.shape)
    for ours_variable, theirs in zip(layer.weights, reference.weights, strict=True):
        theirs.assign(ours_variable)
    value, gradients = (tf.function(value_and_gradients) if graph else value_and_gradients)(layer, x)
    expected, expected_gradients = value_and_gradients(reference, x)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    assert tuple(layer.compute_output_shape(x.shape)) == expected.shape
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(("padding", "edges"), [("same", None), ("valid", None), ("valid", EDGES)])
@pytest.mark.parametrize("rate", [1, 2])
def test_separable(graph, padding, edges, rate):
    arguments = {
        "padding": padding,
        "dilation_rate": rate,
        "depth_multiplier": 2,
        "bias_initializer": "ones",
        "activation": "relu",
    }
    reference = keras.Sequential(
        [L.ZeroPadding2D(edges or 0), L.SeparableConv2D(5, 3, **arguments)],
    )
    layer = AtrousSeparableConv2D(5, 3, **arguments, **({"edges": edges} if edges else {}))
    assert_same(layer, reference, graph=graph)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("rate", [1, 2])
def test_padded(graph, rate):
    arguments = {"dilation_rate": rate, "bias_initializer": "ones", "activation": "relu"}
    for layer, reference in (
        (PaddedAtrousConv2D(5, 3, edges=EDGES, **arguments), L.Conv2D(5, 3, **arguments)),
        (PaddedAtrousDepthwiseConv2D(3, edges=EDGES, **arguments), L.DepthwiseConv2D(3, **arguments)),
    ):
        assert_same(layer, keras.Sequential([L.ZeroPadding2D(EDGES), reference]), graph=graph)


class OnePerGroup(L.Conv2D):
    """A convolution for each group, and their results side by side."""

    def _jit_compiled_convolution_op(self, inputs, kernel):
        parts = zip(tf.split(inputs, self.groups, -1), tf.split(kernel, self.groups, -1), strict=True)
        return tf.concat([self.convolution_op(*part) for part in parts], -1)


@pytest.mark.parametrize("native", [True, False], ids=["native", "compiled"])
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("arguments", [{"strides": 2}, {"dilation_rate": 2}], ids=["strided", "atrous"])
def test_groups(graph, arguments, native, monkeypatch):
    if not native:
        monkeypatch.setattr(ours, "has_grouped_kernels", lambda dtype: False)
    arguments = {"groups": 2, "padding": "same", "bias_initializer": "ones", **arguments}
    assert_same(AtrousConv2D(6, 3, **arguments), OnePerGroup(6, 3, **arguments), graph=graph)


@pytest.mark.parametrize("layer", [PaddedAtrousConv2D, AtrousSeparableConv2D])
def test_configuration_survives(layer):
    padded = layer(4, 3, edges=EDGES, dilation_rate=2)
    assert layer.from_config(padded.get_config()).get_config() == padded.get_config()
    depthwise = PaddedAtrousDepthwiseConv2D(3, edges=EDGES)
    assert PaddedAtrousDepthwiseConv2D.from_config(depthwise.get_config()).edges == EDGES
