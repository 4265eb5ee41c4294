"""`encoder_weights`: which weights an encoder starts with, from which file, through its plugin's conversion."""

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from parity.make_mobilenet import image, random_array, sampled
from safetensors.numpy import save_file
from small_networks import SMALL_PRESET, randomize

import registry
from registry.assembly import pretrained
from registry.backend import keras
from registry.discovery import find_encoder, list_encoders
from registry.errors import ModelError, RegistryWarning, WeightsMismatchError, WeightsUnavailableError
from registry.stores.digest import split_digest
from registry.weights import keras_hub, opening
from registry.weights.handles import is_file_handle, is_handle

GOLDEN = Path(__file__).parent.parent / "parity" / "mobilenet"
PRESETS = GOLDEN.parent / "keras_hub_presets"
MOBILE_PRESET = SMALL_PRESET | {
    "encoder": {"plugin": "mobilenet", "variant": "mobilenet_v2_035", "output_stride": 16}
}
# Level → layer of tf_keras.applications.MobileNetV2.
MOBILENET_V2_LEVELS = {
    "P1": "expanded_conv_project_BN",
    "P2": "block_2_add",
    "P3": "block_5_add",
    "P4": "block_12_add",
    "P5": "block_16_project_BN",
}


def values_of(layers):
    return {layer.name: layer.get_weights() for layer in layers if layer.weights}


def assert_equal_weights(layers, expected):
    for layer in layers:
        if layer.weights:
            for value, other in zip(layer.get_weights(), expected[layer.name], strict=True):
                np.testing.assert_array_equal(value, other)


@pytest.fixture(scope="module")
def mobilenet():
    """tf-keras's MobileNetV2 with random weights and statistics."""
    network = keras.applications.MobileNetV2(
        input_shape=(96, 128, 3), alpha=0.35, include_top=False, weights=None
    )
    return randomize(network)


