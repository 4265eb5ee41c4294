"""Every precision × input × output: what the file is, that the runtime runs it, and how near it is to the model."""

import json

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import registry
from registry.backend import keras, tf
from registry.errors import ExportError, ModelError, OutputPathError
from registry.exporting.composition import require_mode
from registry.exporting.modes import MODES
from registry.inspection.graph import read_graph
from registry.models.layers import conv2d

layers = keras.layers
CALIBRATED = [name for name, mode in MODES.items() if mode.calibrated]


def export(model, path, images, quantization, **options):
    if quantization in CALIBRATED:
        options["calibration"] = images
    options.setdefault("size", 64)
    return registry.export(model, path, quantization=quantization, progress=False, **options)


def graph_of(report):
    return read_graph(report.path.read_bytes()).subgraphs[0]


def predicted(report, images):
    segmenter = registry.Segmenter(report.path, trusted=True)
    return np.stack([segmenter.predict(image) for image in images])


@pytest.fixture(scope="module")
def masks(trained_model, images):
    """What the Keras model says."""
    scaled = trained_model.preprocessor.scaled(images.astype(np.float32))
    return trained_model(scaled, training=False).numpy().argmax(-1)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("output", ["logits", "probabilities", "mask"])
@pytest.mark.parametrize("quantization", list(MODES))
def test_the_runtime_runs_every_mode_and_output(trained_model, images, masks, tmp_path, quantization, output):
    report = export(trained_model, tmp_path / "m.tflite", images, quantization, output=output)
    agreement = (predicted(report, images) == masks).mean()
    assert agreement >= {"float32": 0.9999, "float16": 0.99}.get(quantization, 0.95)
    interpreter = Interpreter(model_path=str(report.path))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": [output]}}
    assert (report.quantization, report.output_kind) == (quantization, output)
    assert report.output.shape == ((1, 64, 64) if output == "mask" else (1, 64, 64, 5))
    scores = "int8" if quantization == "int8" else "float32"
    assert report.output.dtype == ("uint8" if output == "mask" else scores)
    assert report.input.dtype == MODES[quantization].default_input
    assert report.calibration_images == (len(images) if quantization in CALIBRATED else 0)
    assert report.rewrites["fold_batch_normalization"] > 0
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "DIV", "RSQRT"} & set(report.operations)
    json.dumps(report.to_dict())


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("quantization", "input_dtype"),
    # Each mode's own is the matter of the test before.
    [
        (name, dtype)
        for name, mode in MODES.items()
        for dtype in ("float32", "uint8", "int8")
        if dtype != mode.default_input
    ],
)
def test_every_input_type(trained_model, images, masks, tmp_path, quantization, input_dtype):
    report = export(trained_model, tmp_path / "m.tflite", images, quantization, input_dtype=input_dtype)
    assert report.input.dtype == input_dtype
    assert (predicted(report, images[:3]) == masks[:3]).mean() >= 0.95
    if quantization == "int8" and input_dtype != "float32":
        # The input holds the pixels themselves.
        assert (report.input.scale, report.input.zero_point) == (1.0, {"uint8": 0, "int8": -128}[input_dtype])


def test_int8_is_integer_throughout(trained_model, images, tmp_path):
    report = export(trained_model, tmp_path / "m.tflite", images, "int8", input_dtype="int8")
    graph = graph_of(report)
    assert {tensor.dtype for tensor in graph.tensors} == {"int8", "int32"}
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(report.operations)
    kernels = [graph.tensors[part.inputs[1]] for part in graph.operators if part.name == "CONV_2D"]
    assert all(kernel.channels == kernel.shape[0] for kernel in kernels)  # one scale per filter
    # Normalization is one operation, and its rounding happens once.
    assert report.operations["DEPTHWISE_CONV_2D"] == 1
    assert "MUL" not in report.operations


def test_a_model_on_plain_pixels_reads_them_directly(binary_model, images, tmp_path):
    report = export(binary_model, tmp_path / "m.tflite", images, "int8", input_dtype="int8")
    assert "DEPTHWISE_CONV_2D" not in report.operations


