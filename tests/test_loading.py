"""`registry.load`: what a source is decides on what comes back."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import registry
from registry.errors import CatalogError, ModelError, ModelFileError, UnknownPresetError, WeightsFormatError

PARITY = "tests/parity/keras_hub_presets/resnet_v1_segmenter"


@pytest.fixture(scope="module")
def saved(small_model, tmp_path_factory):
    return registry.save_preset(small_model, tmp_path_factory.mktemp("saved") / "cats")


@pytest.fixture(scope="module")
def exported(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.TFLITE"
    registry.export(small_model, path, size=32)
    return path


def assert_loaded(model, saved):
    kernel = load_file(saved / "model.safetensors")["segmentation_output/kernel"]
    np.testing.assert_array_equal(model.classifier[0].get_weights()[0], kernel)


def test_a_word_is_a_preset_or_a_folder(saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    assert_loaded(registry.load("cats"), saved)
    with pytest.raises(UnknownPresetError, match="dogs"):
        registry.load("dogs")


def test_a_yaml_file_beside_its_weights(saved):
    model = registry.load(saved / "preset.yaml")
    assert_loaded(model, saved)


def test_a_keras_hub_directory(request):
    model = registry.load(request.config.rootpath / PARITY)
    assert isinstance(model, registry.DeepLabV3ImageSegmenter)
    assert model.num_classes == 4
    assert model.weights_report.fresh == ()


def test_a_keras_file_takes_no_overrides(tmp_path, monkeypatch):
    """That such files load is the matter of the tests of each architecture."""
    monkeypatch.setattr(registry.assembly, "load_model", lambda path: ("loaded", path))
    for name in ("model.keras", tmp_path / "model.KERAS"):
        assert registry.load(name) == ("loaded", Path(name))
    (tmp_path / "model.keras").touch()
    assert registry.load((tmp_path / "model.keras").as_uri()) == ("loaded", tmp_path / "model.keras")
    with pytest.raises(ModelError, match="loaded as it is"):
        registry.load("model.keras", num_classes=3)


def test_a_keras_file_that_is_absent():
    with pytest.raises(WeightsFormatError, match=r"absent\.keras"):
        registry.load("absent.keras")


def test_a_saved_model_folder_is_told_by_what_it_holds(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(WeightsFormatError, match="SavedModel"):
        registry.load(tmp_path / "folder")


def test_an_exported_file_is_a_segmenter(exported):
    segmenter = registry.load(exported, num_threads=1, labels=list("abcde"))
    assert isinstance(segmenter, registry.Segmenter)
    assert segmenter.labels == tuple("abcde")
    assert segmenter.segment(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30)
    assert isinstance(registry.load(exported.as_uri()), registry.Segmenter)
    with pytest.raises(ModelFileError, match=r"absent\.tflite"):
        registry.load("absent.tflite")


def test_an_exported_file_takes_no_tensorflow(exported):
    program = (
        "import sys, registry\n"
        f"print(registry.load({str(exported)!r}, trusted=True).num_classes, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1:] == ["5 False"], result.stderr


def test_overrides_of_a_preset(saved):
    model = registry.load(saved, num_classes=2, activation="softmax")
    assert model.weights_report.fresh == ("segmentation_output",)
    assert model.activation == "softmax"


def test_a_preset_without_weights_is_not_ready_for_use(small_preset, monkeypatch):
    monkeypatch.setattr(registry.assembly.building, "assemble", lambda *_: pytest.fail("built"))
    for source in (small_preset, "deeplab_v3_plus_resnet50_os16_pascalvoc"):
        with pytest.raises(ModelError, match=r"ready for use needs weights of the whole model") as caught:
            registry.load(source)
        assert "registry.build starts one for training" in str(caught.value)


def test_weights_can_be_named(small_preset, saved):
    assert_loaded(registry.load(small_preset, weights=saved), saved)
    assert registry.load(small_preset, weights=None).weights_report is None


@pytest.mark.parametrize("source", ["a/absent", "absent.yaml", 3, None])
def test_what_is_nothing(source):
    with pytest.raises(CatalogError):
        registry.load(source)


def test_a_folder_that_is_no_preset(tmp_path, saved):
    shutil.copy(saved / "model.safetensors", tmp_path)
    with pytest.raises(CatalogError, match=r"holds preset\.yaml"):
        registry.load(tmp_path)
