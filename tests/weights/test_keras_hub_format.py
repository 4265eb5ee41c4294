"""Damaged and foreign KerasHub directories: one error that names the file, nothing loaded."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import registry
from registry.errors import (
    ModelError,
    UnknownEncoderError,
    WeightsError,
    WeightsFormatError,
    WeightsMismatchError,
    WeightsUnavailableError,
)
from registry.weights import keras_hub

PRESETS = Path(__file__).parent.parent / "parity" / "keras_hub_presets"


@pytest.fixture
def directory(tmp_path):
    return Path(shutil.copytree(PRESETS / "resnet_v1_segmenter", tmp_path / "preset"))


@pytest.fixture
def sharded(tmp_path):
    return Path(shutil.copytree(PRESETS / "resnet_vd_backbone_sharded", tmp_path / "preset"))


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_weights(directory, share):
    weights = directory / "model.weights.h5"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsFormatError, match=r"model\.weights\.h5"):
        registry.build(directory)


def test_damaged_weights_never_escape_as_another_error(directory):
    """Bytes flipped anywhere: a WeightsError that names the directory, or values that are still finite."""
    weights = directory / "task.weights.h5"
    content = bytearray(weights.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 20):
            damaged[position] ^= int(rng.integers(1, 256))
        weights.write_bytes(damaged)
        try:
            arrays = keras_hub.open_preset(directory).head_arrays()
        except WeightsError as error:
            assert str(directory) in str(error)
            refused += 1
        else:
            assert all(np.isfinite(array).all() for values in arrays.values() for array in values)
    assert refused > 20


def test_not_a_number_in_the_weights(directory):
    with h5py.File(directory / "model.weights.h5", "r+") as file:
        file["layers/functional/layers/conv2d/vars/0"][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightsFormatError, match="NaN or Inf"):
        registry.build(directory)


def test_integer_weights(directory):
    with h5py.File(directory / "task.weights.h5", "r+") as file:
        shape = file["layers/conv2d/vars/0"].shape
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars"].create_dataset("0", data=np.zeros(shape, np.int8))
    with pytest.raises(WeightsFormatError, match="dtype int8"):
        registry.build(directory)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"class_name": "DeepLabV3Backbone"}'])
def test_broken_config(directory, text):
    (directory / "config.json").write_text(text)
    with pytest.raises(WeightsFormatError, match=r"config\.json"):
        registry.build(directory)


def test_a_layer_that_is_missing_or_of_another_width_is_named(directory):
    with h5py.File(directory / "model.weights.h5", "r+") as file:
        del file["layers/functional/layers/conv2d"]
        group = file["layers/functional/layers/conv2d_1/vars"]
        name = group.attrs["name"]
        shape = group["0"].shape
        del group["0"]
        group.create_dataset("0", data=np.zeros((*shape[:3], shape[3] + 1), np.float32))
    with pytest.raises(WeightsMismatchError) as caught:
        registry.build(directory)
    assert "missing from the weights: conv1_conv" in str(caught.value)
    assert f"{name} (model" in str(caught.value)


def test_weights_of_another_architecture():
    with pytest.raises(WeightsMismatchError) as caught:
        registry.build("deeplab_v3_plus_resnet50_pascalvoc", weights=PRESETS / "resnet_v1_segmenter")
    message = str(caught.value)
    assert "missing from the weights" in message
    assert "of another shape" in message
    assert "segmentation_output (model 1×1×256×21, weights 1×1×256×4)" in message


def test_a_shard_that_is_absent(sharded):
    (sharded / "model_00001.weights.h5").unlink()
    with pytest.raises(WeightsUnavailableError, match=r"model_00001\.weights\.h5"):
        registry.DeepLabV3Backbone.from_preset(sharded)


@pytest.mark.parametrize("name", ["../secret.h5", "/etc/passwd", "sub/model.h5"])
def test_a_shard_outside_the_directory_is_refused(sharded, name):
    edit_json(sharded / "model.weights.json", lambda content: content["weight_map"].update({"/x/vars": name}))
    with pytest.raises(WeightsFormatError, match="not a file beside it"):
        registry.DeepLabV3Backbone.from_preset(sharded)


def test_an_encoder_that_no_plugin_stands_for(directory):
    def rename(content):
        content["config"]["image_encoder"]["class_name"] = "ResNetBackbonne"

    edit_json(directory / "config.json", rename)
    with pytest.raises(UnknownEncoderError, match="did you mean 'ResNetBackbone'"):
        registry.build(directory)


def test_another_task_is_refused(directory):
    edit_json(directory / "config.json", lambda content: content.update(class_name="GemmaBackbone"))
    with pytest.raises((WeightsFormatError, UnknownEncoderError, ModelError)):
        registry.build(directory)
