"""Measure every shipped preset: `python docs/measure.py [NAME …]` writes docs/reference/presets.csv.

Parameters, and multiply-accumulate operations at the preset's input size. Building all presets takes minutes, so the
figures are kept in a file, from which docs/generate.py makes its table; tests/test_preset_models.py holds them against
the models.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ["ATROUS_PLUGINS"] = ""
os.environ.pop("ATROUS_PRESET_PATH", None)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import registry

PATH = Path(__file__).resolve().parent / "reference" / "presets.csv"
COLUMNS = ("preset", "parameters", "macs")


def measure(name: str) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a preset at its input size."""
    from registry.models.arithmetic import count_macs  # noqa: PLC0415  # docs/generate.py needs no TensorFlow

    model = registry.build(name, weights=None)
    return model.count_params(), count_macs(model, model.preset_config.input.size)


def recorded() -> dict[str, tuple[int, int]]:
    """The figures that are on file, by preset."""
    if not PATH.is_file():
        return {}
    with PATH.open(newline="", encoding="utf-8") as file:
        return {row["preset"]: (int(row["parameters"]), int(row["macs"])) for row in csv.DictReader(file)}


def main(names: Sequence[str]) -> None:
    """Measure the presets of these names, or all of them, and keep the others' figures."""
    from registry.backend import keras  # noqa: PLC0415

    shipped = registry.list_presets()
    figures = {name: values for name, values in recorded().items() if name in shipped}
    for name in names or shipped:
        figures[name] = measure(name)
        keras.backend.clear_session()
        print(f"{name}: {figures[name][0]:,} parameters, {figures[name][1] / 1e9:.2f} GMACs", flush=True)
    with PATH.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((name, *values) for name, values in sorted(figures.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
