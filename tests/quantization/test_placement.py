"""What is rounded where: groups of one range, exclusions, and layers without a rule."""

import numpy as np
import pytest

import registry
from registry.backend import keras, tf
from registry.config.quantization import QuantizationConfig
from registry.errors import QuantizationError
from registry.quantization import Own, QuantizedSegmenter, quantized


def group_of(model, name):
    return model.placement.groups[name]


def test_what_is_concatenated_has_one_range(quantized_model):
    groups = {
        frozenset(name for name, group in quantized_model.placement.groups.items() if group == leader)
        for leader in quantized_model.placement.groups.values()
    }
    assert {"aspp_conv_1", "aspp_conv_2", "aspp_conv_3", "aspp_conv_4", "aspp_concat_1"} in groups
    decoder = {
        "conv_projection_activation",
        "encoder_output_upsampling",
        "decoder_conv",
        "encoder_decoder_concat",
    }
    assert decoder in groups
    # Sums make values of their own.
    assert {"stack0_block0_add"} in groups


def test_nothing_is_left_to_normalize_and_every_kernel_is_rounded(quantized_model):
    assert not [
        layer for layer in quantized_model.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    rounding = quantized_model.rounding_layers
    for node in quantized_model.placement.graph:
        if node.weights:
            assert rounding[node.name].quantize_config.kernels


def test_without_rounding_it_is_the_model(quantized_model, float_model, images):
    layers = quantized_model.rounding_layers.values()
    for layer in layers:
        layer.watch = lambda variables, value: None
    # The input is rounded to its pixels, which it holds anyway.
    watched = quantized_model(quantized_model.preprocessor(images), training=False).numpy()
    for layer in layers:
        layer.watch = None
    expected = float_model.predict(images, verbose=0)
    assert np.abs(watched - expected).max() < 1e-4 * expected.std()


def test_excluded_layers_compute_in_floating_point(float_model):
    model = quantized(float_model, QuantizationConfig(exclude=("aspp_conv_?", "segmentation_output")))
    assert set(model.float_layers) == {
        *(f"aspp_conv_{number}" for number in range(1, 5)),
        "segmentation_output",
    }
    rounding = model.rounding_layers
    assert all(rounding[name].quantize_config.kernels == {} for name in model.float_layers)
    assert rounding["decoder_conv"].quantize_config.kernels
    with pytest.raises(QuantizationError, match=r"received: aspp_cnv_1\n.*did you mean 'aspp_conv_1'"):
        quantized(float_model, QuantizationConfig(exclude=("aspp_cnv_1",)))


class Cube(keras.layers.Layer):
    """A layer that nobody knows."""

    def call(self, inputs):
        return inputs**3


@pytest.fixture
def strange_model(float_model):
    """The model with unknown layers before its classifier."""
    inputs = keras.layers.Input((64, 64, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    x = Cube(name="cube")(x)
    x = keras.layers.Conv2D(4, 1, activation="softsign", name="second")(x)
    outputs = keras.layers.Conv2D(5, 1, name="segmentation_output")(x)
    model = keras.Model(inputs, outputs)
    model.preset_config, model.preprocessor = None, None
    model.size_multiple, model.num_classes, model.encoder = (1, 1), 5, model
    return model


def test_all_layers_without_a_rule_are_named(strange_model):
    with pytest.raises(QuantizationError, match=r"cube: Cube; second: Conv2D with the activation 'softsign'"):
        quantized(strange_model, QuantizationConfig())
    with pytest.raises(QuantizationError, match=r"received: second(.|\n)*registry_quantization_rules"):
        quantized(strange_model, QuantizationConfig(), rules={Cube: Own()})
    model = quantized(
        strange_model, QuantizationConfig(exclude=("second",)), rules={Cube: lambda layer: Own()}
    )
    assert set(model.rounding_layers) == {"first", "cube", "segmentation_output"}


def test_a_model_is_quantized_once(quantized_model, images):
    with pytest.raises(QuantizationError, match="rounds to int8 already"):
        registry.quantize(quantized_model, calibration=images, size=(64, 64))


def test_it_is_a_segmenter(quantized_model, images):
    assert isinstance(quantized_model, QuantizedSegmenter)
    assert quantized_model.preset_config.quantization == QuantizationConfig()
    assert quantized_model.segment(images[0]).shape == (64, 64)
    assert tf.TensorShape(quantized_model.output_shape)[-1] == 5
