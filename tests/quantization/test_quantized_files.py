"""From a model that rounds to a file of integers: the same numbers, whatever the model went through."""

import copy

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small_networks import SMALL_PRESET, randomize

import registry
from registry.backend import tf
from registry.errors import CalibrationError, ExportError
from registry.inspection import inspect_model
from registry.quantization.baking import bake

SIZE = (64, 64)


def scores(path, images):
    """Integer scores of a file, and their scale."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(result["index"])[0])
    scale, zero = result["quantization"]
    return (np.stack(found).astype(np.float32) - zero) * scale, scale


def operations(path):
    return [operation.name for operation in inspect_model(path).operations]


@pytest.fixture(scope="module")
def file(quantized_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model.tflite"
    registry.export(quantized_model, path, size=SIZE, quantization="int8", progress=False)
    return path


def test_the_file_computes_what_the_model_computes(file, quantized_model, images):
    expected = quantized_model.predict(images, verbose=0)
    got, scale = scores(file, images)
    steps = np.abs(got - expected) / scale
    # Kernels round in integers what the model rounds in floating point, now and then to the other neighbour. Forty
    # layers of drawn weights make a few steps of one.
    assert np.mean(steps < 1.5) > 0.75
    assert np.mean(steps < 3.5) > 0.98
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.999


def test_atrous_convolutions_stay_native_and_everything_is_an_integer(file, quantized_model):
    names = operations(file)
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "DEQUANTIZE"} & set(names)
    assert names.count("QUANTIZE") == 1  # the pixels, from uint8


def test_before_training_it_is_the_file_of_post_training_quantization(float_model, file, images, tmp_path):
    registry.export(
        float_model,
        tmp_path / "ptq.tflite",
        size=SIZE,
        quantization="int8",
        calibration=images,
        progress=False,
    )
    assert sorted(operations(file)) == sorted(operations(tmp_path / "ptq.tflite"))
    ours, scale = scores(file, images)
    theirs, other_scale = scores(tmp_path / "ptq.tflite", images)
    assert scale == pytest.approx(other_scale, rel=1e-4)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.998


def test_what_other_libraries_have_becomes_integers_too(images, tmp_path):
    """Aligned corners, separable convolutions without a normalization between, a convolution behind ASPP."""
    preset = copy.deepcopy(SMALL_PRESET)
    preset["architecture"] |= {
        "align_corners": True,
        "aspp": {"separable": True, "depthwise_norm": False, "output_convolution": "separable"},
        "decoder": {"separable": True, "depthwise_norm": False},
    }
    model = randomize(registry.build(preset, weights=None))
    rounded = registry.quantize(model, calibration=images, size=(64, 64), progress=False)
    report = registry.export(
        rounded, tmp_path / "m.tflite", size=(64, 64), quantization="int8", progress=False
    )
    assert {part.precision for part in inspect_model(report.path).operations} == {"int8"}
    assert report.operations["RESIZE_BILINEAR"] == 2
    assert report.parity.mean_abs < 0.05 * report.parity.reference_std


def test_excluded_layers_are_floats_in_the_file(float_model, images, tmp_path):
    model = registry.quantize(
        float_model, calibration=images, size=SIZE, exclude=["aspp_conv_*"], progress=False
    )
    registry.export(model, tmp_path / "mixed.tflite", size=SIZE, quantization="int8", progress=False)
    parts = inspect_model(tmp_path / "mixed.tflite").operations
    assert [part.precision for part in parts if "aspp_conv_" in part.layer and part.name == "CONV_2D"] == [
        "float"
    ] * 4
    # They read one tensor, which is dequantized once for each; each result is quantized again.
    assert [part.name for part in parts].count("DEQUANTIZE") == 4
    assert [part.name for part in parts].count("QUANTIZE") == 1 + 4
    expected = model.predict(images, verbose=0)
    got, _ = scores(tmp_path / "mixed.tflite", images)
    assert np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.999


def test_sixteen_bits_are_closer(float_model, images, tmp_path):
    model = registry.quantize(float_model, "int16x8", calibration=images, size=SIZE, progress=False)
    expected = float_model.predict(images, verbose=0)
    eight = registry.quantize(float_model, calibration=images, size=SIZE, progress=False)

    def error(other):
        return np.std(other.predict(images, verbose=0) - expected)

    assert error(model) < 0.9 * error(eight)
    # What remains comes from the kernels.
    kernels_alone, _ = bake(model, SIZE, activations=False)
    rounded = kernels_alone.predict(model.preprocessor(images), verbose=0)
    assert np.std(model.predict(images, verbose=0) - rounded) < 0.2 * error(model)
    with pytest.raises(CalibrationError, match="16 bits"):
        registry.export(model, tmp_path / "x.tflite", size=SIZE, quantization="int16x8")
    report = registry.export(
        model, tmp_path / "x.tflite", size=SIZE, quantization="int16x8", calibration=images, progress=False
    )
    assert report.quantization == "int16x8"


def test_what_contradicts_the_model_is_refused(quantized_model, images, tmp_path):
    with pytest.raises(ExportError, match="as what it rounds to"):
        registry.export(quantized_model, tmp_path / "x.tflite", size=SIZE)
    with pytest.raises(ExportError, match="ranges of its own"):
        registry.export(
            quantized_model, tmp_path / "x.tflite", size=SIZE, quantization="int8", calibration=images
        )


def test_saved_and_built_again_it_is_the_same(quantized_model, images, tmp_path):
    expected = quantized_model.predict(images, verbose=0)
    registry.save_preset(quantized_model, tmp_path / "preset")
    again = registry.load(tmp_path / "preset")
    np.testing.assert_array_equal(again.predict(images, verbose=0), expected)
    quantized_model.save(tmp_path / "model.keras")
    loaded = registry.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)


@pytest.fixture
def recipe(small_preset):
    """Five steps from the float model's weights, with a teacher."""
    return {
        "preset": small_preset,
        "encoder_weights": None,
        "crop": [64, 64],
        "batch_size": 2,
        "steps": 5,
        "learning_rate": {"peak": 1e-7},
        "quantization": {
            "calibration": {"images": 4},
            "freeze_observers": 0.6,
            "distillation": {"weight": 0.5},
        },
        "data": {"train": {"reader": "folder", "root": "data"}},
        "checkpoints": {"every": 2},
    }