@pytest.fixture(scope="module")
def mobilenet_file(mobilenet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.h5"
    mobilenet.save_weights(path)
    return path


@pytest.fixture
def small_encoder_file(small_model, tmp_path):
    """The encoder of the small preset, saved with other weights than it starts with."""
    encoder = registry.build_encoder(
        "resnet", "resnet_custom", output_stride=16, **SMALL_PRESET["encoder"]["options"]
    )
    randomize(encoder, seed=1)
    encoder.save_weights(tmp_path / "encoder.h5")
    return encoder, tmp_path / "encoder.h5"


def test_a_file_of_tf_keras_gives_tf_keras_s_features(mobilenet, mobilenet_file):
    encoder = registry.build_encoder("mobilenet", "mobilenet_v2_035", weights=mobilenet_file)
    pixels = np.random.default_rng(1).uniform(-1, 1, (1, 96, 128, 3)).astype(np.float32)
    levels = {level: mobilenet.get_layer(name).output for level, name in MOBILENET_V2_LEVELS.items()}
    expected = keras.Model(mobilenet.input, levels)(pixels, training=False)
    features = encoder(pixels, training=False)
    assert list(features) == list(expected)
    for level, values in expected.items():
        np.testing.assert_allclose(features[level], values, atol=1e-4 * np.std(values.numpy()), err_msg=level)
    assert encoder.weights_report.source == str(mobilenet_file)
    assert encoder.weights_report.unused == ("Conv_1", "Conv_1_bn")
    assert set(encoder.weights_report.loaded) == set(values_of(encoder.layers))


def renamed(path, target, *, without=()):
    """The same file as an older Keras wrote it: other names in the same order."""
    with h5py.File(path) as source, h5py.File(target, "w") as file:
        names = [name for name in source.attrs["layer_names"] if name not in without]
        file.attrs["layer_names"] = [f"convolution2d_{number}" for number in range(len(names))]
        for number, name in enumerate(names):
            source.copy(name, file, f"convolution2d_{number}")
    return target


@pytest.mark.sweep
def test_a_file_with_an_older_keras_s_names_enters_by_order_where_there_is_only_one(mobilenet_file, tmp_path):
    by_name = registry.build_encoder("mobilenet", "mobilenet_v2_035", weights=mobilenet_file)
    old = renamed(mobilenet_file, tmp_path / "old.h5")
    by_order = registry.build_encoder("mobilenet", "mobilenet_v2_035", weights=old)
    assert_equal_weights(by_order.layers, values_of(by_name.layers))
    assert len(by_order.weights_report.unused) == 2
    shorter = renamed(mobilenet_file, tmp_path / "shorter.h5", without=["block_7_expand"])
    with pytest.raises(WeightsMismatchError, match="convolution2d_1"):
        registry.build_encoder("mobilenet", "mobilenet_v2_035", weights=shorter)
    with pytest.raises(WeightsMismatchError, match="convolution2d_1"):
        registry.build_encoder("mobilenet", "mobilenet_v2_050", weights=old)


def test_parallel_layers_do_not_enter_by_order(small_encoder_file, tmp_path):
    """Shortcut and residual branch of a ResNet: either may come first in a file."""
    _, path = small_encoder_file
    with pytest.raises(WeightsMismatchError, match="convolution2d_1"):
        registry.build_encoder(
            "resnet",
            "resnet_custom",
            weights=renamed(path, tmp_path / "old.h5"),
            **SMALL_PRESET["encoder"]["options"],
        )


def test_a_safetensors_file_gives_timm_s_features(tmp_path):
    """Parameters by timm's names enter through the plugin; the expected features are timm's own."""
    with np.load(GOLDEN / "mobilenet_v4_conv_small.timm.npz") as golden:
        shapes = json.loads(str(golden["shapes"]))
        save_file(
            {name: random_array(name, tuple(shape)).astype(np.float32) for name, shape in shapes.items()},
            tmp_path / "model.safetensors",
        )
        encoder = registry.build_encoder(
            "mobilenet", "mobilenet_v4_conv_small", weights=tmp_path / "model.safetensors"
        )
        for level, values in encoder(image(), training=False).items():
            expected = golden[level]
            np.testing.assert_allclose(
                sampled(values.numpy()), expected, atol=1e-4 * np.abs(expected).max(), err_msg=level
            )


def test_a_file_of_another_width_is_refused_with_every_layer(mobilenet_file):
    encoder = registry.build_encoder("mobilenet", "mobilenet_v2_050")
    before = values_of(encoder.layers)
    with pytest.raises(WeightsMismatchError, match=r"of another shape[\s\S]*and \d+ more") as caught:
        pretrained.load_encoder_weights(encoder.layers, "mobilenet", "mobilenet_v2_050", mobilenet_file)
    assert str(mobilenet_file) in str(caught.value)
    assert_equal_weights(encoder.layers, before)


def test_an_encoder_s_own_file_returns_into_it(small_encoder_file):
    encoder, path = small_encoder_file
    again = registry.build_encoder(
        "resnet", "resnet_custom", output_stride=8, weights=path, **SMALL_PRESET["encoder"]["options"]
    )
    assert_equal_weights(again.layers, values_of(encoder.layers))


@pytest.mark.parametrize("weights", ["default", None])
def test_the_encoder_alone_is_loaded_and_the_rest_is_listed_as_fresh(
    small_preset, small_encoder_file, weights
):
    encoder, path = small_encoder_file
    # Weights of the whole model, which would not even fit, stay unopened.
    small_preset["weights"] = {"segmentation": str(PRESETS / "resnet_v2_backbone")}
    model = registry.build(small_preset, weights=weights, encoder_weights=path)
    expected = values_of(encoder.layers)
    assert_equal_weights([model.get_layer(name) for name in expected], expected)
    report = model.weights_report
    assert set(report.loaded) == set(expected)
    assert "segmentation_output" in report.fresh
    assert set(report.loaded) | set(report.fresh) == {layer.name for layer in model.layers if layer.weights}


def test_a_keras_hub_directory_lends_its_architecture_without_its_weights(tmp_path):
    directory = PRESETS / "resnet_v1_segmenter"
    source = registry.build(directory, weights=None)
    source.backbone.image_encoder.save_weights(tmp_path / "encoder.h5")
    model = registry.build(directory, encoder_weights=tmp_path / "encoder.h5")
    expected = values_of(source.backbone.image_encoder.layers)
    assert_equal_weights([model.get_layer(name) for name in expected], expected)
    assert "segmentation_output" in model.weights_report.fresh


def test_weights_of_the_whole_model_and_of_its_encoder_exclude_each_other(small_preset, small_encoder_file):
    _, path = small_encoder_file
    with pytest.raises(ModelError, match="name one of them"):
        registry.build(small_preset, weights=path, encoder_weights=path)


@pytest.fixture
def fetched(monkeypatch, mobilenet_file):
    """Stands in for the network: every handle of a file is this file; what was asked for is recorded."""
    asked = []

    def fetch_file(handle, *, declared):
        asked.append((handle, declared))
        return mobilenet_file

    monkeypatch.setattr(opening, "fetch_file", fetch_file)
    return asked


def imagenet_handle():
    return find_encoder("mobilenet", "mobilenet_v2_035")[1].weights["imagenet"]


def test_the_source_imagenet_is_the_default(fetched):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = registry.build(MOBILE_PRESET)
    assert fetched == [(imagenet_handle(), True)]
    assert model.weights_report.source == imagenet_handle()
    assert "bn_Conv1" in model.weights_report.loaded


def test_names_are_the_plugin_s_and_handles_the_user_s(fetched):
    handle = f"https://host/a.h5#sha256={'0' * 64}"
    for weights in ("imagenet", handle, imagenet_handle()):
        registry.build_encoder("mobilenet", "mobilenet_v2_035", weights=weights)
    assert fetched == [(imagenet_handle(), True), (handle, False), (imagenet_handle(), False)]


@pytest.mark.parametrize("arguments", [{"weights": None}, {"encoder_weights": None}])
def test_none_leaves_fresh_weights_silently(fetched, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.build(MOBILE_PRESET, **arguments).weights_report is None
    assert fetched == []


def test_an_unreachable_default_says_how_to_go_without(monkeypatch, tmp_path):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match=r"weights=None for fresh weights"):
        registry.build_encoder("mobilenet", "mobilenet_v2_035", weights="imagenet")


def test_a_file_of_the_whole_model_returns_into_it(small_preset, tmp_path):
    source = randomize(registry.build(small_preset, weights=None))
    source.save_weights(tmp_path / "model.h5")
    model = registry.build(small_preset, weights=tmp_path / "model.h5")
    assert_equal_weights(model.layers, values_of(source.layers))
    assert model.weights_report.fresh == ()
    wider = registry.build(small_preset, weights=tmp_path / "model.h5", num_classes=9)
    assert wider.weights_report.fresh == ("segmentation_output",)
    with pytest.raises(WeightsMismatchError, match="segmentation_output"):
        registry.build(small_preset | {"num_classes": 9}, weights=tmp_path / "model.h5")


def test_a_file_without_classifier_starts_a_fresh_one_with_a_warning_at_the_caller(small_preset, tmp_path):
    source = registry.build(small_preset, weights=None)
    keras.Model(source.input, source.get_layer("segmentation_output").input).save_weights(tmp_path / "m.h5")
    with pytest.warns(RegistryWarning, match="holds no classifier") as caught:
        registry.build(small_preset, weights=tmp_path / "m.h5")
    assert [warning.filename for warning in caught] == [__file__]


def test_declared_weights_are_opened_once(small_preset, monkeypatch):
    directory = PRESETS / "resnet_v1_segmenter"
    preset = registry.build(directory, weights=None).preset_config.model_dump(mode="json")
    preset["weights"] = {"segmentation": str(directory)}
    opened, original = [], keras_hub.fetch_directory

    def fetch_directory(source, **options):
        opened.append(source)
        return original(source, **options)

    monkeypatch.setattr(keras_hub, "fetch_directory", fetch_directory)
    assert registry.build(preset).weights_report.fresh == ()
    assert opened == [str(directory)]


def test_every_declared_source_is_a_well_formed_handle():
    handles = {
        handle
        for record in list_encoders()
        for handle in find_encoder(record.plugin, record.variant)[1].weights.values()
    }
    assert len(handles) > 20
    for handle in handles:
        assert is_handle(handle), handle
        if is_file_handle(handle):
            address, _ = split_digest(handle)
            assert address.endswith((".h5", ".safetensors")), handle
        else:
            assert handle.startswith(("kaggle://", "hf://")), handle
