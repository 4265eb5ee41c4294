import shutil
import sys

import numpy as np
import pytest

import registry


@pytest.fixture
def fakes(monkeypatch, tiny_tflite):
    """A preset without labels whose export is the tiny model."""

    class Resolved:
        class config:  # noqa: N801
            labels = ()

    def export(model, path, **arguments):
        shutil.copy(tiny_tflite, path)
        return "the report"

    monkeypatch.setattr(registry, "build", lambda preset, weights: (preset, weights), raising=False)
    monkeypatch.setattr(registry, "describe", lambda preset: Resolved, raising=False)
    monkeypatch.setattr(registry, "export", export, raising=False)


def test_the_demo_segments_a_photograph_and_admits_its_weights(run, fakes, photo, tmp_path):
    result = run("demo", "--image", photo, "--output", "deep/results")
    assert result.exit_code == 0, result.stderr
    written = {path.name for path in (tmp_path / "deep" / "results").iterdir()}
    assert written == {"model.tflite", "mask.png", "overlay.png"}
    assert "the report" in result.stdout
    assert "random" in result.stderr
    assert "meaningless" in result.stderr


def test_the_demo_brings_its_own_photograph(run, fakes):
    pytest.importorskip("skimage")
    result = run("demo")
    assert result.exit_code == 0, result.stderr
    assert "512 x 512 pixels" in result.stdout


def test_without_scikit_image_the_repair_is_named(run, fakes, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skimage", None)
    result = run("demo")
    assert result.exit_code == 1
    assert "pip install 'atrous[demo]'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(run, fakes, photo):
    result = run("demo", "--image", photo, "--output", photo)
    assert result.exit_code == 1
    assert "creatable" in result.stderr


def test_a_damaged_photograph_is_refused_before_anything_is_built(run, fakes, tmp_path):
    (tmp_path / "photo.png").write_bytes(np.zeros(9, np.uint8).tobytes())
    assert run("demo", "--image", "photo.png").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
