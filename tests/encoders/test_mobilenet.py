"""The MobileNet plugin: numbers of tf_keras.applications, timm and KerasHub; sizes, strides, atrous consistency."""

import json
from pathlib import Path

import numpy as np
import pytest
from parity.make_mobilenet import image, random_array, sampled
from small_networks import randomize

import registry
from registry.backend import keras
from registry.models.arithmetic import count_macs
from registry.weights.assignment import assign
from registry_mobilenet import registry_convert_weights
from registry_mobilenet.graph import mobilenet_pyramid
from registry_mobilenet.variants import SPECS, WidthOptions, WidthV3Options, architecture_of
from registry_mobilenet.widths import divisible

BY_NAME = {spec.name: spec for spec in SPECS}
NAMED = [spec for spec in SPECS if spec.parameters is not None]
GOLDEN = sorted((Path(__file__).parents[1] / "parity" / "mobilenet").glob("*.npz"))
applications = keras.applications


def encoder(variant, options=None, *, output_stride=32, image_shape=(None, None, 3)):
    inputs = keras.layers.Input(image_shape)
    pyramid = mobilenet_pyramid(inputs, architecture_of(variant, options), output_stride=output_stride)
    return keras.Model(inputs, pyramid)


def features_of(model, pixels):
    """Run eagerly: for one image, tracing a graph takes longer than the network."""
    return {level: values.numpy() for level, values in model(pixels, training=False).items()}


def hold_no_forbidden_layer(model):
    for layer in model.layers:
        assert type(layer).__name__ not in ("TFOpLambda", "SlicingOpLambda", "Lambda")
        assert not isinstance(layer, keras.Model)


def width(alpha):
    return WidthOptions(alpha=alpha)


def width_v3(alpha, *, minimalistic=False):
    return WidthV3Options(alpha=alpha, minimalistic=minimalistic)


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session()


# --- numbers of the sources -------------------------------------------------------------------------------------------

V1_LEVELS = {"P1": "conv_pw_1_relu", "P2": "conv_pw_3_relu", "P3": "conv_pw_5_relu", "P4": "conv_pw_11_relu"}
V2_LEVELS = {
    "P1": "expanded_conv_project_BN",
    "P2": "block_2_add",
    "P3": "block_5_add",
    "P4": "block_12_add",
    "P5": "block_16_project_BN",
}
SMALL_LEVELS = {
    "P2": "expanded_conv/project/BatchNorm",
    "P3": "expanded_conv_2/Add",
    "P4": "expanded_conv_7/Add",
}
LARGE_LEVELS = {
    "P1": "expanded_conv/Add",
    "P2": "expanded_conv_2/Add",
    "P3": "expanded_conv_5/Add",
    "P4": "expanded_conv_11/Add",
}

# our variant, its options, the constructor in tf_keras, its arguments, our levels as its layers (others: its output)
APPLICATIONS = [
    ("mobilenet_v1_025", None, applications.MobileNet, {"alpha": 0.25}, V1_LEVELS),
    ("mobilenet_v2_custom", width(0.9), applications.MobileNetV2, {"alpha": 0.9}, V2_LEVELS),
    (
        "mobilenet_v3_small_custom",
        width_v3(0.3, minimalistic=True),
        applications.MobileNetV3Small,
        {"alpha": 0.3, "minimalistic": True},
        SMALL_LEVELS,
    ),
    ("mobilenet_v3_large_075", None, applications.MobileNetV3Large, {"alpha": 0.75}, LARGE_LEVELS),
]


@pytest.mark.parametrize(
    ("variant", "options", "constructor", "arguments", "levels"),
    APPLICATIONS,
    ids=[row[0] for row in APPLICATIONS],
)
def test_features_equal_those_of_tf_keras(tmp_path, variant, options, constructor, arguments, levels):
    preprocessing = {"include_preprocessing": False} if "_v3_" in variant else {}
    theirs = constructor(
        weights=None, include_top=False, input_shape=(96, 128, 3), **arguments, **preprocessing
    )
    randomize(theirs)
    ours = encoder(variant, options)
    assert options is not None or ours.count_params() == BY_NAME[variant].parameters
    hold_no_forbidden_layer(ours)
    # By layer name, every array: what loading a `no_top` file does.
    arrays = {layer.name: layer.get_weights() for layer in theirs.layers if layer.weights}
    assert registry_convert_weights(variant, "imagenet", arrays) is None
    assign(
        ours.layers, arrays, source=variant, unused=BY_NAME[variant].unused_weights or ("Conv_1", "Conv_1_bn")
    )
    expected_of = {level: theirs.get_layer(name).output for level, name in levels.items()}
    expected_of.setdefault("P5", theirs.output)
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, 96, 128, 3)).astype(np.float32)
    expected = features_of(keras.Model(theirs.input, expected_of), pixels)
    features = features_of(ours, pixels)
    for level, values in expected.items():
        scale = values.std()
        assert scale > 1e-3
        np.testing.assert_allclose(features[level], values, atol=1e-4 * scale, err_msg=level)


