"""What is measured of KerasHub, on its TensorFlow backend."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tests.benchmarks.task import Task


def import_library() -> None:
    """What a user's first line costs."""
    import keras_hub  # noqa: F401


load = import_library


def list_presets() -> int:
    """Import and list the presets of its segmenters."""
    import keras_hub

    return len(keras_hub.models.ImageSegmenter.presets)


def build() -> Task:
    """Build the network with fresh weights."""
    from tests.parity.make_keras_hub_presets import FULL

    return Task(lambda: FULL["resnet_50_segmenter"]().count_params())


def load_preset(directory: str) -> Task:
    """Build the network with a directory's weights."""
    return Task(lambda: _segmenter(directory).count_params())


def predict(directory: str, size: int, batch_size: int) -> Task:
    """`model.predict` on one batch."""
    from tests.benchmarks.inputs import batch

    model = _segmenter(directory)
    images = batch(batch_size, size)[0].astype("float32")
    facts = {"parameters": model.count_params()}
    return Task(lambda: float(model.predict(images, verbose=0).mean()), facts)


def export(path: str, size: int, quantization: str | None, directory: str) -> Task:
    """Write a `.tflite` file by `model.export(format="litert")`, or by TensorFlow's converter as integers."""
    import keras

    segmenter = _segmenter(directory)
    inputs = keras.Input((size, size, 3), batch_size=1)  # sizes that are left open cannot be exported
    model = keras.Model(inputs, segmenter(inputs))
    write = _write_integers if quantization else _write_float

    def run() -> float:
        write(model, path, size)
        return Path(path).stat().st_size / 1e6

    return Task(run, {"parameters": segmenter.count_params()})


def _write_float(model: Any, path: str, size: int) -> None:
    del size
    model.export(path, format="litert", verbose=False)


def _write_integers(model: Any, path: str, size: int) -> None:
    import tensorflow as tf

    from tests.benchmarks.inputs import calibration

    images = calibration(size)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.uint8
        Path(path).write_bytes(converter.convert())


def _segmenter(directory: str) -> Any:
    import keras_hub

    return keras_hub.models.DeepLabV3ImageSegmenter.from_preset(directory, preprocessor=None)


def training_step(directory: str, size: int, batch_size: int, jit_compile: bool | str = "auto") -> Task:
    """A step of `model.fit`, by `train_on_batch`."""
    import keras
    import numpy as np

    from tests.benchmarks.inputs import LEARNING_RATE, MOMENTUM, batch

    segmenter = _segmenter(directory)
    # The segmenter has compiled itself with an accuracy of one-hot masks, which stays when it is compiled again.
    model = keras.Model(segmenter.inputs, segmenter.outputs[0])
    model.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=None,
        jit_compile=jit_compile,
    )
    images, masks = batch(batch_size, size)
    images = images.astype(np.float32)
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    facts = {
        "parameters": model.count_params(),
        "trainable_parameters": count,
        "jit_compile": bool(model.jit_compile),
    }
    return Task(lambda: float(model.train_on_batch(images, masks)), facts)
