"""Atrous layers equal their references in value and gradient, eagerly and in a graph."""

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.layers import (
    AlignedUpSampling2D,
    AtrousAveragePooling2D,
    AtrousConv2D,
    AtrousDepthwiseConv2D,
    ResizeLike,
)

RATES = (2, 3, 6)


@pytest.fixture
def image():
    return tf.constant(np.random.default_rng(0).normal(size=(2, 15, 17, 3)).astype(np.float32))


def _value_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        # A weighted sum: a plain one would hide a gradient that lands on the wrong pixel.
        weights = tf.reshape(tf.range(tf.size(y), dtype=tf.float32) % 7.0 - 3.0, tf.shape(y))
        loss = tf.reduce_sum(y * weights)
    return y, tape.gradient(loss, [x, *layer.trainable_variables])


def _assert_same(layer, reference, x, *, graph):
    layer.build(x.shape)
    reference.build(x.shape)
    reference.set_weights(layer.get_weights())
    run = tf.function(_value_and_gradients) if graph else _value_and_gradients
    value, gradients = run(layer, x)
    expected, expected_gradients = _value_and_gradients(reference, x)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-3)


@pytest.fixture(params=["device", "own"])
def gradient(request, monkeypatch):
    """The gradient that this device has, and the one that serves the others."""
    if request.param == "own":
        monkeypatch.setattr("registry.models.native._differentiates_dilation", lambda dtype: False)


@pytest.mark.usefixtures("gradient")
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("rate", "kernel"), [(2, 3), (3, 3), (6, 3), (18, 3), (2, 4), ((2, 3), (3, 2))])
def test_atrous_conv2d_equals_keras(image, rate, kernel, padding, graph):
    if padding == "valid" and rate == 18:
        rate = 7  # the largest that fits
    arguments = {"dilation_rate": rate, "padding": padding, "bias_initializer": "ones", "activation": "relu"}
    _assert_same(
        AtrousConv2D(5, kernel, **arguments), keras.layers.Conv2D(5, kernel, **arguments), image, graph=graph
    )


@pytest.mark.usefixtures("gradient")
def test_atrous_conv2d_can_be_trained_at_open_sizes():
    model = keras.Sequential(
        [keras.layers.Input((None, None, 2)), AtrousConv2D(2, 3, dilation_rate=4, padding="same")]
    )
    reference = keras.Sequential(
        [keras.layers.Input((None, None, 2)), keras.layers.Conv2D(2, 3, dilation_rate=4, padding="same")]
    )
    reference.set_weights(model.get_weights())
    images = np.random.default_rng(3).normal(size=(4, 6, 5, 2)).astype(np.float32)
    for network in (model, reference):
        network.compile("sgd", "mse")
        network.fit(images, images, epochs=3, verbose=0)
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("rate", (1, *RATES))
@pytest.mark.parametrize("multiplier", [1, 2])
def test_atrous_depthwise_conv2d_equals_keras(image, rate, padding, graph, multiplier):
    arguments = {
        "dilation_rate": rate,
        "padding": padding,
        "depth_multiplier": multiplier,
        "bias_initializer": "ones",
        "activation": "relu",
    }
    _assert_same(
        AtrousDepthwiseConv2D(3, **arguments),
        keras.layers.DepthwiseConv2D(3, **arguments),
        image,
        graph=graph,
    )


def test_without_a_native_kernel_the_result_is_the_same(image, monkeypatch):
    layer = AtrousDepthwiseConv2D(3, dilation_rate=3, padding="same")
    native = layer(image)
    monkeypatch.setattr("registry.models.native._has_dilated_depthwise", lambda dtype: False)
    np.testing.assert_allclose(layer(image), native, atol=1e-5)


def test_depthwise_kernel_can_be_trained_by_fit(image):
    model = keras.Sequential(
        [keras.layers.Input(image.shape[1:]), AtrousDepthwiseConv2D(3, dilation_rate=4, padding="same")]
    )
    model.compile("sgd", "mse")
    before = model.get_weights()[0].copy()
    model.fit(image, image, epochs=1, verbose=0)
    assert np.abs(model.get_weights()[0] - before).max() > 0


