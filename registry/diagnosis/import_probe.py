"""The child process of `frameworks.examine_import`: import TensorFlow and say what came.

python -P -m registry.diagnosis.import_probe
"""

from __future__ import annotations

import importlib
import json
import time
from contextlib import suppress
from typing import Any

from registry.errors import RegistryError

__all__ = ["probe"]


def probe() -> dict[str, Any]:
    """What an import of TensorFlow gives: versions, devices, whether its kernels are oneDNN's."""
    started = time.perf_counter()
    try:
        from registry.backend import keras, tf
    except RegistryError as error:
        return {"error": " ".join(str(error).split())}
    seconds = time.perf_counter() - started
    onednn = None
    # TensorFlow has no public word for it; its own tests ask here.
    with suppress(ImportError, AttributeError):
        onednn = bool(importlib.import_module("tensorflow.python.util._pywrap_util_port").IsMklEnabled())
    try:
        dotted = tf.keras.__version__
    except Exception as error:  # whatever Keras 3 has against this environment, atrous does without it
        dotted = f"not importable ({type(error).__name__})"
    return {
        "error": None,
        "seconds": seconds,
        "tensorflow": tf.__version__,
        "tf_keras": keras.__version__,
        "tf_dot_keras": dotted,
        "devices": [
            device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()
        ],
        "onednn": onednn,
    }


if __name__ == "__main__":
    print(json.dumps(probe()))
