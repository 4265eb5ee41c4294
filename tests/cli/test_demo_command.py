import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import registry


@pytest.fixture
def exported(monkeypatch, tiny_tflite):
    """Arguments of the export, which gives the tiny model instead."""
    seen = {}

    def export(model, path, **arguments):
        seen.update(arguments)
        shutil.copy(tiny_tflite, path)
        return "the report"

    config = SimpleNamespace(input=SimpleNamespace(size=(128, 128)))
    monkeypatch.setattr(
        registry, "build", lambda preset: SimpleNamespace(preset_config=config), raising=False
    )
    monkeypatch.setattr(registry, "export", export, raising=False)
    return seen


def test_the_demo_segments_a_photograph_of_ones_own(run, exported, photo, tmp_path):
    result = run("demo", "--image", photo, "--output", "deep/results")
    assert result.exit_code == 0, result.stderr
    written = {path.name for path in (tmp_path / "deep" / "results").iterdir()}
    assert written == {"model.tflite", "photo.png", "mask.png", "overlay.png"}
    assert "the report" in result.stdout
    assert "in the picture" not in result.stdout
    assert exported["quantization"] == "int8"
    assert np.shape(exported["calibration"]) == (64, 128, 128, 3)


def test_the_demo_brings_photographs_and_says_what_they_show(run, exported):
    for example in (0, 3):
        result = run("demo", "--example", example)
        assert result.exit_code == 0, result.stderr
        assert "384 x 384 pixels" in result.stdout
        annotated = registry.data.DigitsInPhotographs("test", example + 1, size=(384, 384))[example]
        shown = [registry.data.digits.LABELS[index] for index in np.unique(annotated.mask) if index]
        assert f"in the picture {', '.join(shown)}" in result.stdout


def test_without_scikit_learn_the_repair_is_named(run, exported, monkeypatch, tmp_path):
    from registry.data import digits

    digits._digits.cache_clear()
    digits._photograph.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    result = run("demo")
    assert result.exit_code == 1
    assert "pip install 'atrous[digits]'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(run, exported, photo):
    result = run("demo", "--image", photo, "--output", photo)
    assert result.exit_code == 1
    assert "one that can be made" in result.stderr


def test_a_damaged_photograph_is_refused_before_anything_is_built(run, exported, tmp_path):
    (tmp_path / "photo.png").write_bytes(np.zeros(9, np.uint8).tobytes())
    assert run("demo", "--image", "photo.png").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
