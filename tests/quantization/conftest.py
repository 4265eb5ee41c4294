import copy

import numpy as np
import pytest
from small_networks import SMALL_PRESET, randomize

import registry


def blocks(count, size, seed=0):
    """Images with large and small structure: random squares and noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def images():
    return blocks(8, 64)


@pytest.fixture(scope="session")
def float_model():
    """A DeepLabV3+ with weights and statistics of an ordinary network; treat it as read-only."""
    return randomize(registry.build(copy.deepcopy(SMALL_PRESET), weights=None))


@pytest.fixture(scope="session")
def quantized_model(float_model, images):
    """The same, calibrated; treat it as read-only."""
    return registry.quantize(float_model, calibration=images, size=(64, 64), progress=False)
