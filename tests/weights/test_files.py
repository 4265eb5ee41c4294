"""Keras's and safetensors' files: read array by array, told by content, refused with one error if they are spoilt."""

import json
import struct
import tracemalloc

import h5py
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from registry.backend import keras
from registry.errors import WeightsError, WeightsFormatError, WeightsMismatchError, WeightsUnavailableError
from registry.weights.assignment import assign
from registry.weights.opening import open_weights


@pytest.fixture(scope="module")
def model():
    layers = keras.layers
    inputs = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="stem/conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.SeparableConv2D(5, 3, name="separable")(x)
    x = layers.ReLU(name="relu")(x)
    model = keras.Model(inputs, layers.Dense(2, name="top")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def weights(model, tmp_path):
    path = tmp_path / "weights.h5"
    model.save_weights(path)
    return path


def arrays_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def assert_same(opened, expected):
    assert list(opened) == list(expected)
    for name, arrays in expected.items():
        for array, value in zip(opened[name], arrays, strict=True):
            assert array.shape == value.shape
            assert array.dtype == value.dtype
            np.testing.assert_array_equal(np.asarray(array), value)


@pytest.mark.parametrize("kind", ["weights", "model"])
def test_keras_files_by_layer_in_the_order_of_variables(model, tmp_path, kind):
    path = tmp_path / "any_name"
    if kind == "weights":
        model.save_weights(path, save_format="h5")
    else:
        model.save(path, save_format="h5")
    opened = open_weights(path)
    assert (opened.source, opened.kind, opened.preset) == (str(path), "keras", None)
    assert_same(opened.arrays, arrays_of(model))


def test_frozen_layers_keep_their_order(model, tmp_path):
    model.get_layer("separable").trainable = False
    try:
        model.save_weights(tmp_path / "frozen.h5")
    finally:
        model.get_layer("separable").trainable = True
    assert_same(open_weights(tmp_path / "frozen.h5").arrays, arrays_of(model))


def test_a_list_of_layers_that_exceeds_an_attribute_is_read_from_its_parts(model, weights):
    with h5py.File(weights, "r+") as file:
        names = list(file.attrs["layer_names"])
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]
    assert_same(open_weights(weights).arrays, arrays_of(model))


