"""The command line, in this process and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `atrous` in this process, inside an empty folder: `run("list", "--json")`."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        from registry.cli.app import app

        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="atrous")

    return invoke


@pytest.fixture
def process(tmp_path):
    """Run a new Python inside an empty folder: `process("-m", "registry", "list")`."""

    def start(*arguments, **environment):
        search = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": search, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return start


@pytest.fixture(scope="session")
def tiny_tflite(tmp_path_factory) -> Path:
    """A two-class model: class 1 where red exceeds green. Input 16 × 24, scores at a quarter of that."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from registry.backend import keras, tf

    inputs = keras.Input((16, 24, 3), batch_size=1)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, strides=4, use_bias=False)(inputs))
    model.set_weights([np.array([[[[0.0, 1.0], [0.0, -1.0], [0.0, 0.0]]]], np.float32)])
    path = tmp_path_factory.mktemp("tiny") / "tiny.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    """Left half red, right half green, 40 × 80 pixels, as `photo.jpg` in the current folder of `run`."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40, 0] = pixels[:, 40:, 1] = 200
    path = tmp_path / "photo.jpg"
    Image.fromarray(pixels).save(path, quality=95)
    return path


@pytest.fixture
def annotated_folder(tmp_path) -> Path:
    """Three images with masks for `tiny_tflite`, which are right but for the third, and for ignored rows."""
    folder = tmp_path / "photos"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number, name in enumerate(("a", "b", "c")):
        pixels = np.zeros((40, 80 + 8 * number, 3), np.uint8)
        pixels[:, :40, 0] = pixels[:, 40:, 1] = 200
        mask = (pixels[..., 0] > 0).astype(np.uint8)
        if name == "c":
            mask = 1 - mask
        mask[:8] = 255
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "val.txt").write_text("a\nc\n")
    return folder
