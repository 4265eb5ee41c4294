"""A file that runs in a moment, and images for it."""

import shutil
from importlib.resources import as_file, files

import numpy as np
import pytest
from PIL import Image

from registry.runtime import Segmenter


@pytest.fixture(scope="session")
def tflite(tmp_path_factory):
    """Class 1 where red exceeds green; 8 × 8 pixels."""
    path = tmp_path_factory.mktemp("model") / "red.tflite"
    with as_file(files("registry.diagnosis") / "smallest.tflite") as smallest:
        shutil.copy(smallest, path)
    return path


@pytest.fixture(scope="session")
def segmenter(tflite):
    return Segmenter(tflite, num_threads=1, trusted=True)


@pytest.fixture
def photos(tmp_path):
    """`photos/` with six images in two folders, one of them damaged, and files that are no images."""
    folder = tmp_path / "photos"
    (folder / "deep" / ".hidden").mkdir(parents=True)
    for number in range(5):
        place = folder / "deep" if number > 2 else folder
        pixels = np.zeros((16, 8 + 8 * number, 3), np.uint8)
        pixels[:, :8, 0] = pixels[:, 8:, 1] = 200
        Image.fromarray(pixels).save(place / f"{number}.png")
    (folder / "deep" / "damaged.png").write_bytes((folder / "0.png").read_bytes()[:40])
    (folder / "notes.txt").write_text("no image")
    shutil.copy(folder / "0.png", folder / "deep" / ".hidden" / "unseen.png")
    return folder
