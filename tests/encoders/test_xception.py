"""The Xception plugin: sizes, levels, atrous consistency with borders, and the weights of other projects."""

import numpy as np
import pytest
import tf_keras
from pydantic import ValidationError
from small_networks import randomize

import registry_xception
from registry.backend import keras, tf
from registry.errors import WeightsMismatchError
from registry.models.arithmetic import count_macs
from registry.weights.assignment import assign
from registry_xception.aligned import aligned_pyramid
from registry_xception.conversion import aligned_layers, original_layers
from registry_xception.original import original_pyramid
from registry_xception.pooling import AtrousSameMaxPooling2D
from registry_xception.variants import (
    ALIGNED,
    SPECS,
    AlignedArchitecture,
    AlignedOptions,
    OriginalArchitecture,
)

SMALL = {
    "aligned": AlignedArchitecture(
        entry_flow=((8, 2), (10, 2), (12, 2)),
        middle_flow=(12, 1),
        exit_flow=((12, 14, 16), (18, 20, 24)),
        stem=(6, 8),
    ),
    "aligned-deep": AlignedArchitecture(
        entry_flow=((8, 2), (10, 1), (10, 2), (12, 1), (12, 2)),
        middle_flow=(12, 1),
        exit_flow=((12, 14, 16), (18, 20, 24)),
        stem=(6, 8),
    ),
    "original": OriginalArchitecture(
        stackwise_conv_filters=((6, 8), (8, 10), (12, 12), (14, 14), (14, 14, 14), (14, 16), (18, 20)),
        stackwise_pooling=(False, True, True, True, False, True, False),
    ),
}


def encoder(kind, output_stride, **options):
    inputs = keras.layers.Input((None, None, 3))
    build = original_pyramid if kind == "original" else aligned_pyramid
    return keras.Model(inputs, build(inputs, SMALL[kind], output_stride=output_stride, **options))


def image_of(height, width):
    return np.random.default_rng(height).normal(size=(1, height, width, 3)).astype(np.float32)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("aligned", {}),
        ("aligned", {"multi_grid": (1, 2, 1)}),
        ("aligned-deep", {}),
        ("original", {}),
    ],
    ids=["aligned", "multi-grid", "aligned-deep", "original"],
)
def test_atrous_features_subsampled_equal_the_strided_ones_borders_included(kind, options):
    strided = randomize(encoder(kind, 32, **options))
    for output_stride in (16, 8):
        atrous = encoder(kind, output_stride, **options)
        # Also says that the dilated graph holds weights of the same shapes in the same order.
        atrous.set_weights(strided.get_weights())
        for size in ((96, 160), (97, 135)):
            image = image_of(*size)
            coarse, fine = strided(image), atrous(image)
            for level, expected in coarse.items():
                stride = min(2 ** int(level[1]), output_stride)
                step = 2 ** int(level[1]) // stride
                assert fine[level].shape[1:3] == tuple(-(-side // stride) for side in size)
                subsampled = fine[level][:, ::step, ::step]
                scale = np.std(expected)
                assert scale > 1e-3
                np.testing.assert_allclose(subsampled, expected, atol=1e-4 * scale, err_msg=f"{level} {size}")


def test_multi_grid_multiplies_the_rates_of_the_last_unit():
    model = encoder("aligned", 16, multi_grid=(1, 2, 1))
    rates = [
        model.get_layer(f"exit_flow_block2_unit_1_separable_conv{n}_depthwise").dilation_rate
        for n in (1, 2, 3)
    ]
    assert rates == [(2, 2), (4, 4), (2, 2)]
    assert model.get_layer("exit_flow_block1_unit_1_separable_conv3_depthwise").dilation_rate == (1, 1)
    assert AlignedOptions(multi_grid=[1, 2, 1]).multi_grid == (1, 2, 1)
    for wrong in ([1, 2], [0, 1, 1], [1, 2, 1, 1], [1.5, 1, 1]):
        with pytest.raises(ValidationError):
            AlignedOptions(multi_grid=wrong)


@pytest.mark.parametrize(("kind", "unit"), [("aligned", 2), ("aligned-deep", 3)])
def test_low_level_features_are_the_tensor_that_deeplab_decodes(kind, unit):
    model = encoder(kind, 16)
    layer = model.get_layer(f"entry_flow_block{unit}_unit_1_separable_conv2_pointwise_bn")
    assert model.output["P2"] is layer.output
    # … of which timm's extractor takes the activation
    assert model.get_layer(f"entry_flow_block{unit}_unit_1_separable_conv3_relu").input is layer.output


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("output_stride", [32, 8])
def test_graphs_are_flat_and_of_known_layers(kind, output_stride):
    layers = encoder(kind, output_stride).layers
    assert len({layer.name for layer in layers}) == len(layers)
    assert {type(layer).__name__ for layer in layers} <= {
        "Add",
        "AtrousDepthwiseConv2D",
        "AtrousSameMaxPooling2D",
        "BatchNormalization",
        "Conv2D",
        "DepthwiseConv2D",
        "InputLayer",
        "MaxPooling2D",
        "ReLU",
        "ZeroPadding2D",
    }
    for layer in layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D) and layer.dilation_rate != (1, 1):
            assert type(layer).__name__ == "AtrousDepthwiseConv2D"


@pytest.mark.parametrize("kind", SMALL)
def test_smallest_image_gives_every_level_a_pixel(kind):
    outputs = encoder(kind, 32)(image_of(32, 32))
    assert {level: tuple(value.shape[1:3]) for level, value in outputs.items()} == {
        f"P{stage}": (32 // 2**stage,) * 2 for stage in range(1, 6)
    }


def built(spec):
    inputs = keras.layers.Input((None, None, 3))
    pyramid = registry_xception.registry_build_encoder(spec.name, inputs, 32, spec.options())
    return keras.Model(inputs, pyramid)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_variants_are_what_their_table_states(spec):
    model = built(spec)
    assert model.count_params() == spec.parameters
    assert {level: tensor.shape[-1] for level, tensor in model.output.items()} == spec.channels_for()
    assert count_macs(model, (512, 512)) == spec.macs
    keras.backend.clear_session()


def test_normalization_is_that_of_the_weights():
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 5, 3))
    expected = tf_keras.applications.xception.preprocess_input(pixels.copy())
    for spec in SPECS:
        normalized = pixels * spec.normalization.scale + spec.normalization.offset
        np.testing.assert_allclose(normalized, expected, atol=1e-6)


