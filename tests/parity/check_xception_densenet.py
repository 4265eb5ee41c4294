"""Compare our Xception and DenseNet with the features that `make_xception.py` and `make_densenet.py` wrote.

    python tests/parity/check_xception_densenet.py FOLDER

Prints one row per file, input size, output stride and level and exits 1 where the largest difference exceeds 1e-4
standard deviations of the reference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from seeded_arrays import keras_array, sampled, seeded_image, torch_array

import registry_densenet
import registry_xception
from registry.backend import keras
from registry.weights.assignment import assign
from registry_densenet.conversion import from_torch
from registry_densenet.graph import densenet_pyramid
from registry_densenet.variants import DenseNetArchitecture, architecture_of
from registry_xception.aligned import aligned_pyramid
from registry_xception.conversion import aligned_layers, original_layers
from registry_xception.original import original_pyramid
from registry_xception.variants import ALIGNED, ORIGINAL, AlignedArchitecture, OriginalArchitecture

LARGEST_DIFFERENCE = 1e-4


class Row(NamedTuple):
    """One comparison."""

    name: str
    size: str
    output_stride: int
    level: str
    relative: float

    @property
    def ok(self) -> bool:
        """Whether the features count as equal."""
        return self.relative < LARGEST_DIFFERENCE

    def __str__(self) -> str:
        return (
            f"{'ok  ' if self.ok else 'FAIL'} {self.name:24} {self.size:>7} stride {self.output_stride:2} "
            f"{self.level}  max |Δ| {self.relative:.1e} σ"
        )


def tuples(value):
    """JSON's lists as the tuples that architectures hold."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def builder_of(family, config):
    """Function of (inputs, output_stride), conversion of the weights, and layers that these may hold beyond."""
    fields = {key: tuples(value) for key, value in config.items()}
    variant = fields.pop("variant", None)
    if family == "densenet":
        options = registry_densenet.SPECS[0].options()
        densenet = architecture_of(variant, options) if variant else DenseNetArchitecture(**fields)
        beyond = registry_densenet.SPECS[0].unused_weights
        return lambda x, stride: densenet_pyramid(x, densenet, output_stride=stride), from_torch, beyond
    beyond = registry_xception.SPECS[0].unused_weights
    if family == "aligned":
        aligned = ALIGNED[variant] if variant else AlignedArchitecture(**fields)
        return (
            lambda x, stride: aligned_pyramid(x, aligned, output_stride=stride),
            lambda arrays: aligned_layers(arrays, aligned),
            beyond,
        )
    original = ORIGINAL[variant] if variant else OriginalArchitecture(**fields)
    return lambda x, stride: original_pyramid(x, original, output_stride=stride), original_layers, ()


def source_arrays(description):
    """The seeded weights as their file would hold them."""
    arrays = {}
    for name, variable, shape in description["variables"]:
        if description["source"] == "timm":
            arrays[name] = [torch_array(name, tuple(shape))]
        else:
            arrays.setdefault(name, []).append(keras_array(name, variable, tuple(shape)))
    return arrays


def compare(path: Path) -> list[Row]:
    """Every level in a golden file through our encoder, whose weights go through the plugin's conversion."""
    golden = np.load(path)
    description = json.loads(str(golden["description"]))
    build, convert, beyond = builder_of(description["family"], description["config"])
    arrays = source_arrays(description)
    converted = convert(arrays)
    models, outputs, rows = {}, {}, []
    for key in golden.files:
        if key == "description":
            continue
        size, stride, level = key.split("/")
        if stride not in models:
            inputs = keras.layers.Input((None, None, 3))
            models[stride] = keras.Model(inputs, build(inputs, int(stride)))
            weights = arrays if converted is None else converted
            assign(models[stride].layers, weights, source=str(path), unused=beyond)
        if (size, stride) not in outputs:
            image = seeded_image(*map(int, size.split("x")))
            outputs[size, stride] = models[stride](image, training=False)
        expected = golden[key]
        difference = np.abs(sampled(outputs[size, stride][level]) - expected).max() / expected.std()
        rows.append(Row(path.stem, size, int(stride), level, float(difference)))
    return rows


def main() -> int:
    """Compare every file of a folder."""
    rows = []
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        rows += compare(path)
        keras.backend.clear_session()
    print(*rows, sep="\n")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