def test_a_file_of_tf_keras_is_read(tmp_path):
    """Names with slashes included: `expanded_conv_3/squeeze_excite/Conv`."""
    theirs = applications.MobileNetV3Small(
        weights=None,
        include_top=False,
        input_shape=(32, 64, 3),
        include_preprocessing=False,
    )
    file = tmp_path / "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    randomize(theirs).save_weights(file)
    ours = registry.build_encoder("mobilenet", "mobilenet_v3_small_100", weights=file)
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, 32, 64, 3)).astype(np.float32)
    expected = theirs(pixels, training=False).numpy()
    np.testing.assert_allclose(features_of(ours, pixels)["P5"], expected, atol=1e-4 * expected.std())


def golden_arrays(variant, source, shapes):
    """The source's arrays as its file would give them: PyTorch's parameters, or Keras's layers."""
    arrays = {}
    for name, shape in shapes.items():
        values = random_array(name, tuple(shape))
        if source == "timm":
            arrays[name] = [values]
        else:
            arrays.setdefault(name.rpartition(".")[0], []).append(values)
    return registry_convert_weights(variant, "imagenet", arrays)


def test_there_is_a_golden_file_of_every_kind():
    assert {path.stem.split(".")[1] for path in GOLDEN} == {"timm", "keras_hub"}
    assert len(GOLDEN) == 11


@pytest.mark.sampled(3)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_features_equal_those_of_timm_and_keras_hub(path):
    variant, source = path.stem.split(".")
    with np.load(path) as golden:
        model = encoder(variant)
        arrays = golden_arrays(variant, source, json.loads(str(golden["shapes"])))
        report = assign(model.layers, arrays, source=str(path))
        assert len(report.loaded) == sum(bool(layer.weights) for layer in model.layers)
        for level, features in features_of(model, image()).items():
            expected = golden[level]
            np.testing.assert_allclose(
                sampled(features), expected, atol=1e-4 * np.abs(expected).max(), err_msg=level
            )


def test_classifiers_of_timm_are_declared_unused():
    for variant, head in (("mobilenet_v3_large_100", "bias"), ("mobilenet_v4_conv_small", "norm_head")):
        arrays = {
            "conv_head.weight": [np.zeros((8, 4, 1, 1))],
            "classifier.weight": [np.zeros((5, 8))],
            "classifier.bias": [np.zeros(5)],
            "blocks.9.9.conv.weight": [np.zeros((8, 4, 1, 1))],
        }
        if head == "norm_head":
            arrays |= {
                f"norm_head.{part}": [np.zeros(8)]
                for part in ("weight", "bias", "running_mean", "running_var")
            }
        converted = registry_convert_weights(variant, "timm", arrays)
        # What belongs to no layer keeps its name, so that assigning reports it.
        unknown = set(converted) - set(BY_NAME[variant].unused_weights)
        assert unknown == {"blocks.9.9.conv" if "_v3_" in variant else "blocks_9_9_conv"}


# --- output strides -----------------------------------------------------------------------------------------------------

ATROUS = [
    ("mobilenet_v1_custom", width(0.1), True),
    ("mobilenet_v2_custom", width(0.1), True),
    ("mobilenet_v3_large_custom", width_v3(0.1), True),
    ("mobilenet_v3_small_050_torch", None, False),
    ("mobilenet_v4_conv_small_050", None, False),
]


