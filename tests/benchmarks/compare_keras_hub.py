"""Measure atrous beside KerasHub: same weights, same image, interleaved in one run.

    python tests/benchmarks/compare_keras_hub.py --keras-hub PYTHON_OF_AN_ENVIRONMENT_WITH_KERAS_HUB

Prints a Markdown table of the ratios of medians, KerasHub's time divided by ours. The other environment is made with
`python -m venv kh && kh/bin/pip install keras-hub==0.32.0 tensorflow`. Not a test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PRESET = "resnet_50_segmenter"


def run_quietly(python: str, *arguments: str) -> None:
    """Run a script of the other environment; its output only matters if it fails."""
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")


def interleaved(runners: dict[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each runner, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(runs):
        for name, run in runners.items():
            times[name].append(run())
    return times


def tflite_runner(path: Path, threads: int) -> Callable[[], float]:
    """One inference of a file per call."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    pixels = np.random.default_rng(0).integers(0, 256, source["shape"])
    interpreter.set_tensor(source["index"], pixels.astype(source["dtype"]))
    interpreter.invoke()

    def run() -> float:
        started = time.perf_counter()
        interpreter.invoke()
        return (time.perf_counter() - started) * 1e3

    return run


class Predictor:
    """A child process that predicts once per request."""

    def __init__(self, python: str, library: str, directory: Path, size: int) -> None:
        command = [python, str(HERE / "serve_predictions.py"), library, str(directory), str(size)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._answer("ready")

    def __call__(self) -> float:
        """Milliseconds of one prediction."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._answer("milliseconds"))

    def finish(self) -> float:
        """End the process; MiB of peak memory above the import."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        peak = float(self._answer("peak_mebibytes"))
        self.process.wait()
        return peak

    def _answer(self, key: str) -> object:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{") and key in (content := json.loads(line)):
                return content[key]
        raise SystemExit(f"the process {self.process.args} ended without an answer")


def row(name: str, times: dict[str, list[float]], unit: str = "ms") -> str:
    """One line of the table: medians, their ratio, and the spread of the paired ratios."""
    theirs, ours = times["keras_hub"], times["atrous"]
    paired = sorted(a / b for a, b in zip(theirs, ours, strict=True))
    return (
        f"| {name} | {statistics.median(theirs):.1f} {unit} | {statistics.median(ours):.1f} {unit} | "
        f"**{statistics.median(theirs) / statistics.median(ours):.2f}×** | {paired[0]:.2f}–{paired[-1]:.2f} |"
    )


def export_ours(directory: Path, folder: Path, size: int) -> None:
    """Our float32 and int8 files of the same weights."""
    import registry

    model = registry.build(directory)
    registry.export(model, folder / "atrous_float32.tflite", size=size, progress=False)
    noise = np.random.default_rng(0).uniform(0, 255, (4, size, size, 3)).astype(np.float32)
    registry.export(
        model,
        folder / "atrous_int8.tflite",
        size=size,
        quantization="int8",
        calibration=noise,
        progress=False,
    )


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keras-hub", required=True, help="python of an environment with keras-hub")
    parser.add_argument("--work", type=Path, help="folder for the files, kept; a temporary one if left out")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        presets, files = folder / "presets", folder / f"files_{arguments.size}"
        maker = str(HERE.parent / "parity" / "make_keras_hub_presets.py")
        if not (presets / PRESET).is_dir():
            run_quietly(arguments.keras_hub, maker, "full", str(presets))
        if not (files / "keras_hub_int8.tflite").is_file():
            exporter = str(HERE / "export_keras_hub.py")
            run_quietly(
                arguments.keras_hub,
                exporter,
                str(presets / PRESET),
                str(files),
                "--size",
                str(arguments.size),
            )
        export_ours(presets / PRESET, files, arguments.size)
        report(arguments, presets / PRESET, files)


def report(arguments: argparse.Namespace, directory: Path, files: Path) -> None:
    """Measure everything and print the table."""
    size = arguments.size
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {arguments.threads} threads")
    print(f"Python {platform.python_version()}, {arguments.runs} interleaved runs\n")
    print("| | KerasHub | atrous | ratio | paired ratios |\n|---|---|---|---|---|")
    for mode in ("float32", "int8"):
        paths = {name: files / f"{name}_{mode}.tflite" for name in ("keras_hub", "atrous")}
        runners = {name: tflite_runner(path, arguments.threads) for name, path in paths.items()}
        print(row(f"{mode} .tflite, {size}×{size}", interleaved(runners, arguments.runs)), flush=True)
        sizes = {name: [path.stat().st_size / 1e6] for name, path in paths.items()}
        print(row(f"{mode} .tflite, file", sizes, "MB"), flush=True)
    for side in (256, 512):
        predictors = {
            "keras_hub": Predictor(arguments.keras_hub, "keras_hub", directory, side),
            "atrous": Predictor(sys.executable, "atrous", directory, side),
        }
        times = interleaved(dict(predictors), arguments.runs)
        print(row(f"model.predict, {side}×{side}", times), flush=True)
        peaks = {name: [predictor.finish()] for name, predictor in predictors.items()}
        print(row(f"model.predict, {side}×{side}, peak memory above the import", peaks, "MiB"), flush=True)


if __name__ == "__main__":
    main()
