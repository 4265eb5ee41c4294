"""Tiny `.tflite` files of every kind that the runtime accepts, made once per run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = 5
SIZE = (32, 48)


def _colour_net(keras, *, size=SIZE, classes=CLASSES):
    """A strided convolution and a classifier with fixed pseudo-random weights; (h, w) → (h/4, w/4)."""
    inputs = keras.Input((*size, 3), batch_size=1)
    features = keras.layers.Conv2D(8, 3, strides=4, padding="same", activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(classes, 1)(features))
    random = np.random.default_rng(7)
    model.set_weights([random.normal(scale=0.05, size=array.shape) for array in model.get_weights()])
    return model


def _convert(tf, keras, model, path: Path, head=lambda scores: scores, *, batch=1) -> Path:
    height, width = model.input_shape[1:3]
    function = tf.function(
        lambda image: head(model(image)),
        input_signature=[tf.TensorSpec((batch, height, width, 3), tf.float32)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    path.write_bytes(converter.convert())
    return path


def _quantize(tf, model, path: Path, dtype) -> Path:
    random = np.random.default_rng(3)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.uniform(0, 255, (1, *SIZE, 3)).astype(np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = dtype
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="session")
def keras_net():
    """The model behind most of the files."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from registry.backend import keras

    return _colour_net(keras)


@pytest.fixture(scope="session")
def models(keras_net, tmp_path_factory) -> dict[str, Path]:
    """Paths of the models, by kind."""
    from registry.backend import keras, tf

    folder = tmp_path_factory.mktemp("models")
    net = keras_net
    open_net = _colour_net(keras, size=(None, None))
    plane = _colour_net(keras, classes=1)

    def make(name, model, head=lambda scores: scores, **options):
        return _convert(tf, keras, model, folder / f"{name}.tflite", head, **options)

    return {
        "float": make("float", net),
        "open": make("open", open_net),
        "open_batch": make("open_batch", net, batch=None),
        "mask": make("mask", net, lambda scores: tf.argmax(scores, -1, output_type=tf.int32)),
        "mask64": make("mask64", net, lambda scores: tf.argmax(scores, -1)[..., tf.newaxis]),
        "binary": make("binary", plane),
        "nan": make("nan", net, lambda scores: scores * np.float32("nan")),
        "two_outputs": make("two_outputs", net, lambda scores: (scores, scores + 1)),
        "pooled": make("pooled", net, lambda scores: tf.reduce_mean(scores, (1, 2))),
        "gray_input": _convert_gray(tf, keras, folder / "gray.tflite"),
        "uint8": _quantize(tf, net, folder / "uint8.tflite", tf.uint8),
        "int8": _quantize(tf, net, folder / "int8.tflite", tf.int8),
    }


def _convert_gray(tf, keras, path: Path) -> Path:
    inputs = keras.Input((*SIZE, 1), batch_size=1)
    model = keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1)(inputs))
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth colourful picture, (60, 100, 3)."""
    random = np.random.default_rng(11)
    coarse = random.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((100, 60), Image.Resampling.BICUBIC))
