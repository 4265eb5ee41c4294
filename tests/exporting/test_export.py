"""The float `.tflite` file: what it consists of, what it computes, and that it appears whole or not at all."""

import json

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import registry
from registry.backend import keras, tf
from registry.errors import EnvironmentUnsupportedError, ExportError, ModelError, OutputPathError
from registry.exporting.operations import count_operations, require_fast_operations
from registry.rewrites import inference_form


def run(path, image):
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(result["index"])


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.fixture(scope="module")
def exported(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "small.tflite"
    return registry.export(small_model, path, size=(64, 96), progress=False)


def test_the_file_computes_what_the_model_computes(small_model, exported):
    image = np.random.default_rng(5).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    expected = small_model(small_model.preprocessor.scaled(image))
    np.testing.assert_allclose(run(exported.path, image), expected, atol=1e-4 * float(np.std(expected)))


def test_normalization_is_part_of_the_graph(small_preset, tmp_path):
    image = np.random.default_rng(5).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    small_preset["input"] = {"normalization": {"scale": [0.1, 0.2, 0.3], "offset": [-1.0, 0.0, 2.0]}}
    model = registry.build(small_preset, weights=None)
    report = registry.export(model, tmp_path / "m.tflite", size=32, progress=False)
    expected = model(image * [0.1, 0.2, 0.3] + [-1.0, 0.0, 2.0])
    np.testing.assert_allclose(run(report.path, image), expected, atol=1e-4 * float(np.std(expected)))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("block_type", ["basic_block", "basic_block_vd", "bottleneck_block"])
def test_dilation_stays_native_and_batch_normalization_is_folded(
    small_preset, tmp_path, block_type, output_stride
):
    options = small_preset["encoder"]["options"] | {"block_type": block_type}
    if block_type == "bottleneck_block":
        options["stackwise_num_filters"] = [4, 4, 4, 4]
    small_preset["encoder"] |= {"output_stride": output_stride, "options": options}
    small_preset["input"] = {"normalization": {"scale": 1.0, "offset": 0.0}}
    model = registry.build(small_preset, weights=None)
    report = registry.export(model, tmp_path / "m.tflite", size=64, progress=False)
    # One CONV_2D per layer of the inference form and no arithmetic left of any batch normalization.
    form, _ = inference_form(model, (64, 64))
    assert report.operations["CONV_2D"] == len(convolutions(form))
    allowed = {
        "CONV_2D",
        "ADD",
        "CONCATENATION",
        "MAX_POOL_2D",
        "MEAN",
        "PAD",
        "RESIZE_BILINEAR",
        "AVERAGE_POOL_2D",
    }
    pooled_shortcuts = block_type.endswith("_vd") and output_stride < 32
    assert set(report.operations) <= allowed | ({"STRIDED_SLICE", "MUL"} if pooled_shortcuts else set())
    additions = sum(isinstance(layer, keras.layers.Add) for layer in form.layers)
    averages = sum("Average" in type(layer).__name__ for layer in form.layers) if pooled_shortcuts else 0
    assert report.operations["ADD"] <= additions + 2 * averages


def test_separable_branches_stay_native(small_preset, tmp_path):
    small_preset["architecture"] |= {
        "aspp": {"filters": 16, "separable": True},
        "decoder": {"filters": 16, "convolutions": 2, "kernel_size": 3, "separable": True},
    }
    model = registry.build(small_preset, weights=None)
    report = registry.export(model, tmp_path / "m.tflite", size=64, progress=False)
    assert report.operations["DEPTHWISE_CONV_2D"] == 3 + 2
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"} & set(report.operations)


def test_the_report_is_true_and_json_ready(exported):
    content = exported.path.read_bytes()
    report = json.loads(json.dumps(exported.to_dict()))
    assert report["size_bytes"] == len(content)
    assert report["operations"] == dict(count_operations(content))
    assert report["input"]["shape"] == [1, 64, 96, 3]
    assert report["output"]["shape"] == [1, 64, 96, 5]
    assert 0 <= report["parity"]["max_abs"] < 1e-3 * report["parity"]["reference_std"]
    assert report["parity"]["mask_agreement"] > 0.999
    assert "CONV_2D" in str(exported)


def test_the_same_model_gives_the_same_bytes(small_model, exported, tmp_path):
    again = registry.export(small_model, tmp_path / "again.tflite", size=(64, 96), progress=False)
    assert again.path.read_bytes() == exported.path.read_bytes()


def test_progress_counts_to_the_end(small_model, tmp_path):
    steps = []
    registry.export(small_model, tmp_path / "m.tflite", size=32, progress=lambda *step: steps.append(step))
    assert [number for _, number, _ in steps] == list(range(1, steps[-1][2] + 1))


def test_the_size_comes_from_the_model_or_its_preset(small_preset, tmp_path):
    fixed = registry.build(small_preset, weights=None, image_shape=(32, 48, 3))
    assert registry.export(fixed, tmp_path / "a.tflite", progress=False).input.shape == (1, 32, 48, 3)
    small_preset["input"] = {"size": [48, 32]}
    free = registry.build(small_preset, weights=None)
    assert registry.export(free, tmp_path / "b.tflite", progress=False).input.shape == (1, 48, 32, 3)
    with pytest.raises(ModelError, match="built for 32×48"):
        registry.export(fixed, tmp_path / "c.tflite", size=64, progress=False)


def rearranged():
    """What the converter makes of a dilated convolution that it cannot fuse again."""
    inputs = keras.layers.Input((None, None, 3))
    x = keras.layers.Lambda(lambda x: tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]))(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    return keras.Model(
        inputs, keras.layers.Lambda(lambda x: tf.batch_to_space(x, [2, 2], [[0, 0], [0, 0]]))(x)
    )


def with_nan():
    inputs = keras.layers.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 1)(inputs))
    model.layers[1].bias.assign([0, np.nan, 0, 0])
    return model


