"""Our own `.safetensors`: a tensor per variable, told from others' by its metadata, in by two names or not at all."""

import json
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save, save_file

from registry.backend import keras
from registry.errors import WeightsError, WeightsFormatError, WeightsMismatchError
from registry.weights.opening import open_weights
from registry.weights.saved_layers import assign_saved, layers_as_bytes, read_header, tensor_names


@pytest.fixture
def model():
    """Every kind of name: with a slash, of a layer with two kernels, of statistics that are not trained."""
    layers = keras.layers
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="stem/conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.SeparableConv2D(5, 3, name="separable")(layers.ReLU(name="relu")(x))
    model = keras.Model(inputs, layers.Dense(2, name="top")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


NAMES = [
    "stem/conv/kernel", "stem/conv/bias", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance",
    "separable/depthwise_kernel", "separable/pointwise_kernel", "separable/bias", "top/kernel", "top/bias",
]  # fmt: skip


def zeroed(model):
    clone = keras.models.clone_model(model)
    clone.set_weights([np.zeros_like(value) for value in clone.get_weights()])
    return clone


def opened(path, content):
    path.write_bytes(content)
    return open_weights(path)


def test_tensors_are_named_after_layer_and_variable(model):
    assert tensor_names(model.layers) == NAMES
    tensors = load(layers_as_bytes(model.layers, "me"))
    assert sorted(tensors) == sorted(NAMES)
    for name, variable in zip(NAMES, model.weights, strict=True):
        np.testing.assert_array_equal(tensors[name], variable.numpy())
        assert tensors[name].dtype == variable.dtype.as_numpy_dtype
    model.get_layer("separable").trainable = False
    assert tensor_names(model.layers) == NAMES


def test_the_metadata_say_whose_layout_it_is(model, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(layers_as_bytes(model.layers, "größe"))
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        assert {key: json.loads(value) for key, value in file.metadata().items()} == {
            "atrous": {"name": "größe", "version": 1}
        }


def test_equal_weights_make_equal_files(model):
    assert len({layers_as_bytes(model.layers, "me") for _ in range(5)}) == 1


def test_every_bit_comes_back(model, tmp_path):
    # What arithmetic would not keep: the sign of zero, and numbers below the normal ones.
    values = np.zeros((3, 3, 3, 4), np.float32)
    values.ravel()[:3] = -0.0, 1e-45, np.finfo(np.float32).max
    model.get_layer("stem/conv").kernel.assign(values)
    weights, target = opened(tmp_path / "a.safetensors", layers_as_bytes(model.layers, "me")), zeroed(model)
    assert weights.kind == "saved"
    report = assign_saved(target.layers, weights.arrays, source="here")
    assert report.loaded == ("stem/conv", "bn", "separable", "top")
    for variable, other in zip(model.weights, target.weights, strict=True):
        assert variable.numpy().tobytes() == other.numpy().tobytes()


def test_float16_rounds_kernels_and_nothing_else(model, tmp_path):
    content = layers_as_bytes(model.layers, "me", "float16")
    tensors = load(content)
    for name, variable in zip(NAMES, model.weights, strict=True):
        exact = variable.numpy()
        assert tensors[name].dtype == (np.float16 if exact.ndim > 1 else np.float32)
        if exact.ndim > 1:
            error = np.abs(tensors[name].astype(np.float64) - exact)
            assert (error <= np.maximum(2.0**-11 * np.abs(exact), 2.0**-25)).all()
            assert error.max() > 0
        else:
            np.testing.assert_array_equal(tensors[name], exact)
    target = zeroed(model)
    assign_saved(target.layers, opened(tmp_path / "a.safetensors", content).arrays, source="here")
    again = layers_as_bytes(target.layers, "me", "float16")
    assert load(again)["top/kernel"].tobytes() == tensors["top/kernel"].tobytes()


@pytest.mark.parametrize(
    ("value", "dtype"), [(np.nan, "float32"), (-np.inf, "float32"), (70000.0, "float16")]
)
def test_what_is_not_finite_is_not_saved(model, value, dtype):
    kernel = model.get_layer("top").kernel
    kernel.assign(np.where(np.arange(10).reshape(5, 2) == 3, value, kernel.numpy()))
    with pytest.raises(WeightsError, match="in top/kernel") as caught:
        layers_as_bytes(model.layers, "me", dtype)
    assert "finite" in str(caught.value)


class Composite(keras.layers.Layer):
    def __init__(self, names, **kwargs):
        super().__init__(**kwargs)
        self.parts = [keras.layers.Dense(3, name=name) for name in names]

    def call(self, inputs):
        for part in self.parts:
            inputs = part(inputs)
        return inputs


def test_layers_within_a_layer_are_told_apart():
    inputs = keras.Input((3,))
    layer = Composite(["query", "value"], name="attention")
    keras.Model(inputs, layer(inputs))
    names = tensor_names([layer])
    assert names == [f"attention/{part}.{own}" for part in ("query", "value") for own in ("kernel", "bias")]
    alike = Composite(["same", "same"], name="twins")
    keras.Model(inputs, alike(inputs))
    assert len(set(tensor_names([alike]))) == 4
    assert all(name.count("/") == 1 for name in tensor_names([alike]))


def test_layouts_of_others_are_told_by_their_metadata(model, tmp_path):
    arrays = {"conv.weight": np.zeros((2, 2, 1, 1), np.float32)}
    for metadata in (None, {"format": "pt"}):
        save_file(arrays, tmp_path / "timm.safetensors", metadata=metadata)
        assert open_weights(tmp_path / "timm.safetensors").kind == "safetensors"
    # Names alone do not make a layout ours.
    save_file(load(layers_as_bytes(model.layers, "me")), tmp_path / "bare.safetensors")
    assert open_weights(tmp_path / "bare.safetensors").kind == "safetensors"


@pytest.mark.parametrize("text", ["", "x", "[]", "3", "{}", '{"name": "a"}', '{"name": "a", "version": "x"}'])
def test_spoilt_metadata(tmp_path, text):
    path = tmp_path / "spoilt.safetensors"
    with pytest.raises(WeightsFormatError, match=r"spoilt\.safetensors"):
        opened(path, save({"a/b": np.zeros(1, np.float32)}, metadata={"atrous": text}))


def test_a_layout_of_the_future(tmp_path):
    header = json.dumps({"name": "a", "version": 2})
    with pytest.raises(WeightsFormatError, match="pip install -U atrous"):
        opened(tmp_path / "x", save({"a/b": np.zeros(1, np.float32)}, metadata={"atrous": header}))
    assert read_header(tmp_path / "x", {"other": "1"}) is None


def changed(tensors, how):
    if how == "missing layer":
        return {name: value for name, value in tensors.items() if not name.startswith("bn/")}
    if how == "missing variable":
        return {name: value for name, value in tensors.items() if name != "top/bias"}
    if how == "extra layer":
        return tensors | {"other/kernel": np.zeros((1, 1), np.float32)}
    if how == "extra variable":
        return tensors | {"top/scale": np.zeros((2,), np.float32)}
    if how == "other shape":
        return tensors | {"top/kernel": np.zeros((2, 5), np.float32)}
    if how == "integers":
        return tensors | {"top/kernel": np.zeros((5, 2), np.int8)}
    # As if two variables of a layer had been exchanged by order: gamma and beta have one shape.
    return {name.replace("gamma", "scale"): value for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing layer", "missing from the weights: bn/beta, bn/gamma, bn/moving_mean, bn/moving_variance"),
        ("missing variable", "missing from the weights: top/bias"),
        ("extra layer", "not in the model: other/kernel"),
        ("extra variable", "not in the model: top/scale"),
        ("other shape", r"of another shape: top/kernel \(model 5×2, weights 2×5\)"),
        ("integers", "integers, where the model computes in floating point: top/kernel"),
        ("renamed variable", "not in the model: bn/scale"),
    ],
)
def test_every_tensor_is_accounted_for_or_nothing_changes(model, tmp_path, how, words):
    content = layers_as_bytes(model.layers, "me")
    metadata = {"atrous": json.dumps({"name": "me", "version": 1})}
    arrays = opened(tmp_path / "a.safetensors", save(changed(load(content), how), metadata=metadata)).arrays
    target = zeroed(model)
    with pytest.raises(WeightsMismatchError, match=words):
        assign_saved(target.layers, arrays, source="here")
    assert not any(value.any() for value in target.get_weights())


def test_damage_anywhere_is_an_error_or_harmless(model, tmp_path, damaged):
    content, path, refused = layers_as_bytes(model.layers, "me"), tmp_path / "a.safetensors", 0
    target = zeroed(model)
    for seed in range(150):
        before = target.get_weights()
        try:
            weights = opened(path, damaged(content, seed))
            assign_saved(target.layers, weights.arrays, source=str(path))
        except WeightsError as error:
            assert str(path) in str(error)
            refused += 1
            assert all(map(np.array_equal, before, target.get_weights()))
        else:
            assert all(np.isfinite(value).all() for value in target.get_weights())
    assert refused > 50


def test_a_header_that_claims_more_than_the_file_holds(tmp_path):
    text = json.dumps({"a/b": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    with pytest.raises(WeightsFormatError, match="intact"):
        opened(tmp_path / "a.safetensors", struct.pack("<Q", len(text)) + text)
