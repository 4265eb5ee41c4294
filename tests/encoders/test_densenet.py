"""The DenseNet plugin: sizes, levels, atrous consistency with borders, and PyTorch's files."""

import numpy as np
import pytest
import tf_keras
from pydantic import ValidationError
from small_networks import randomize

import registry_densenet
from registry.backend import keras
from registry.models.arithmetic import count_macs
from registry.weights.assignment import assign
from registry_densenet.conversion import from_torch
from registry_densenet.graph import densenet_pyramid
from registry_densenet.variants import SPECS, CustomDenseNetOptions

NAMED = [spec for spec in SPECS if spec.parameters is not None]
SMALL = CustomDenseNetOptions(stackwise_num_repeats=(1, 2, 2, 1), growth_rate=6)


def encoder(output_stride, options=SMALL):
    inputs = keras.layers.Input((None, None, 3))
    return keras.Model(inputs, densenet_pyramid(inputs, options.architecture(), output_stride=output_stride))


def image_of(height, width):
    return np.random.default_rng(height).normal(size=(1, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("output_stride", [16, 8])
def test_atrous_features_subsampled_equal_the_strided_ones_borders_included(output_stride):
    strided = randomize(encoder(32))
    atrous = encoder(output_stride)
    # Also says that the dilated graph holds weights of the same shapes in the same order.
    atrous.set_weights(strided.get_weights())
    for size in ((96, 160), (97, 135), (72, 88)):
        image = image_of(*size)
        coarse, fine = strided(image), atrous(image)
        for level, expected in coarse.items():
            stride = min(2 ** int(level[1]), output_stride)
            step = 2 ** int(level[1]) // stride
            assert fine[level].shape[1:3] == tuple(-(-side // stride) for side in size)
            scale = np.std(expected)
            assert scale > 1e-3
            np.testing.assert_allclose(
                fine[level][:, ::step, ::step], expected, atol=1e-4 * scale, err_msg=f"{level} {size}"
            )


@pytest.mark.parametrize("output_stride", [32, 8])
def test_graphs_are_flat_and_of_known_layers(output_stride):
    layers = encoder(output_stride).layers
    assert len({layer.name for layer in layers}) == len(layers)
    assert {type(layer).__name__ for layer in layers} <= {
        "AtrousAveragePooling2D",
        "AtrousConv2D",
        "AveragePooling2D",
        "BatchNormalization",
        "Concatenate",
        "Conv2D",
        "InputLayer",
        "MaxPooling2D",
        "ReLU",
    }
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.dilation_rate != (1, 1):
            assert type(layer).__name__ == "AtrousConv2D"


def test_smallest_image_gives_every_level_a_pixel():
    outputs = encoder(32)(image_of(32, 32))
    assert {level: tuple(value.shape[1:3]) for level, value in outputs.items()} == {
        f"P{stage}": (32 // 2**stage,) * 2 for stage in range(1, 6)
    }


@pytest.mark.sampled(4)
@pytest.mark.parametrize("spec", NAMED, ids=lambda spec: spec.name)
def test_variants_are_what_their_table_states(spec):
    inputs = keras.layers.Input((None, None, 3))
    pyramid = registry_densenet.registry_build_encoder(spec.name, inputs, 32, spec.options())
    model = keras.Model(inputs, pyramid)
    assert model.count_params() == spec.parameters
    assert {level: tensor.shape[-1] for level, tensor in pyramid.items()} == spec.channels_for()
    assert count_macs(model, (512, 512)) == spec.macs
    keras.backend.clear_session()


def test_custom_channels_follow_the_options():
    options = CustomDenseNetOptions(stackwise_num_repeats=(2, 3, 1), growth_rate=5, compression_ratio=0.3)
    (spec,) = (spec for spec in SPECS if spec.name == "densenet_custom")
    assert spec.keras_hub_class == "DenseNetBackbone"
    pyramid = encoder(16, options).output
    assert {level: tensor.shape[-1] for level, tensor in pyramid.items()} == spec.channels_for(options)
    assert spec.channels_for(options) == {"P1": 64, "P2": 74, "P3": 37, "P4": 16}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stackwise_num_repeats": ()}, "at least 1"),
        ({"stackwise_num_repeats": (1, 1, 1, 1, 1)}, "at most 4"),
        ({"stackwise_num_repeats": (1, 0)}, "greater than or equal to 1"),
        ({"growth_rate": 0}, "greater than or equal to 1"),
        ({"compression_ratio": 0.0}, "greater than 0"),
        ({"compression_ratio": 1.5}, "less than or equal to 1"),
        ({"compression_ratio": 0.001}, "without channels"),
        ({"growth": 3}, "Extra inputs"),
    ],
)
def test_impossible_options_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        CustomDenseNetOptions(**{**SMALL.model_dump(), **change})


def test_normalization_is_that_of_the_weights():
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 5, 3))
    expected = tf_keras.applications.densenet.preprocess_input(pixels.copy())
    for spec in NAMED:
        normalized = pixels * spec.normalization.scale + spec.normalization.offset
        np.testing.assert_allclose(normalized, expected, atol=1e-6)


def torch_name(layer):
    """Module of timm's DenseNet that a layer of the small network stands for."""
    if layer.startswith("conv1_"):
        return {"conv1_conv": "features.conv0", "conv1_bn": "features.norm0"}[layer]
    block, *rest = layer.split("_")
    if block.startswith("transition"):
        return f"features.{block}.{'norm' if rest == ['bn'] else 'conv'}"
    number, kind = rest[1], "norm" if rest[2] == "bn" else "conv"
    return f"features.denseblock{block.removeprefix('stack')}.denselayer{rest[0].removeprefix('block')}.{kind}{number}"


def test_pytorch_files_load_array_by_array():
    model = encoder(32)
    generator = np.random.default_rng(0)
    arrays = {
        "features.norm5.weight": [np.ones(4)],
        "features.norm5.bias": [np.ones(4)],
        "features.norm5.running_mean": [np.ones(4)],
        "features.norm5.running_var": [np.ones(4)],
        "features.norm5.num_batches_tracked": [np.zeros((), "i8")],
        "classifier.weight": [np.ones((10, 4))],
        "classifier.bias": [np.ones(10)],
    }
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            height, width, channels, filters = layer.kernel.shape
            kernel = generator.normal(size=(filters, channels, height, width)).astype("f4")
            arrays[f"{torch_name(layer.name)}.weight"] = [kernel]
        elif layer.weights:
            for suffix in ("weight", "bias", "running_mean", "running_var"):
                values = generator.normal(size=layer.gamma.shape).astype("f4")
                arrays[f"{torch_name(layer.name)}.{suffix}"] = [values]
    converted = from_torch(arrays)
    report = assign(model.layers, converted, source="file", unused=SPECS[0].unused_weights)
    assert report.unused == ("bn", "classifier")
    kernel = arrays["features.denseblock2.denselayer2.conv2.weight"][0]
    np.testing.assert_array_equal(
        model.get_layer("stack2_block2_2_conv").get_weights()[0], kernel.transpose(2, 3, 1, 0)
    )
    variance = arrays["features.transition1.norm.running_var"][0]
    np.testing.assert_array_equal(model.get_layer("transition1_bn").get_weights()[3], variance)


def test_keras_hubs_names_need_no_conversion():
    assert from_torch({"conv1_conv": [np.zeros((7, 7, 3, 64))]}) is None