@pytest.fixture
def data(tmp_path, images):
    from PIL import Image

    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number}.png")
        mask = (image[..., 0] // 64).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number}.png")
    return tmp_path


@pytest.mark.sweep
def test_training_with_the_rounding_can_be_interrupted_and_exported(
    recipe, data, float_model, images, tmp_path, monkeypatch
):
    registry.save_preset(float_model, tmp_path / "float")
    recipe["weights"] = str(tmp_path / "float" / "model.safetensors")
    whole = registry.train(recipe, tmp_path / "whole", data_root=data, progress=False)

    from registry.training.learner import Learner

    train, left = Learner.train, [4]

    def interrupted(learner, *batch):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        train(learner, *batch)

    monkeypatch.setattr(Learner, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        registry.train(recipe, tmp_path / "parts", data_root=data, progress=False)
    monkeypatch.setattr(Learner, "train", train)
    parts = registry.train(recipe, tmp_path / "parts", data_root=data, progress=False)
    model, other = registry.build(whole.preset), registry.build(parts.preset)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.name)
    before = registry.quantize(float_model, calibration=images, size=SIZE, progress=False)
    moved = (
        model.rounding_layers["segmentation_output"].layer.kernel
        - before.rounding_layers["segmentation_output"].layer.kernel
    )
    assert float(tf.reduce_max(tf.abs(moved))) > 0
    registry.export(model, tmp_path / "trained.tflite", size=SIZE, quantization="int8", progress=False)
    got, _ = scores(tmp_path / "trained.tflite", images)
    assert np.corrcoef(got.ravel(), model.predict(images, verbose=0).ravel())[0, 1] > 0.999


def test_a_teacher_is_a_divergence_of_softened_classes():
    from registry.training.distillation import Distillation

    rng = np.random.default_rng(0)
    taught, learnt = rng.normal(0, 3, (2, 2, 4, 4, 5)).astype(np.float32)
    loss = Distillation(lambda inputs, training: inputs, weight=0.5, temperature=2.0)(
        tf.constant(taught), tf.constant(learnt)
    )

    def softened(logits):
        powers = np.exp(logits / 2.0)
        return powers / powers.sum(-1, keepdims=True)

    p, q = softened(taught), softened(learnt)
    expected = 0.5 * 4.0 * (p * np.log(p / q)).sum(-1).mean((1, 2))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