def without_context(model):
    """Gates that do not see the map: its mean over a dilated map is not the mean over the strided one."""
    for layer in model.layers:
        if layer.name.endswith("squeeze_excite/Conv"):
            kernel, bias = layer.get_weights()
            layer.set_weights([np.zeros_like(kernel), bias])
    return model


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("variant", "options", "same"), ATROUS, ids=[row[0] for row in ATROUS])
def test_atrous_features_subsampled_equal_the_strided_ones(variant, options, same):
    strided = without_context(randomize(encoder(variant, options)))
    for output_stride, size in ((16, 129), (8, 128)):
        atrous = encoder(variant, options, output_stride=output_stride)
        atrous.set_weights(strided.get_weights())
        pixels = np.random.default_rng(3).normal(size=(1, size, size, 3)).astype(np.float32)
        coarse, fine = features_of(strided, pixels), features_of(atrous, pixels)
        for level, expected in coarse.items():
            step = max(1, 2 ** int(level[1]) // output_stride)
            # `same` puts the window of a stride of two at pixels 2i, 2i + 1, 2i + 2 where the size is even: its
            # centre, the dilated network's pixel, is 2i + 1, and 4i + 3 after two strides.
            offset = step - 1 if same and size % 2 == 0 else 0
            subsampled = fine[level][:, offset::step, offset::step]
            # Borders included: zeros beyond the map are zeros in both networks.
            scale = expected.std()
            assert scale > 1e-3
            np.testing.assert_allclose(subsampled, expected, atol=1e-4 * scale, err_msg=f"{level} at {size}")


@pytest.mark.parametrize("variant", ["mobilenet_v2_035", "mobilenet_v4_conv_small_050"])
def test_every_level_has_its_reported_stride(variant):
    for output_stride, (height, width) in ((32, (32, 64)), (32, (97, 161)), (8, (97, 161))):
        model = encoder(variant, output_stride=output_stride)
        hold_no_forbidden_layer(model)
        for level, features in features_of(model, np.zeros((1, height, width, 3), np.float32)).items():
            stride = min(2 ** int(level[1]), output_stride)
            channels = BY_NAME[variant].channels_for()[level]
            assert features.shape == (1, -(-height // stride), -(-width // stride), channels)


# --- the table ----------------------------------------------------------------------------------------------------------


def numbers(spec):
    return spec.parameters, spec.macs, tuple(spec.channels_for().items())


@pytest.mark.sampled(7)
@pytest.mark.slow
@pytest.mark.parametrize("spec", {numbers(spec): spec for spec in NAMED}.values(), ids=lambda spec: spec.name)
def test_variants_have_the_numbers_that_they_state(spec):
    model = encoder(spec.name)
    assert model.count_params() == spec.parameters
    assert {level: tensor.shape[-1] for level, tensor in model.output.items()} == spec.channels_for()
    assert count_macs(model, (512, 512)) == spec.macs


def test_padding_changes_no_numbers():
    for spec in NAMED:
        if spec.name.endswith("_torch") and (twin := BY_NAME.get(spec.name.removesuffix("_torch"))):
            assert numbers(spec) == numbers(twin)


def test_multipliers_round_as_in_the_papers():
    assert [divisible(width) for width in (3, 12, 13.2, 18, 22.4, 33.6)] == [8, 16, 16, 24, 24, 32]
    assert BY_NAME["mobilenet_v3_small_custom"].channels_for(width_v3(2.0))["P5"] == 1152


def test_normalization_equals_the_sources():
    pixels = np.linspace(0, 255, 30, dtype=np.float32).reshape(1, 2, 5, 3)
    for variant, preprocess in (
        ("mobilenet_v1_100", applications.mobilenet.preprocess_input),
        ("mobilenet_v2_100", applications.mobilenet_v2.preprocess_input),
        ("mobilenet_v3_large_100", keras.layers.Rescaling(1.0 / 127.5, offset=-1.0)),
    ):
        normalization = BY_NAME[variant].normalization
        expected = np.asarray(preprocess(pixels.copy()))
        np.testing.assert_allclose(pixels * normalization.scale + normalization.offset, expected, atol=1e-6)
    normalization = BY_NAME["mobilenet_v4_conv_small"].normalization
    expected = (pixels / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    np.testing.assert_allclose(pixels * normalization.scale + normalization.offset, expected, atol=1e-5)


def test_weight_sources_have_names_of_their_own():
    handles = [handle for spec in NAMED for handle in set(spec.weights.values())]
    assert len(handles) == len(set(handles))
    for spec in NAMED:
        # Networks of any width have no published weights of their own.
        assert ("imagenet" in spec.weights) == (not spec.name.endswith("_custom"))
        if not spec.weights:
            continue
        assert ("#md5=" in spec.weights["imagenet"]) == ("_v3_" in spec.name and "torch" not in spec.name)


@pytest.mark.parametrize(
    "options", [{"alpha": 0.0}, {"alpha": "1"}, {"alpha": 1.0, "beta": 1}, {"minimalistic": 1}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="validation error"):
        WidthV3Options(**options)
