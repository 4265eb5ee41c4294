"""Every array is accounted for, or nothing is changed."""

import numpy as np
import pytest

from registry.backend import keras
from registry.errors import WeightsMismatchError
from registry.weights.assignment import assign


@pytest.fixture
def model():
    inputs = keras.layers.Input((4,))
    x = keras.layers.Dense(3, name="first")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="second")(keras.layers.ReLU(name="relu")(x)))


def arrays_of(model, seed=0):
    rng = np.random.default_rng(seed)
    return {
        layer.name: [rng.normal(size=w.shape).astype(np.float32) for w in layer.weights]
        for layer in model.layers
        if layer.weights
    }


def test_all_arrays_enter(model):
    arrays = arrays_of(model)
    report = assign(model.layers, arrays, source="here")
    for name, values in arrays.items():
        for loaded, value in zip(model.get_layer(name).get_weights(), values, strict=True):
            np.testing.assert_array_equal(loaded, value)
    assert report.loaded == ("first", "second")


def test_declared_extras_are_passed_over_and_reported(model):
    report = assign(
        model.layers, arrays_of(model) | {"post_bn": [np.zeros(3)]}, source="here", unused=["post_bn"]
    )
    assert report.unused == ("post_bn",)


def test_every_problem_is_listed_and_nothing_changes(model):
    before = [w.copy() for w in model.get_weights()]
    arrays = arrays_of(model)
    arrays["third"] = arrays.pop("second")
    arrays["first"][0] = np.zeros((4, 9), np.float32)
    with pytest.raises(WeightsMismatchError) as caught:
        assign(model.layers, arrays, source="somewhere")
    message = str(caught.value)
    assert "somewhere" in message
    assert "missing from the weights: second" in message
    assert "not in the model: third" in message
    assert "first (model 4×3, 3, weights 4×9, 3)" in message
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_long_list_is_cut_with_its_count(model):
    extra = {f"layer_{number:02}": [np.zeros(1)] for number in range(40)}
    with pytest.raises(WeightsMismatchError, match=r"and 28 more \(40 layers\)"):
        assign(model.layers, arrays_of(model) | extra, source="here")
