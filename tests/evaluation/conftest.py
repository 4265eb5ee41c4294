"""What tests of evaluation share."""

import numpy as np
import pytest


@pytest.fixture
def blobs():
    """Masks of five classes with ignored pixels, of different sizes: annotations, and what the oracle will say."""
    rng = np.random.default_rng(0)
    pairs = []
    for height, width in ((23, 31), (40, 17), (16, 32)):
        coarse = rng.integers(0, 5, (height // 4 + 1, width // 4 + 1))
        truth = np.kron(coarse, np.ones((4, 4), int))[:height, :width].astype(np.uint8)
        guess = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 5, truth.shape), truth)
        truth[rng.random(truth.shape) < 0.1] = 255
        pairs.append((truth, guess.astype(np.uint8)))
    return pairs


@pytest.fixture(scope="session")
def small_file(small_model, tmp_path_factory):
    """`small_model` as a float32 file for 96×96 pixels."""
    import registry

    path = tmp_path_factory.mktemp("evaluated") / "small.tflite"
    registry.export(small_model, path, size=(96, 96))
    return path