@pytest.mark.sampled(3)
@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_one_class_is_a_sigmoid_or_a_threshold(binary_model, images, tmp_path, quantization):
    wanted = binary_model(images.astype(np.float32), training=False).numpy()[..., 0]
    assert 0 <= wanted.min() <= wanted.max() <= 1
    for output, threshold in (("logits", 0.0), ("probabilities", 0.5), ("mask", None)):
        report = export(binary_model, tmp_path / f"{output}.tflite", images, quantization, output=output)
        segmenter = registry.Segmenter(report.path, trusted=True, threshold=threshold)
        mask = np.stack([segmenter.predict(image) for image in images])
        assert (mask == (wanted > 0.5)).mean() >= 0.95
        # The model's own sigmoid is not in the logits, and only once in the probabilities.
        assert report.operations.get("LOGISTIC", 0) == (output == "probabilities")


def softmax_layer(x):
    return layers.Softmax()(conv2d(4, 3, padding="same")(x))


def softmax_in_the_convolution(x):
    return conv2d(4, 3, padding="same", activation="softmax")(x)


def softmax_function(x):
    return tf.nn.softmax(conv2d(4, 3, padding="same")(x))


@pytest.mark.parametrize("head", [softmax_layer, softmax_in_the_convolution, softmax_function])
def test_logits_are_what_comes_before_the_softmax(head, tmp_path):
    inputs = layers.Input((None, None, 3))
    model = keras.Model(inputs, head(inputs))
    logits = registry.export(model, tmp_path / "l.tflite", size=16, progress=False)
    assert "SOFTMAX" not in logits.operations
    probabilities = registry.export(
        model, tmp_path / "p.tflite", size=16, output="probabilities", progress=False
    )
    assert probabilities.operations["SOFTMAX"] == 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize("quantization", list(MODES))
def test_a_mask_before_upsampling_repeats_the_coarse_one(
    trained_model, images, masks, tmp_path, quantization
):
    report = export(
        trained_model, tmp_path / "m.tflite", images, quantization, output="mask", mask_before_upsampling=True
    )
    assert report.output_stride == (4, 4)
    mask = predicted(report, images)
    assert mask.shape == masks.shape
    blocks = mask.reshape(len(mask), 16, 4, 16, 4)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    # The decoder's own map, decided and repeated: the same whether or not the file did it.
    assert (mask == masks).mean() > 0.8
    assert report.parity.mask_differences == round(
        (1 - report.parity.mask_agreement) * report.parity.mask_pixels
    )
    assert 0 < report.parity.mask_differences < report.parity.mask_pixels


def test_more_than_256_classes_need_wider_indices(tmp_path):
    inputs = layers.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(300, 1)(inputs))
    report = registry.export(model, tmp_path / "m.tflite", size=16, output="mask", progress=False)
    assert report.output.dtype == "int32"


@pytest.mark.parametrize("quantization", ["dynamic", "int8", "int16x8"])
def test_atrous_kernels_stay_right_when_quantized(images, tmp_path, quantization):
    # Large enough for dynamic-range quantization, and dilated: hybrid kernels must not forget the rate.
    inputs = layers.Input((None, None, 3))
    x = conv2d(16, 3, padding="same", activation="relu")(inputs)
    x = conv2d(16, 3, dilation_rate=3, padding="same", activation="relu")(x)
    model = keras.Model(inputs, layers.Conv2D(4, 1)(x))
    report = export(model, tmp_path / "m.tflite", images, quantization)
    assert report.parity.mean_abs < 0.1 * report.parity.reference_std
    assert "SPACE_TO_BATCH_ND" not in report.operations


@pytest.mark.sampled(2)
@pytest.mark.parametrize("quantization", ["float16", "dynamic", "int8", "int16x8"])
def test_the_same_call_gives_the_same_bytes(trained_model, images, tmp_path, quantization):
    first = export(trained_model, tmp_path / "a.tflite", images, quantization)
    second = export(trained_model, tmp_path / "b.tflite", images, quantization)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_smaller_modes_make_smaller_files(trained_model, images, tmp_path):
    size = {
        name: export(trained_model, tmp_path / "m.tflite", images, name).size_bytes
        for name in ("float32", "float16", "int8")
    }
    assert size["int8"] < size["float16"] < size["float32"]