@pytest.mark.parametrize("size", [(12, 10), (11, 9)])
def test_atrous_average_pooling_subsamples_to_strided_pooling(size):
    x = tf.constant(np.random.default_rng(1).normal(size=(1, *size, 4)).astype(np.float32))
    strided = keras.layers.AveragePooling2D(2, strides=2, padding="same")(x)
    np.testing.assert_allclose(AtrousAveragePooling2D(1)(x)[:, ::2, ::2], strided, atol=1e-6)


@pytest.mark.parametrize("rate", [1, 2, 4, 9])
def test_atrous_average_pooling_counts_only_taps_inside(rate):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1, 6, 7, 2)).astype(np.float32)
    expected = np.empty_like(x)
    for row in range(6):
        for column in range(7):
            taps = [x[0, r, c] for r in (row, row + rate) for c in (column, column + rate) if r < 6 and c < 7]
            expected[0, row, column] = np.mean(taps, axis=0)
    np.testing.assert_allclose(AtrousAveragePooling2D(rate)(x), expected, atol=1e-6)


def test_resize_like_repeats_a_single_pixel():
    pooled = tf.constant([[[[1.5, -2.0]]]])
    resized = ResizeLike()([pooled, tf.zeros((1, 5, 3, 8))])
    np.testing.assert_array_equal(resized, np.broadcast_to(pooled, (1, 5, 3, 2)))


@pytest.mark.parametrize(
    "layer",
    [
        AtrousConv2D(4, 3, dilation_rate=3, padding="same"),
        AtrousDepthwiseConv2D(3, dilation_rate=2, padding="same"),
        AtrousAveragePooling2D(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_survive_saving(tmp_path, image, layer):
    inputs = keras.layers.Input(image.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    for path in (tmp_path / "m.keras", tmp_path / "saved_model"):
        model.save(path)
        np.testing.assert_array_equal(keras.models.load_model(path)(image), model(image))


def test_mixed_precision_keeps_its_dtype():
    policy = keras.mixed_precision.Policy("mixed_float16")
    x = tf.ones((1, 8, 8, 3))
    for layer in (
        AtrousDepthwiseConv2D(3, dilation_rate=2, padding="same", dtype=policy),
        AtrousAveragePooling2D(1, dtype=policy),
        ResizeLike(dtype=policy),
    ):
        y = layer([x, x]) if isinstance(layer, ResizeLike) else layer(x)
        assert y.dtype == tf.float16


@pytest.mark.parametrize("is_fixed", [True, False], ids=["fixed size", "any size"])
@pytest.mark.parametrize("shape", [(5, 7), (1, 3), (1, 1)])
def test_aligned_upsampling_lays_corners_on_corners(shape, is_fixed):
    layer = AlignedUpSampling2D((3, 4))
    inputs = keras.layers.Input((*(shape if is_fixed else (None, None)), 2))
    model = keras.Model(inputs, layer(inputs))
    x = np.random.default_rng(0).normal(size=(2, *shape, 2)).astype(np.float32)
    expected = x
    for axis, factor in ((1, 3), (2, 4)):
        places = np.linspace(0, x.shape[axis] - 1, x.shape[axis] * factor)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        share = (places - low).reshape([-1 if place == axis else 1 for place in range(4)])
        expected = np.take(expected, low, axis) * (1 - share) + np.take(expected, high, axis) * share
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    corners = (slice(None), [0, 0, -1, -1], [0, -1, 0, -1])
    np.testing.assert_allclose(model(x).numpy()[corners], x[corners], atol=1e-6)
    assert AlignedUpSampling2D.from_config(layer.get_config()).size == (3, 4)


def test_aligned_upsampling_keeps_half_precision():
    layer = AlignedUpSampling2D(2, dtype="float16")
    assert layer(np.ones((1, 2, 2, 1), np.float16)).dtype == tf.float16


def test_aligned_upsampling_is_bilinear():
    with pytest.raises(ModelError, match="nearest"):
        AlignedUpSampling2D(2, interpolation="nearest")
