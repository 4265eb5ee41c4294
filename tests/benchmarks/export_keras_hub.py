"""Export a KerasHub preset directory to .tflite as KerasHub does it: the peer of our own files.

Runs in KerasHub's own environment (`pip install keras-hub==0.32.0 tensorflow`):

    python tests/benchmarks/export_keras_hub.py DIRECTORY OUTPUT_FOLDER --size 512

Writes `keras_hub_float32.tflite` by `model.export(format="litert")`, and `keras_hub_int8.tflite` by the TensorFlow
converter from the same model, calibrated with noise: what is compared is speed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_hub
import numpy as np
import tensorflow as tf


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    size = arguments.size

    segmenter = keras_hub.models.DeepLabV3ImageSegmenter.from_preset(arguments.directory, preprocessor=None)
    inputs = keras.Input((size, size, 3), batch_size=1)
    model = keras.Model(inputs, segmenter(inputs))
    model.export(str(arguments.folder / "keras_hub_float32.tflite"), format="litert")

    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model")
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [generator.uniform(0, 255, (1, size, size, 3)).astype(np.float32)] for _ in range(4)
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.uint8
        (arguments.folder / "keras_hub_int8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