def test_a_round_trip_through_assignment(model, weights):
    clone = keras.models.clone_model(model)
    report = assign(clone.layers, open_weights(weights).arrays, source="here")
    assert report.loaded == tuple(arrays_of(model))
    image = np.random.default_rng(1).normal(size=(1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(clone(image), model(image))


def named_groups(path, names):
    """A `.weights.h5` file: groups numbered by class, with or without the layers' names."""
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            group = file.create_group(f"layers/dense{f'_{number}' if number else ''}/vars")
            group["0"], group["1"] = np.full((2, 3), number, np.float32), np.zeros(3, np.float32)
            if name:
                group.attrs["name"] = name
        file["optimizer/vars/0"] = np.int64(7)
    return path


def test_numbered_groups_with_names_are_read_by_name(tmp_path):
    opened = open_weights(named_groups(tmp_path / "x.weights.h5", ["second", "first"]))
    assert {name: float(np.asarray(arrays[0])[0, 0]) for name, arrays in opened.arrays.items()} == {
        "second": 0,
        "first": 1,
    }
    with pytest.raises(WeightsFormatError, match="repeats the layer name"):
        open_weights(named_groups(tmp_path / "y.weights.h5", ["first", "first"]))


def test_numbers_without_names_can_exchange_parallel_layers(tmp_path):
    """Why such files are refused: tf-keras itself loads this one, into the wrong layers, without a word."""

    def branches(order):
        inputs = keras.layers.Input((3,))
        parts = {name: keras.layers.Dense(2, use_bias=False, name=name)(inputs) for name in "ab"}
        return keras.Model(inputs, keras.layers.Concatenate()([parts[name] for name in order]))

    source, target = branches("ab"), branches("ba")
    source.save_weights(tmp_path / "x.weights.h5")
    target.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(
        target.get_layer("b").get_weights()[0], source.get_layer("a").get_weights()[0]
    )
    assert not np.array_equal(target.get_layer("a").get_weights()[0], source.get_layer("a").get_weights()[0])
    source.save_weights(tmp_path / "x.h5")
    assign(target.layers, open_weights(tmp_path / "x.h5").arrays, source="here")
    np.testing.assert_array_equal(
        target.get_layer("a").get_weights()[0], source.get_layer("a").get_weights()[0]
    )


def test_numbered_groups_without_names_are_refused_with_a_way_out(model, tmp_path):
    model.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(WeightsFormatError, match=r"save_weights\('encoder\.h5'\)"):
        open_weights(tmp_path / "x.weights.h5")


def test_safetensors_by_parameter(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "a.half": rng.normal(size=(2,)).astype(np.float16),
        "bn.num_batches_tracked": np.array(7, np.int64),
    }
    save_file(arrays, tmp_path / "any_name")
    opened = open_weights(tmp_path / "any_name")
    assert opened.kind == "safetensors"
    assert_same(opened.arrays, {name: [arrays[name]] for name in opened.arrays})
    assert set(opened.arrays) == set(arrays)


def test_bfloat16_is_read_as_float32(tmp_path):
    save_file({"a": np.array([1.5, -2], ml_dtypes.bfloat16)}, tmp_path / "a.safetensors")
    ((array,),) = open_weights(tmp_path / "a.safetensors").arrays.values()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(array), np.array([1.5, -2], np.float32))


@pytest.mark.parametrize("format_", ["h5", "safetensors"])
def test_opening_keeps_nothing_in_memory(tmp_path, format_):
    """Ten arrays of 4 MB: at most one is held at a time, and none afterwards."""
    path, value = tmp_path / f"large.{format_}", np.ones((1024, 1024), np.float32)
    names = [f"layer_{number}" for number in range(10)]
    if format_ == "h5":
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = names
            for name in names:
                file[f"{name}/kernel"] = value
                file[name].attrs["weight_names"] = ["kernel"]
    else:
        save_file(dict.fromkeys(names, value), path)
    tracemalloc.start()
    arrays = open_weights(path).arrays
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(arrays) == 10
    assert held < 1e6
    assert peak < 3 * value.nbytes


def spoil_h5(weights, tmp_path, how):
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["secret"] = np.ones((3, 3, 3, 4), np.float32)
    with h5py.File(weights, "r+") as file:
        group = file["stem"]["conv"]
        name = group.attrs["weight_names"][0]
        key = f"/stem/conv/{name if isinstance(name, str) else name.decode()}"
        if how == "absent array":
            del file[key]
        elif how == "absent layer":
            del file["bn"]
        elif how == "repeated layer":
            file.attrs["layer_names"] = ["bn", "bn"]
        elif how == "no names":
            del file.attrs["layer_names"]
        elif how == "text":
            del file[key]
            file[key] = np.array([b"text"])
        elif how == "NaN":
            file[key][0, 0, 0, 0] = np.nan
        elif how == "external link":
            del file[key]
            file[key] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "secret")
        elif how == "link to a layer":
            del file["bn"]
            file["bn"] = h5py.ExternalLink(str(weights), "separable")
        elif how == "soft link":
            del file[key]
            file[key] = h5py.SoftLink("/separable")
        elif how == "external storage":
            del file[key]
            file.create_dataset(
                key, (3, 3, 3, 4), np.float32, external=[(str(tmp_path / "elsewhere.h5"), 0, 432)]
            )
        elif how == "virtual dataset":
            del file[key]
            layout = h5py.VirtualLayout((3, 3, 3, 4), np.float32)
            layout[:] = h5py.VirtualSource(str(tmp_path / "elsewhere.h5"), "secret", (3, 3, 3, 4))
            file.create_virtual_dataset(key, layout)
        elif how == "bomb":
            del file[key]
            file.create_dataset(key, (1 << 20, 1 << 12), np.float32, chunks=(1 << 10, 1 << 10))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("absent array", "listed but absent"),
        ("absent layer", "'bn' is listed but absent"),
        ("repeated layer", "'bn' is listed twice"),
        ("no names", "neither `layer_names`"),
        ("text", "not numbers"),
        ("NaN", "NaN or Inf"),
        ("external link", "link to somewhere else"),
        ("link to a layer", "/bn is a link to somewhere else"),
        ("soft link", "link to somewhere else"),
        ("external storage", "lie in another file"),
        ("virtual dataset", "lie in another file"),
        ("bomb", "more than the file can hold"),
    ],
)
def test_what_no_weights_file_needs_is_refused(weights, tmp_path, how, reason):
    spoil_h5(weights, tmp_path, how)
    with pytest.raises(WeightsFormatError, match=reason) as caught:
        open_weights(weights)
    assert str(weights) in str(caught.value)


