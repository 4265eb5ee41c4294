"""A model whose answers are known, and a photograph for it."""

import io
import shutil
from importlib.resources import as_file, files

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("playground")


@pytest.fixture(scope="module")
def tflite(folder):
    """Class 1 where red exceeds green."""
    path = folder / "red_float32.tflite"
    with as_file(files("registry.diagnosis") / "smallest.tflite") as smallest:
        shutil.copy(smallest, path)
    return path


@pytest.fixture(scope="module")
def photo(folder):
    """Left half red, right half green, as PNG; also one of a folder of images."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 1] = 200
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    (folder / "images" / "deep").mkdir(parents=True)
    (folder / "images" / "deep" / "a.png").write_bytes(stream.getvalue())
    return stream.getvalue()
