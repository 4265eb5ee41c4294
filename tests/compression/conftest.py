import copy

import numpy as np
import pytest
from small_networks import SMALL_PRESET, randomize

import registry
from registry.backend import keras

SIZE = (64, 64)


@pytest.fixture(scope="session")
def float_model():
    """A DeepLabV3+ with weights and statistics of an ordinary network; treat it as read-only."""
    return randomize(registry.build(copy.deepcopy(SMALL_PRESET), weights=None))


@pytest.fixture(scope="session")
def pruned_model(float_model):
    """The same, four fifths of its kernels zero."""
    return registry.prune(float_model, 0.8, exclude=["segmentation_output"])


@pytest.fixture(scope="session")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def network():
    """Two convolutions and what is between them: a model of nothing but kernels."""
    keras.utils.set_random_seed(0)
    inputs = keras.layers.Input((8, 8, 4))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, keras.layers.Conv2D(3, 1, name="second")(x))
