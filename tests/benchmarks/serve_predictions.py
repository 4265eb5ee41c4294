"""Predict on demand, as the child of `compare_keras_hub.py`; runs in either library's environment.

    python serve_predictions.py keras_hub|atrous PRESET_DIRECTORY SIZE

Prints one JSON line when it is ready, one with the milliseconds for each line it reads, and at the end of its
input one with the peak of its resident memory above what the import took, in MiB.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np


def peak_mebibytes() -> float:
    """High-water mark of this process's own resident memory, which a parent's does not enter."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def load(library: str, directory: str) -> tuple[Any, float]:
    """The segmenter, and the peak memory once the library is imported."""
    if library == "keras_hub":
        import keras_hub

        imported = peak_mebibytes()
        return keras_hub.models.DeepLabV3ImageSegmenter.from_preset(directory, preprocessor=None), imported
    import registry

    segmenter = registry.DeepLabV3ImageSegmenter  # imports TensorFlow
    imported = peak_mebibytes()
    model = segmenter.from_preset(directory)
    model.preprocessor = None
    return model, imported


def main() -> None:
    """Serve until standard input ends."""
    library, directory, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    model, imported = load(library, directory)
    image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype(np.float32)
    model.predict(image, verbose=0)
    print(json.dumps({"ready": library}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        model.predict(image, verbose=0)
        print(json.dumps({"milliseconds": (time.perf_counter() - started) * 1e3}), flush=True)
    print(json.dumps({"peak_mebibytes": peak_mebibytes() - imported}), flush=True)


if __name__ == "__main__":
    main()
