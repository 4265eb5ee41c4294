"""Measure what each precision costs and gives: mean IoU, size, time and bit operations of one preset's files.

    python tests/benchmarks/accuracy.py [--trained NAME=FOLDER ...] [--compress STEPS] [--images 500] [--write docs/accuracy.md]

Exports the embedded preset in every mode, int8 with each way to choose ranges, and with `--trained` the presets that
runs with `quantization:` have left; with `--compress` it fine-tunes what is pruned and clustered, too. Evaluates all on test
sets of three seeds, by the same code; times the files in turns.
Prints a Markdown table, and writes the page that quotes it. Not a test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from compressed import fine_tuned

import registry
from registry.data import DigitsInPhotographs
from registry.evaluation import evaluate_alike
from registry.inspection import benchmark
from registry.models.arithmetic import count_macs

PRESET = "deeplab_v3_plus_resnet_digits"
SEEDS = (0, 1, 2)
# Bits of weights and activations as they are multiplied.
BITS = {"float32": (32, 32), "float16": (32, 32), "dynamic": (8, 8), "int8": (8, 8), "int16x8": (8, 16)}
# As many files as are timed in turns.
_IN_TURNS = 16
METHODS = {"min_max": "smallest and largest value", "percentile": "99.99 % of values", "mse": "least squares"}


@dataclass(frozen=True)
class Entrant:
    """One file.

    Args:
        name: what the table calls it.
        path: the file.
        mode: of its export.
    """

    name: str
    path: Path
    mode: str


def entrants(
    model: Any, trained: Sequence[tuple[str, Path, str]], folder: Path, images: int
) -> Iterator[Entrant]:
    """Export every mode, every calibration, every trained preset (name, folder, mode)."""
    size = model.preset_config.input.size
    shown = [example.image for example in DigitsInPhotographs("train", images, size=size, seed=1)]

    def export(name: str, source: Any, mode: str, **options: Any) -> Entrant:
        path = folder / ("".join(letter if letter.isalnum() else "_" for letter in name) + ".tflite")
        registry.export(source, path, size=size, quantization=mode, progress=False, **options)
        return Entrant(name, path, mode)

    for mode in ("float32", "float16", "dynamic"):
        yield export(mode, model, mode)
    for method, meaning in METHODS.items():
        rounded = registry.quantize(model, calibration=shown, method=method, progress=False)
        yield export(f"int8, {meaning}", rounded, "int8")
    yield export("int8, of the converter", model, "int8", calibration=shown)
    yield export("int16x8", model, "int16x8", calibration=shown)
    for name, source, mode in trained:
        yield export(name, registry.load(source), mode)


def scores(model: Any, found: Sequence[Entrant], images: int) -> list[list[float]]:
    """Mean IoU of the Keras model and of each file, on each seed's test set."""
    size = model.preset_config.input.size
    sets = [DigitsInPhotographs("test", images, size=size, seed=seed) for seed in SEEDS]
    rows = [
        [result.mean_iou for result in evaluate_alike([model, *(one.path for one in found)], data, size=size)]
        for data in sets
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def table(model: Any, found: Sequence[Entrant], ious: Sequence[Sequence[float]]) -> str:
    """Everything, as Markdown."""
    macs = count_macs(model, model.preset_config.input.size)
    paths = [one.path for one in found]
    timed = {
        one.path: one
        for start in range(0, len(paths), _IN_TURNS)
        for one in benchmark(paths[start : start + _IN_TURNS], threads=1, runs=60).measurements
    }
    reference = statistics.mean(ious[0])
    lines = [
        "| | mean IoU | spread | difference | file | zipped | time | bit operations |",
        "|---|---|---|---|---|---|---|---|",
        f"| Keras model | {reference:.4f} | {_spread(ious[0])} | | | | | |",
    ]
    for one, values in zip(found, ious[1:], strict=True):
        measured = timed[one.path]
        weights, activations = BITS[one.mode]
        mean = statistics.mean(values)
        zipped = len(zlib.compress(one.path.read_bytes(), 9))
        lines.append(
            f"| {one.name} | {mean:.4f} | {_spread(values)} | {100 * (mean - reference):+.2f} points "
            f"| {measured.size_bytes / 1e3:,.0f} kB | {zipped / 1e3:,.0f} kB "
            f"| {measured.median_ms:.2f} ms | {macs * weights * activations / 1e9:.1f} G |"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.4f} … {max(values):.4f}"


def page(text: str, images: int, calibration: int, compress: int | None) -> str:
    """The page of the documentation."""
    option = "" if compress is None else f" --compress {compress}"
    tuned = (
        ""
        if compress is None
        else f"\nFine-tuned by the recipes `{PRESET}_pruned` ({compress} steps) and `_clustered` (half as many), and those in int8 (PQAT,\n"
        "CQAT, PCQAT) by the quantization-aware recipe after that (a third); see [compress a model](compress.md).\n"
    )
    return f"""# Accuracy

What a precision costs and gives, measured on the embedded preset `{PRESET}`:

    python tests/benchmarks/accuracy.py --images {images}{option} --trained 'int8, quantization-aware=runs/{PRESET}_int8/model' \\
        --write docs/accuracy.md

{text}

Mean IoU over 11 classes on three generated test sets of {images} images each (seeds {", ".join(map(str, SEEDS))}); handwriting and
photographs of the test sets were not seen in training. The quantization-aware model comes from `atrous train {PRESET}_int8`.
Calibration: {calibration} training images. Time: median of a run on one thread, sixteen files in turns, at a load average of
{os.getloadavg()[0]:.1f}: above 1, others were at work, and the time says little. Bit operations: multiply-accumulates
times bits of weights times bits of activations (as in arXiv:2005.07093), a proxy for energy; zeros count like other values,
since kernels multiply by them. Zipped: by deflate, as an app package or a download is.
{tuned}"""


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=500, help="of each test set")
    parser.add_argument("--calibration", type=int, default=200, help="images that ranges are measured on")
    parser.add_argument("--trained", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument(
        "--compress", type=int, metavar="STEPS", help="fine-tune what is pruned and clustered, too"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/compressed"), help="where those runs are kept"
    )
    parser.add_argument("--write", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    trained = [
        (name, Path(folder), "int8")
        for name, _, folder in (text.partition("=") for text in arguments.trained)
    ]
    if arguments.compress is not None:
        runs = fine_tuned(PRESET, arguments.runs, arguments.compress)
        trained += [(variant.name, folder, variant.mode) for variant, folder in runs]
    model = registry.build(PRESET)
    with tempfile.TemporaryDirectory() as folder:
        found = list(entrants(model, trained, Path(folder), arguments.calibration))
        text = table(model, found, scores(model, found, arguments.images))
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(
            page(text, arguments.images, arguments.calibration, arguments.compress), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