def test_several_sizes_make_one_file_each(trained_model, images, tmp_path):
    steps = []
    reports = registry.export(
        trained_model,
        tmp_path / "m.tflite",
        size=[(64, 64), (32, 48)],
        quantization="int8",
        calibration=images,
        progress=lambda *step: steps.append(step),
    )
    assert [report.path.name for report in reports] == ["m_64x64.tflite", "m_32x48.tflite"]
    assert [report.input.shape for report in reports] == [(1, 64, 64, 3), (1, 32, 48, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m_32x48.tflite", "m_64x64.tflite"]
    assert [number for _, number, _ in steps] == list(range(1, steps[-1][2] + 1))
    assert "calibrating, image 10 of 10" in [step for step, _, _ in steps]


def test_several_sizes_appear_together_or_not_at_all(trained_model, tmp_path):
    def interrupt(_, number, __):
        if number == 7:  # the second file's
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.export(trained_model, tmp_path / "m.tflite", size=[(32, 32), (64, 64)], progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "m_64x64.tflite").mkdir()
    with pytest.raises(OutputPathError, match="not a folder"):
        registry.export(trained_model, tmp_path / "m.tflite", size=[(32, 32), (64, 64)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "int9"}, "did you mean 'int8'"),
        ({"quantization": None}, "must be one of"),
        ({"input_dtype": "unit8"}, "did you mean 'uint8'"),
        ({"output": "masks"}, "did you mean 'mask'"),
        ({"mask_before_upsampling": True}, "output='mask'"),
        ({"size": [(32, 32), (32, 32)]}, "one file"),
        ({"size": [(32, 32), (33, 32)]}, "multiple of 16"),
        ({"size": []}, "two positive integers"),
    ],
)
def test_wrong_arguments(trained_model, tmp_path, options, message):
    with pytest.raises(ModelError, match=message):
        registry.export(trained_model, tmp_path / "m.tflite", **{"size": 32, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_mask_before_upsampling_needs_an_upsampling(tmp_path):
    inputs = layers.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(4, 3, padding="same")(inputs))
    with pytest.raises(ModelError, match="upsampled last"):
        registry.export(model, tmp_path / "m.tflite", size=32, output="mask", mask_before_upsampling=True)


def test_a_file_of_another_mode_is_refused_by_name(trained_model, images, tmp_path):
    content = {
        name: export(
            trained_model, tmp_path / "m.tflite", images, name, input_dtype="float32"
        ).path.read_bytes()
        for name in ("float32", "int8", "dynamic")
    }
    for name in ("float16", "int8", "int16x8"):
        with pytest.raises(ExportError, match="CONV_2D"):
            require_mode(content["float32"], MODES[name], "float32")
    inputs = layers.Input((None, None, 3))
    tiny = keras.Model(inputs, layers.Conv2D(2, 1)(inputs))
    with pytest.raises(ExportError, match="1024 values"):
        export(tiny, tmp_path / "t.tflite", images, "dynamic")
    with pytest.raises(ExportError, match="must be uint8"):
        require_mode(content["int8"], MODES["int8"], "uint8")
    require_mode(content["int8"], MODES["int8"], "float32")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, LookupError])
def test_calibration_can_be_interrupted(trained_model, images, tmp_path, error):
    def interrupt(step, *_):
        if step.startswith("calibrating, image 3"):
            raise error

    with pytest.raises(error):
        registry.export(
            trained_model,
            tmp_path / "m.tflite",
            size=32,
            quantization="int8",
            calibration=images,
            progress=interrupt,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_what_integers_cannot_compute_is_refused(images, tmp_path, quantization):
    inputs = layers.Input((None, None, 3))
    x = layers.Lambda(lambda x: tf.sin(x))(layers.Conv2D(4, 1)(inputs))
    with pytest.raises(ExportError) as caught:
        export(keras.Model(inputs, x), tmp_path / "m.tflite", images, quantization)
    assert "SIN" in str(caught.value).upper()
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_lost_the_image_are_refused(images, tmp_path):
    # What the image adds to the first layer's bias is less than one step of its range.
    inputs = layers.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(layers.Conv2D(2, 1, activation="relu")(inputs)))
    model.layers[1].set_weights([np.full((1, 1, 3, 2), 1e-4), np.array([100.0, 90.0])])
    with pytest.raises(ExportError, match="follow the Keras model"):
        export(model, tmp_path / "m.tflite", images, "int8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_that_kills_the_interpreter_is_refused_and_kills_no_one(tmp_path):
    """Layer normalization: no 16-bit kernel, and no check for one."""
    inputs = keras.layers.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(inputs)
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.Conv2D(3, 1)(x)
    model = keras.Model(inputs, keras.layers.UpSampling2D(2, interpolation="bilinear")(x))
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(ExportError, match="kernel of mode 'int16x8'"):
        registry.export(model, tmp_path / "model.tflite", quantization="int16x8", calibration=images)
    assert not list(tmp_path.iterdir())
