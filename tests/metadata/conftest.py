"""Two tiny segmenters without metadata, made once per run."""

import numpy as np
import pytest

from registry.metadata import SegmenterMetadata

CLASSES = 4
SIZE = (16, 24)


def _function(tf, classes):
    random = np.random.default_rng(5)
    kernel = tf.constant(random.normal(scale=0.02, size=(3, 3, 3, classes)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, *SIZE, 3), tf.float32)], autograph=False)
    def serve(image):
        return tf.nn.conv2d(image, kernel, 1, "SAME")

    return serve.get_concrete_function()


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    """The bytes of a float32, a binary float32 and a uint8 file."""
    from registry.backend import tf

    def converter(classes=CLASSES):
        return tf.lite.TFLiteConverter.from_concrete_functions([_function(tf, classes)], tf.Module())

    quantizing = converter()
    quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
    ramp = np.linspace(0, 255, 16 * 24 * 3, dtype=np.float32).reshape(1, *SIZE, 3)
    quantizing.representative_dataset = lambda: ([image] for image in (ramp, 255 - ramp))
    quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantizing.inference_input_type = quantizing.inference_output_type = tf.uint8
    return {
        "float32": converter().convert(),
        "binary": converter(1).convert(),
        "uint8": quantizing.convert(),
    }


@pytest.fixture
def metadata() -> SegmenterMetadata:
    """With a value in every field."""
    return SegmenterMetadata(
        name="Straße",
        description="Segments streets.",
        version="3",
        author="someone",
        license="Apache-2.0",
        size=SIZE,
        labels=("Hintergrund", "Straße", "道", "tree"),
        colors=((0, 0, 0), (128, 64, 128), (1, 2, 3), (0, 255, 0)),
        activation="softmax",
        output="logits",
        extra={"architecture": "deeplab_v3_plus", "output_stride": 16},
    )
