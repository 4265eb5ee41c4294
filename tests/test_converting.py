"""Weights from one format into another: every array accounted for, and what is written comes back bit by bit."""

import json
from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pytest
from small_networks import SMALL_PRESET, randomize

import registry
from registry.assembly.converting import Target, target_format
from registry.errors import ModelError, OutputPathError, WeightsFormatError, WeightsMismatchError

GOLDEN = Path(__file__).parent / "parity" / "keras_hub_presets"


@pytest.fixture(scope="module")
def model():
    return randomize(registry.build(SMALL_PRESET, weights=None))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return registry.save_preset(model, tmp_path_factory.mktemp("saved") / "small")


def assert_same_weights(model, expected):
    for layer in expected.layers:
        for value, other in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("name", ["x.safetensors", "x.h5", "x.weights.h5"])
def test_there_and_back(model, saved, tmp_path, name):
    conversion = registry.convert(saved, tmp_path / name)
    assert conversion.parameters == model.count_params()
    assert conversion.named("used") == [layer.name for layer in model.layers if layer.weights]
    assert conversion.named("unused") == conversion.named("fresh") == []
    again = registry.build(SMALL_PRESET, weights=tmp_path / name)
    assert_same_weights(again, model)
    assert again.weights_report.fresh == ()


def test_a_keras_file_there_and_back(model, saved, tmp_path, monkeypatch):
    registry.convert(saved, tmp_path / "x.keras")
    assert registry.convert(tmp_path / "x.keras", tmp_path / "own").named("unused") == []
    assert (tmp_path / "own" / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    # That it can be read was seen.
    monkeypatch.setattr("registry.assembly.saved_models.load_model", lambda path: model)
    again = registry.build(SMALL_PRESET, weights=(tmp_path / "x.keras").as_uri())
    assert_same_weights(again, model)
    report = registry.build(SMALL_PRESET, encoder_weights=tmp_path / "x.keras").weights_report
    assert set(report.loaded) == {layer.name for layer in model.encoder.layers if layer.weights}
    assert "segmentation_output" in report.fresh
    assert "segmentation_output" in report.unused


def test_keras_hub_directories_are_written_as_keras_hub_writes_them(tmp_path):
    """The very JSON, and the very bits at the very places, of a directory that KerasHub wrote."""
    for name in ("resnet_v1_segmenter", "resnet_vd_segmenter"):
        conversion = registry.convert(GOLDEN / name, tmp_path / name, format="keras-hub")
        assert conversion.format == "keras-hub"
        written, golden = tmp_path / name, GOLDEN / name
        assert json.loads((written / "config.json").read_text()) == json.loads(
            (golden / "config.json").read_text()
        )
        task, expected = (json.loads((folder / "task.json").read_text()) for folder in (written, golden))
        task["config"].pop("preprocessor"), expected["config"].pop("preprocessor")
        assert task == expected
        metadata = json.loads((written / "metadata.json").read_text())
        expected = json.loads((golden / "metadata.json").read_text())
        assert metadata | {"date_saved": expected["date_saved"]} == expected
        for file in ("model.weights.h5", "task.weights.h5"):
            assert datasets(written / file) == datasets(golden / file)


def datasets(path):
    held = {}

    def visit(key, item):
        if isinstance(item, h5py.Dataset) and not key.startswith("optimizer/"):
            held[key] = (item.shape, item.dtype.str, item[()].tobytes(), item.parent.attrs["name"])

    with h5py.File(path) as file:
        file.visititems(visit)
    return held


def test_what_keras_hub_cannot_express_is_refused_with_all_of_it(model, tmp_path):
    with pytest.raises(ModelError) as caught:
        registry.save_keras_hub(model, tmp_path / "x")
    for part in (
        "aspp_filters is 16",
        "decoder_kernel_size is 3",
        "output stride is 16",
        "encoder 'resnet_custom'",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "x").exists()
    with pytest.raises(ModelError, match="is no DeepLabV3ImageSegmenter"):
        registry.save_keras_hub(object(), tmp_path / "x")


def test_arrays_without_a_place_are_an_error_and_nothing_is_written(saved, tmp_path):
    other = {**SMALL_PRESET, "num_classes": 7}
    with pytest.raises(WeightsMismatchError, match="segmentation_output"):
        registry.convert(saved, tmp_path / "x", preset=other)
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_converted(saved, tmp_path):
    with pytest.raises(ModelError, match="does not say what model"):
        registry.convert(saved / "model.safetensors", tmp_path / "x")
    with pytest.raises(OutputPathError):
        registry.convert(saved, saved)
    with pytest.raises(ModelError, match="a target ends in"):
        registry.convert(saved, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="as keras-hub"):
        target_format("x.keras", "keras-hub")
    with pytest.raises(ModelError, match="one of preset"):
        target_format("x", "onnx")
    (tmp_path / "x.pth").write_bytes(b"PK\3\4")
    with pytest.raises(WeightsFormatError, match=r"torch\.load"):
        registry.convert(tmp_path / "x.pth", tmp_path / "x", preset=SMALL_PRESET)


def test_a_model_with_fresh_layers_is_not_converted(tmp_path):
    with pytest.raises(ModelError, match="weights of the whole model"):
        registry.convert(GOLDEN / "resnet_v2_backbone", tmp_path / "x", num_classes=3)


def test_the_commands_formats_are_these():
    from registry.cli.convert import Format

    assert get_args(Format) == get_args(Target)
