"""Compare CSPNet and MiT with KerasHub on what `make_cspnet_and_mit.py` wrote.

    python tests/parity/check_cspnet_and_mit.py FOLDER

Prints one row per network, image size and level, and exits 1 where a largest difference is not below 1e-4 standard
deviations of KerasHub's output.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

import registry
from registry.discovery import find_encoder

LARGEST_DIFFERENCE = 1e-4
CUSTOM = {"CSPNetBackbone": ("cspnet", "cspnet_custom"), "MiTBackbone": ("mit", "mit_custom")}


class Row(NamedTuple):
    """One comparison."""

    name: str
    size: str
    level: str
    parameters: int
    relative: float

    @property
    def ok(self) -> bool:
        """Whether the outputs count as equal."""
        return self.relative < LARGEST_DIFFERENCE

    def __str__(self) -> str:
        return (
            f"{'ok  ' if self.ok else 'FAIL'} {self.name:24} {self.size:>9} {self.level} "
            f"{self.parameters:>11,} parameters  max |Δ| {self.relative:.1e} σ"
        )


def load(directory: Path) -> Any:
    """The encoder of a KerasHub directory: the named variant of the folder's name, else the custom one."""
    config = json.loads((directory / "config.json").read_text())
    plugin, custom = CUSTOM[config["class_name"]]
    loaded, spec = find_encoder(plugin, custom)
    if directory.name in loaded.encoders:
        return registry.build_encoder(plugin, directory.name, weights=directory)
    options = {key: value for key, value in config["config"].items() if key in spec.options.model_fields}
    return registry.build_encoder(plugin, custom, weights=directory, **options)


def compare(path: Path) -> list[Row]:
    """Every golden level of a directory, or of an archive of one, through our encoder."""
    if path.suffix == ".zip":
        with TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(directory := Path(folder, path.stem))
            return compare(directory)
    encoder = load(path)
    golden = np.load(path / "golden.npz")
    rows = []
    for size in (key.removeprefix("image_") for key in golden.files if key.startswith("image_")):
        outputs = encoder(golden[f"image_{size}"].astype(np.float32), training=False)
        for key in (key for key in golden.files if key.startswith("P") and key.endswith(f"_{size}")):
            level, expected = key.partition("_")[0], golden[key]
            step = -(-outputs[level].shape[1] // expected.shape[1])
            output = outputs[level].numpy()[:, ::step, ::step]
            difference = np.abs(output - expected).max() / expected.std()
            rows.append(Row(path.name, size, level, encoder.count_params(), float(difference)))
    return rows


def main() -> int:
    """Compare every network of a folder."""
    rows = [row for path in sorted(Path(sys.argv[1]).iterdir()) for row in compare(path)]
    print(*rows, sep="\n")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
