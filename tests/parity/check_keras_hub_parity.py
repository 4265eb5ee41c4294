"""Compare atrous with KerasHub on preset directories that `make_keras_hub_presets.py` wrote.

    python tests/parity/check_keras_hub_parity.py FOLDER

Prints one row per directory and input size and exits 1 where a row breaks the rule: a largest difference below
1e-3 standard deviations of KerasHub's output, and at least 99.99 % of pixels with the same class.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import registry

# "less than 1e-4 of their standard deviation × 10"
LARGEST_DIFFERENCE = 1e-4 * 10
AGREEMENT = 0.9999


class Row(NamedTuple):
    """One comparison."""

    name: str
    size: str
    parameters: int
    relative: float
    agreement: float

    @property
    def ok(self) -> bool:
        """Whether the outputs count as equal."""
        return self.relative < LARGEST_DIFFERENCE and self.agreement >= AGREEMENT

    def __str__(self) -> str:
        return (
            f"{'ok  ' if self.ok else 'FAIL'} {self.name:28} {self.size:>9} {self.parameters:>11,} parameters  "
            f"max |Δ| {self.relative:.1e} σ  argmax {self.agreement:.4%}"
        )


def load(directory: Path) -> Any:
    """The directory as the class that it was saved from."""
    is_task = (directory / "task.json").is_file()
    cls = registry.DeepLabV3ImageSegmenter if is_task else registry.DeepLabV3Backbone
    return cls.from_preset(directory)


def compare(directory: Path) -> list[Row]:
    """Every golden image of a directory through our model."""
    model = load(directory)
    golden = np.load(directory / "golden.npz")
    rows = []
    for key in golden.files:
        if not key.startswith("image_"):
            continue
        size = key.removeprefix("image_")
        expected = golden[f"output_{size}"]
        output = np.asarray(model(golden[key].astype(np.float32), training=False))
        if output.shape != expected.shape:
            output = output[:, ::4, ::4, :16]
        rows.append(
            Row(
                directory.name,
                size,
                model.count_params(),
                float(np.abs(output - expected).max() / expected.std()),
                float((output.argmax(-1) == expected.argmax(-1)).mean()),
            )
        )
    return rows


def main() -> int:
    """Compare every directory of a folder."""
    rows = [row for path in sorted(Path(sys.argv[1]).iterdir()) if path.is_dir() for row in compare(path)]
    print(*rows, sep="\n")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
