import pytest
from small_networks import blocks, small_model
from small_runs import interrupt

import registry
from registry.backend import keras

__all__ = ["interrupt"]

SIZE = (64, 64)


@pytest.fixture(scope="session")
def float_model():
    """A DeepLabV3+ with weights and statistics of an ordinary network; treat it as read-only."""
    return small_model()


@pytest.fixture(scope="session")
def pruned_model(float_model):
    """The same, four fifths of its kernels zero."""
    return registry.prune(float_model, 0.8, exclude=["segmentation_output"])


@pytest.fixture(scope="session")
def images():
    return blocks(8, 64)


@pytest.fixture
def network():
    """Two convolutions and what is between them: a model of nothing but kernels."""
    keras.utils.set_random_seed(0)
    inputs = keras.layers.Input((8, 8, 4))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, keras.layers.Conv2D(3, 1, name="second")(x))
