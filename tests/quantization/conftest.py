import pytest
from small_networks import blocks, small_model

import registry


@pytest.fixture(scope="session")
def images():
    return blocks(8, 64)


@pytest.fixture(scope="session")
def float_model():
    """A DeepLabV3+ with weights and statistics of an ordinary network; treat it as read-only."""
    return small_model()


@pytest.fixture(scope="session")
def quantized_model(float_model, images):
    """The same, calibrated; treat it as read-only."""
    return registry.quantize(float_model, calibration=images, size=(64, 64), progress=False)
