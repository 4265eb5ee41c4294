"""What is measured of tf-keras itself, the Keras that atrous builds with."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tests.benchmarks.task import Task


def import_library() -> None:
    """What a user's first line costs."""
    import tf_keras  # noqa: F401


def load() -> None:
    """Import it, and let TensorFlow look for devices."""
    import tf_keras

    tf_keras.backend.zeros(())


def build() -> Task:
    """Build its own ResNet-50, the encoder alone, with fresh weights."""
    import tf_keras

    encoder = tf_keras.applications.ResNet50
    return Task(lambda: encoder(weights=None, include_top=False).count_params())
