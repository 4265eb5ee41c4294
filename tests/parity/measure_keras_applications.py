"""Measure every variant of the plugin keras_applications: channels, parameters, MACs; compare with its table.

    python tests/parity/measure_keras_applications.py [--write] [variant …]

Parameters and MACs are reckoned from the graphs, without building a second model; test_keras_applications.py holds the
table against built models. `--write` puts the numbers into the plugin's variants.csv.
"""

import argparse
import csv
import math
from pathlib import Path

import registry_keras_applications
from registry.backend import keras
from registry.models.sampling import sample
from registry_keras_applications.graph import undilated
from registry_keras_applications.normal_form import LayerScale

TABLE = Path(registry_keras_applications.__file__).parent / "variants.csv"
SIDE = 512
layers = keras.layers


def reckon(variant):
    """Channels of the levels, parameters and MACs at 512×512."""
    graph, _ = undilated(variant)
    grids = sample(graph, pixelwise=(LayerScale,)).grids
    parameters = macs = 0
    for node in graph.sorted():
        kernel, others = weights_of(node, graph)
        parameters += kernel + others
        grid = grids[node.name]
        macs += kernel * ((SIDE // grid.stride) ** 2 if grid else 1)
    return [graph[name].shape[-1] for name in graph.outputs], parameters, macs


def weights_of(node, graph):
    """Weights that are multiplied at every pixel, and others."""
    config, channels = node.config, node.shape[-1]
    if node.is_a(layers.DepthwiseConv2D):
        return math.prod(config["kernel_size"]) * channels, channels * config["use_bias"]
    if node.is_a(layers.Conv2D):
        per_filter = math.prod(config["kernel_size"]) * graph[node.inputs[0]].shape[-1] // config["groups"]
        return per_filter * channels, channels * config["use_bias"]
    if node.is_a(layers.BatchNormalization):
        return 0, (2 + config["scale"] + config["center"]) * channels
    if node.is_a(layers.LayerNormalization):
        return 0, (config["scale"] + config["center"]) * channels
    return 0, channels if node.is_a(LayerScale) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = 0
    for row in rows:
        if arguments.variants and row["variant"] not in arguments.variants:
            continue
        channels, parameters, macs = reckon(row["variant"])
        measured = {
            "channels": " ".join(map(str, channels)),
            "parameters": str(parameters),
            "macs": str(macs),
        }
        differs = any(row[key] != value for key, value in measured.items())
        wrong += differs
        print(row["variant"], *measured.values(), "DIFFERS" if differs else "as stated", flush=True)
        row.update(measured)
        keras.backend.clear_session()
        undilated.cache_clear()
        if arguments.write:
            with TABLE.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    raise SystemExit(bool(wrong and not arguments.write))


if __name__ == "__main__":
    main()