def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def float_entry(start, end, shape):
    return {"a": {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4,
        safetensors_bytes({}),
        safetensors_bytes(float_entry(0, 8, [2])),
        safetensors_bytes(float_entry(0, 8, [2]), b"\x00" * 12),
        safetensors_bytes(float_entry(0, 8, [3]), b"\x00" * 8),
        safetensors_bytes(float_entry(-8, 0, [2]), b"\x00" * 8),
        safetensors_bytes({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"\x00" * 2),
        safetensors_bytes(float_entry(0, 4, [1]), struct.pack("<f", float("nan"))),
        struct.pack("<Q", 1 << 62) + b"{}",
        safetensors_bytes(["a"]),
    ],
)
def test_spoilt_safetensors(tmp_path, content):
    path = tmp_path / "spoilt.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsFormatError, match=r"spoilt\.safetensors"):
        open_weights(path)


@pytest.mark.parametrize("format_", ["h5", "safetensors"])
def test_damage_anywhere_is_an_error_or_harmless(model, tmp_path, damaged, format_):
    path = tmp_path / f"weights.{format_}"
    if format_ == "h5":
        model.save_weights(path)
    else:
        save_file({weight.name: weight.numpy() for weight in model.weights}, path)
    content, refused = path.read_bytes(), 0
    for seed in range(150):
        path.write_bytes(damaged(content, seed))
        try:
            arrays = open_weights(path).arrays
        except WeightsError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert all(np.isfinite(array).all() for held in arrays.values() for array in held)
    assert refused > 50


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x80\x04\x95code", "pickle"),
        (b"PK\x03\x04archive", "ZIP archive"),
        (b"GIF89a......", "unknown format"),
        (b"", "unknown format"),
    ],
)
def test_other_formats_are_named(tmp_path, content, what):
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    with pytest.raises(WeightsFormatError, match=what):
        open_weights(path)


def test_nothing_there(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="nothing"):
        open_weights(tmp_path / "absent.h5")
    with pytest.raises(WeightsUnavailableError, match="s3://bucket/a"):
        open_weights("s3://bucket/a")


def test_a_file_that_changes_after_opening_is_an_error_when_read(weights):
    arrays = open_weights(weights).arrays
    weights.write_bytes(b"\x89HDF\r\n\x1a\nnothing")
    with pytest.raises(WeightsFormatError, match=r"weights\.h5"):
        np.asarray(arrays["bn"][0])


def test_quantized_kernels_are_not_cast(model, weights):
    """Integers fit by shape; without their scales they would run and be wrong."""
    arrays = {name: list(held) for name, held in open_weights(weights).arrays.items()}
    arrays["top"][0] = np.asarray(arrays["top"][0]).astype(np.int8)
    with pytest.raises(
        WeightsMismatchError, match="integers, where the model computes in floating point: top"
    ):
        assign(keras.models.clone_model(model).layers, arrays, source="here")
