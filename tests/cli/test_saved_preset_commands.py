"""The folder of a saved preset on the command line, wherever a preset may stand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import registry
from registry.backend import keras


@pytest.fixture
def cats(small_model, tmp_path):
    """A saved preset in the folder that `run` works in."""
    return registry.save_preset(small_model, tmp_path / "my cats")


def test_it_is_shown_and_validated(run, cats):
    shown = run("show", "my cats", "--set", "num_classes=2")
    assert shown.exit_code == 0, shown.stderr
    assert "segmentation: model.safetensors " in shown.stdout
    assert "# my cats/preset.yaml:" in shown.stdout
    assert json.loads(run("validate", "my cats", "./my cats/preset.yaml", "--json").stdout)["errors"] == []


def test_absent_weights_are_found_before_anything_is_built(run, cats):
    (cats / "model.safetensors").unlink()
    result = run("validate", "my cats", "--json")
    assert result.exit_code == 1
    (error,) = json.loads(result.stdout)["errors"]
    assert error["type"] == "WeightsUnavailableError"
    assert error["message"].startswith("my cats/preset.yaml:")


def test_it_is_built_saved_again_and_exported(run, cats):
    built = run("build", "my cats", "--output", "again", "--json")
    assert built.exit_code == 0, built.stderr
    assert json.loads(built.stdout)["output"] == "again"
    assert Path("again/model.safetensors").read_bytes() == (cats / "model.safetensors").read_bytes()
    exported = run("export", "again", "model.tflite", "--size", "32", "--no-report")
    assert exported.exit_code == 0, exported.stderr
    assert Path("model.tflite").stat().st_size > 0


@pytest.mark.parametrize("output", ["my cats", "photo.jpg", "absent/folder", "model.h5"])
def test_outputs_are_refused_before_anything_is_built(run, cats, photo, monkeypatch, output):
    monkeypatch.setattr(registry, "build", lambda *_, **__: pytest.fail("built"), raising=False)
    assert run("build", "my cats", "--output", output).exit_code == 1


def test_it_segments_a_photograph(run, cats, photo):
    result = run("predict", "my cats", photo, "--size", "32x64", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["model"], document["height"], document["width"]) == ("my cats", 40, 80)
    assert document["num_classes"] == 5
    with Image.open("photo_mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), registry.load(cats).segment(photo, size=(32, 64)))
    assert Path("photo_overlay.png").exists()


def test_a_model_in_keras_is_asked_what_it_can(run, cats, photo, monkeypatch):
    Path("labels.txt").write_text("a\nb\n", encoding="utf-8")
    assert run("predict", "my cats", photo, "--threads", 1).exit_code == 2
    result = run("predict", "my cats", photo, "--labels", "labels.txt")
    assert result.exit_code == 1
    assert "each of the 5 classes" in result.stderr
    monkeypatch.setattr(registry, "load", lambda source: keras.Model(), raising=False)
    result = run("predict", "other.keras", photo)
    assert result.exit_code == 1
    assert "takes segmenters of atrous" in result.stderr
