"""Small `.tflite` files of every quantization, made once per run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

SIZE = (32, 48)


def _net(keras, size=SIZE):
    """Every kind of operation that counts multiplications, but one: (h, w, 3) → (h, w, 5)."""
    inputs = keras.Input((*size, 3), batch_size=1)
    features = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    features = keras.layers.ReLU(6.0)(keras.layers.DepthwiseConv2D(3, padding="same")(features))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(features)
    features = keras.layers.Add()([features, keras.layers.Conv2D(8, 1)(pooled)])
    features = keras.layers.UpSampling2D(2, interpolation="bilinear")(features)
    model = keras.Model(inputs, keras.layers.Conv2D(5, 1)(features))
    noise = np.random.default_rng(7)
    model.set_weights([noise.normal(scale=0.1, size=array.shape) for array in model.get_weights()])
    return model


def _convert(tf, model, *, quantization=None) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantization is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization in ("int8", "int16"):
        noise = np.random.default_rng(3)
        converter.representative_dataset = lambda: (
            [noise.uniform(0, 255, (1, *SIZE, 3)).astype(np.float32)] for _ in range(4)
        )
        sets = tf.lite.OpsSet
        wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8 if quantization == "int8" else wide]
    return converter.convert()


def _convert_function(tf, function, shape=(1, *SIZE, 3)) -> bytes:
    concrete = tf.function(
        function, input_signature=[tf.TensorSpec(shape, tf.float32)]
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.allow_custom_ops = True
    return converter.convert()


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, Path]:
    """Paths by kind."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from registry.backend import keras, tf

    net = _net(keras)
    wide = keras.Sequential([keras.layers.Input((8, 8, 64), batch_size=1), keras.layers.Conv2D(64, 3)])
    transposed = keras.Sequential(
        [
            keras.layers.Input((4, 4, 6), batch_size=1),
            keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
        ]
    )
    dense = keras.Sequential([keras.layers.Input((12,), batch_size=2), keras.layers.Dense(7)])
    contents = {
        "float": _convert(tf, net),
        "float16": _convert(tf, net, quantization="float16"),
        "dynamic": _convert(tf, wide, quantization="dynamic"),
        "int8": _convert(tf, net, quantization="int8"),
        "int16": _convert(tf, net, quantization="int16"),
        "open": _convert(tf, _net(keras, (None, None))),
        "transposed": _convert(tf, transposed),
        "dense": _convert(tf, dense),
        "argmax": _convert_function(
            tf, lambda image: tf.argmax(tf.space_to_batch(image, [2, 2], [[0, 0], [0, 0]]), -1)
        ),
        "custom": _convert_function(tf, lambda image: tf.math.betainc(image, image, image)),
    }
    folder = tmp_path_factory.mktemp("inspected")
    for name, content in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in contents}