# How the flows of each depth read in the checkpoints that DeepLab's model zoo publishes
BLOCKS = {
    "xception_41": (3, 8),
    "xception_65": (3, 16),
    "xception_71": (5, 16),
}


def checkpoint_layers(variant):
    """(scope of a convolution, whether depthwise) of every one in a checkpoint, in no regard to our names."""
    entry, middle = BLOCKS[variant]
    units = [(f"entry_flow/block{block}/unit_1", True) for block in range(1, entry + 1)]
    units += [(f"middle_flow/block1/unit_{unit}", False) for unit in range(1, middle + 1)]
    units += [("exit_flow/block1/unit_1", True), ("exit_flow/block2/unit_1", False)]
    yield "entry_flow/conv1_1", False
    yield "entry_flow/conv1_2", False
    for unit, has_shortcut in units:
        for number in (1, 2, 3):
            yield f"{unit}/xception_module/separable_conv{number}_depthwise", True
            yield f"{unit}/xception_module/separable_conv{number}_pointwise", False
        if has_shortcut:
            yield f"{unit}/xception_module/shortcut", False


def test_checkpoints_of_tensorflow_deeplab_load_variable_by_variable():
    variant = "xception_41"
    (spec,) = (spec for spec in SPECS if spec.name == variant)
    model = built(spec)
    generator = np.random.default_rng(0)
    arrays, expected = {}, {}
    for scope, depthwise in checkpoint_layers(variant):
        layer = scope.replace("xception_module/", "").replace("/", "_")
        kernel = "depthwise_weights" if depthwise else "weights"
        shape = tuple(model.get_layer(layer).weights[0].shape)
        arrays[f"{variant}/{scope}/{kernel}"] = [generator.normal(size=shape).astype("f4")]
        expected[layer] = [arrays[f"{variant}/{scope}/{kernel}"][0]]
        channels = shape[2] if depthwise else shape[3]
        # Sorted by name, as a checkpoint lists them; Keras's order is another.
        for name in ("beta", "gamma", "moving_mean", "moving_variance"):
            arrays[f"{variant}/{scope}/BatchNorm/{name}"] = [generator.normal(size=channels).astype("f4")]
        expected[f"{layer}_bn"] = [
            arrays[f"{variant}/{scope}/BatchNorm/{name}"][0]
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
    arrays[f"{variant}/logits/weights"] = [np.zeros((1, 1, 2048, 1001), "f4")]
    arrays[f"{variant}/logits/biases"] = [np.zeros(1001, "f4")]
    arrays["global_step"] = [np.zeros((), "i8")]
    arrays[f"{variant}/entry_flow/conv1_1/weights/Momentum"] = [np.zeros((3, 3, 3, 32), "f4")]
    arrays[f"{variant}/entry_flow/conv1_1/BatchNorm/gamma/ExponentialMovingAverage"] = [np.zeros(32, "f4")]

    converted = registry_xception.registry_convert_weights(variant, arrays)
    assert [array.shape for array in converted["logits"]] == [(1, 1, 2048, 1001), (1001,)]
    report = assign(model.layers, converted, source="checkpoint", unused=spec.unused_weights)
    assert report.unused == ("logits",)
    assert set(report.loaded) == set(expected)
    for layer, values in expected.items():
        for variable, value in zip(model.get_layer(layer).weights, values, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
    keras.backend.clear_session()


@pytest.mark.parametrize("variant", BLOCKS)
def test_each_depth_has_the_convolutions_of_its_checkpoint(variant):
    names = {
        scope.replace("xception_module/", "").replace("/", "_") for scope, _ in checkpoint_layers(variant)
    }
    units = ALIGNED[variant].units()
    ours = {"entry_flow_conv1_1", "entry_flow_conv1_2"}
    for unit in units:
        ours |= {
            f"{unit.name}_separable_conv{n}_{half}" for n in (1, 2, 3) for half in ("depthwise", "pointwise")
        }
        ours |= {f"{unit.name}_shortcut"} if unit.shortcut == "conv" else set()
    assert ours == names


def test_the_decoder_of_a_segmentation_checkpoint_keeps_its_names():
    arrays = {
        "xception_65/entry_flow/conv1_1/weights": [np.zeros((3, 3, 3, 32))],
        "decoder/feature_projection0/weights": [np.zeros((1, 1, 256, 48))],
        "aspp0/BatchNorm/gamma": [np.zeros(256)],
        "decoder/feature_projection0/weights/Momentum": [np.zeros((1, 1, 256, 48))],
    }
    converted = aligned_layers(arrays, ALIGNED["xception_65"])
    assert set(converted) == {
        "entry_flow_conv1_1",
        "decoder/feature_projection0/weights",
        "aspp0/BatchNorm/gamma",
    }


def test_checkpoints_without_normalization_between_the_halves_are_refused():
    name = "xception_65/entry_flow/block1/unit_1/xception_module/separable_conv1/pointwise_weights"
    with pytest.raises(WeightsMismatchError, match="normalizes between"):
        aligned_layers({name: [np.zeros((1, 1, 64, 128))]}, ALIGNED["xception_65"])


def test_our_own_names_need_no_conversion():
    arrays = {"entry_flow_conv1_1": [np.zeros((3, 3, 3, 32))]}
    assert aligned_layers(arrays, ALIGNED["xception_41"]) is None
    assert original_layers({"block2_sepconv1_depthwise": [np.zeros((3, 3, 8, 1))]}) is None


def test_parameters_without_a_layer_are_reported_not_lost():
    arrays = {
        "blocks.0.stack.conv1.gate.weight": [np.zeros((4, 4, 1, 1))],
        "head.fc.weight": [np.zeros((3, 4))],
    }
    assert set(aligned_layers(arrays, ALIGNED["xception_41"])) == {"blocks.0.stack.conv1.gate", "logits"}


def test_keras_hubs_separable_convolutions_are_split():
    depthwise, pointwise, kernel = np.zeros((3, 3, 8, 1)), np.zeros((1, 1, 8, 10)), np.zeros((3, 3, 3, 6))
    arrays = {"block2_sepconv1": [depthwise, pointwise], "block1_conv1": [kernel]}
    converted = original_layers(arrays)
    assert set(converted) == {"block2_sepconv1_depthwise", "block2_sepconv1_pointwise", "block1_conv1"}
    assert converted["block2_sepconv1_depthwise"][0] is depthwise
    assert converted["block2_sepconv1_pointwise"][0] is pointwise
    assert converted["block1_conv1"] == [kernel]


@pytest.mark.parametrize("rate", [1, 2])
@pytest.mark.parametrize("fixed", [True, False], ids=["fixed-size", "open-size"])
@pytest.mark.parametrize("size", [(12, 16), (13, 17), (14, 15), (11, 3)])
def test_max_pooling_with_a_rate_subsampled_equals_the_strided_one(size, rate, fixed):
    x = np.random.default_rng(1).normal(-3.0, 1.0, size=(2, *size, 5)).astype(np.float32)
    inputs = keras.layers.Input((*size, 5) if fixed else (None, None, 5))
    model = keras.Model(inputs, AtrousSameMaxPooling2D(rate)(inputs))
    result = model.predict_on_batch(x)
    assert result.shape == x.shape
    # On the grid of the strided network, every `rate`-th pixel, it is stock pooling.
    expected = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x[:, ::rate, ::rate])
    np.testing.assert_array_equal(result[:, :: 2 * rate, :: 2 * rate], expected)
    restored = keras.Model.from_config(model.get_config(), {"AtrousSameMaxPooling2D": AtrousSameMaxPooling2D})
    np.testing.assert_array_equal(restored.predict_on_batch(x), result)


def test_max_pooling_with_a_rate_has_the_gradient_of_the_strided_one():
    x = tf.constant(np.random.default_rng(2).normal(size=(1, 8, 9, 2)), tf.float32)
    gradients = []
    for pool in (AtrousSameMaxPooling2D(1), keras.layers.MaxPooling2D(3, strides=2, padding="same")):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = pool(x)
            y = y[:, ::2, ::2] if isinstance(pool, AtrousSameMaxPooling2D) else y
            loss = tf.reduce_sum(y**2)
        gradients.append(tape.gradient(loss, x))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-6)
