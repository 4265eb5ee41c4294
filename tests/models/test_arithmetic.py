"""Counted multiply-accumulates against the formula of each operation."""

import pytest

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.activations import GELU
from registry.models.arithmetic import count_macs
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D

layers = keras.layers


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        pytest.param(layers.Conv2D(8, 3, strides=2, padding="same"), 16 * 16 * 8 * 27, id="strided"),
        pytest.param(layers.Conv2D(8, 5, use_bias=False), 28 * 28 * 8 * 75, id="valid"),
        pytest.param(
            layers.Conv2D(8, 3, padding="same", dilation_rate=4), 32 * 32 * 8 * 27, id="stock-dilated"
        ),
        pytest.param(
            AtrousConv2D(8, 3, padding="same", dilation_rate=4), 32 * 32 * 8 * 27, id="native-dilated"
        ),
        pytest.param(layers.DepthwiseConv2D(3, padding="same"), 32 * 32 * 27, id="depthwise"),
        pytest.param(
            AtrousDepthwiseConv2D(3, padding="same", dilation_rate=2), 32 * 32 * 27, id="native-depthwise"
        ),
        pytest.param(layers.SeparableConv2D(8, 3, padding="same"), 32 * 32 * (27 + 3 * 8), id="separable"),
        pytest.param(layers.Dense(8), 32 * 32 * 3 * 8, id="dense"),
        pytest.param(GELU(), 0, id="activation"),
        pytest.param(layers.UpSampling2D(2, interpolation="bilinear"), 0, id="resize"),
    ],
)
def test_macs_of_one_layer(layer, expected):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layer(inputs))
    assert count_macs(model, (32, 32)) == expected


def test_attention_counts_both_products():
    inputs = keras.Input((8, 8, 6))
    tokens = layers.Reshape((64, 6))(inputs)
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, use_bias=False)(tokens, tokens))
    projections = 4 * 64 * 6 * 6
    products = 2 * (64 * 64 * 2 * 3)
    assert count_macs(model, (8, 8)) == projections + products


def test_resnet_50_as_in_its_table():
    """KerasHub's ResNet strides at the 3×3, as torchvision's, whose table says 4.09 G at 224×224."""
    import registry

    encoder = registry.build_encoder("resnet", "resnet_50")
    assert count_macs(encoder, (224, 224)) / 1e9 == pytest.approx(4.087, abs=1e-3)
    assert count_macs(encoder, (512, 512)) == encoder.spec.macs


def test_a_shape_that_stays_open_is_an_error():
    class Cropped(layers.Layer):
        def call(self, x):
            return x[:, : tf.cast(tf.reduce_max(x), tf.int32)]

        def compute_output_shape(self, shape):
            return (shape[0], None, *shape[2:])

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(4, 3)(Cropped()(inputs)))
    with pytest.raises(ModelError, match="needs every shape"):
        count_macs(model, (16, 16))
