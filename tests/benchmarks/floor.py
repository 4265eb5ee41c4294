"""Measure how far int8 files are from what this processor's kernels allow.

    python tests/benchmarks/floor.py FILE.tflite …

The floor is the time that a file's multiply-accumulates would take at the rate of one large 1×1 convolution, the best
case of XNNPACK's int8 kernels: what is above it goes to other shapes, to moving data and to operations without products.
The rate is that of two such convolutions, by the difference to the same network without them. Prints a Markdown table.
Not a test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from ai_edge_litert.interpreter import Interpreter

import registry
from registry.backend import keras
from registry.inspection import inspect_model

SIDE, CHANNELS, LAYERS = 128, 512, 2
RUNS = 7


def network(path: Path, layers: int) -> Path:
    """An int8 file of a 1×1 convolution to `CHANNELS`, so many from these to as many, and one to eight."""
    inputs = keras.layers.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(CHANNELS, 1)(inputs)
    for _ in range(layers):
        x = keras.layers.Conv2D(CHANNELS, 1)(x)
    model = keras.Model(inputs, keras.layers.Conv2D(8, 1)(x))
    images = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3)).astype(np.uint8)
    registry.export(model, path, size=(SIDE, SIDE), quantization="int8", calibration=images, progress=False)
    return path


def seconds(path: Path, threads: int) -> float:
    """Median of `RUNS` runs, after two."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (details,) = interpreter.get_input_details()
    pixels = np.random.default_rng(0).integers(0, 127, details["shape"])
    interpreter.set_tensor(details["index"], pixels.astype(details["dtype"]))
    times = []
    for _ in range(RUNS + 2):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def main() -> None:
    """Print a row per file and number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        without, with_layers = (network(Path(folder) / f"{count}.tflite", count) for count in (0, LAYERS))
        print("| file | threads | GMACs | rate of a 1×1 | floor | measured | ÷ floor |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for threads in (1, 2):
            products = LAYERS * SIDE**2 * CHANNELS**2
            rate = products / (seconds(with_layers, threads) - seconds(without, threads))
            for file in files:
                macs, measured = inspect_model(file).macs, seconds(file, threads)
                print(
                    f"| {file.name} | {threads} | {macs / 1e9:.1f} | {rate / 1e9:.1f} GMAC/s | "
                    f"{macs / rate * 1e3:.0f} ms | {measured * 1e3:.0f} ms | {measured * rate / macs:.2f} |"
                )


if __name__ == "__main__":
    main()
