"""What every test may ask for."""

import copy
import os

import pytest
from small_networks import SMALL_PRESET

# Read by the C++ side of TensorFlow when it is first imported: test output stays readable.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def small_preset():
    """An inline preset of a DeepLabV3+ that builds and runs in a second."""
    return copy.deepcopy(SMALL_PRESET)


@pytest.fixture(scope="session")
def small_model():
    """That preset, built with fresh weights; treat it as read-only."""
    import registry

    return registry.build(copy.deepcopy(SMALL_PRESET), weights=None)