def needs_flex():
    inputs = keras.layers.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Lambda(lambda x: tf.math.igamma(tf.abs(x), x))(inputs))


def custom_preprocessor():
    inputs = keras.layers.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 1)(inputs))
    model.preprocessor = lambda images: images
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (rearranged, "AtrousConv2D"),
        (with_nan, "NaN or Inf"),
        (needs_flex, "builtin operations"),
        (custom_preprocessor, "SegmentationPreprocessor"),
    ],
)
def test_what_cannot_become_a_good_file_leaves_none(make, message, tmp_path):
    with pytest.raises(ExportError, match=message) as caught:
        registry.export(make(), tmp_path / "m.tflite", size=64, progress=False)
    assert "repair:" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_an_interrupted_export_leaves_what_was_there(small_model, tmp_path, step, error):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"earlier")

    def interrupt(_, number, __):
        if number == step:
            raise error

    with pytest.raises(error):
        registry.export(small_model, path, size=32, progress=interrupt)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "two positive integers"),
        (-32, "two positive integers"),
        (32.0, "two positive integers"),
        ((32,), "two positive integers"),
        ((32, 32, 3), "two positive integers"),
        ("32x32", "two positive integers"),
        (True, "two positive integers"),
        ((40, 32), "height must be a multiple of 16"),
        ((8, 32), "height must be a multiple of 16"),
    ],
)
def test_wrong_sizes(small_model, tmp_path, size, message):
    with pytest.raises(ModelError, match=message):
        registry.export(small_model, tmp_path / "m.tflite", size=size)


def test_wrong_models_and_paths(small_model, tmp_path):
    with pytest.raises(ModelError, match=r"must be a `tf_keras\.Model`"):
        registry.export("model", tmp_path / "m.tflite")
    with pytest.raises(ModelError, match="one output"):
        registry.export(small_model.backbone.image_encoder, tmp_path / "m.tflite", size=32)
    inputs = keras.layers.Input((8,))
    with pytest.raises(ModelError, match="one image input"):
        registry.export(keras.Model(inputs, keras.layers.Dense(2)(inputs)), tmp_path / "m.tflite", size=32)
    plain = keras.layers.Input((None, None, 3))
    with pytest.raises(ModelError, match="two positive integers"):
        registry.export(keras.Model(plain, keras.layers.Conv2D(2, 1)(plain)), tmp_path / "m.tflite")
    with pytest.raises(OutputPathError, match=r"must end in \.tflite"):
        registry.export(small_model, tmp_path / "m.h5", size=32)
    with pytest.raises(OutputPathError, match="must exist"):
        registry.export(small_model, tmp_path / "absent" / "m.tflite", size=32)


def test_custom_operations_are_named():
    from collections import Counter

    with pytest.raises(ExportError, match="CUSTOM:FlexIgamma"):
        require_fast_operations(Counter({"CONV_2D": 3, "CUSTOM:FlexIgamma": 1}))


def test_an_unsupported_tensorflow_is_refused_by_version():
    from registry.backend import _check_version

    _check_version("tensorflow", "2.21.3")
    for version in ("2.20.0", "2.22.0", "3.0.0", "unknown"):
        with pytest.raises(EnvironmentUnsupportedError, match=r"pip install 'tensorflow>=2\.21,<2\.22'"):
            _check_version("tensorflow", version)
