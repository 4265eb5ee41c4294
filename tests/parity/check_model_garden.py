"""Compare atrous with TF Model Garden on the files that `make_model_garden.py` wrote.

    python tests/parity/check_model_garden.py FOLDER

The weights go the whole way: a checkpoint of TensorFlow 2 under Model Garden's names, `registry.build(…, weights=prefix)`,
the model's outputs. Exits 1 where they differ by more than 1e-4 of their standard deviation.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from seeded_arrays import garden_array, sampled, seeded_image

import registry
from registry.backend import tf

LARGEST_DIFFERENCE = 1e-4
# The deep stem of `ResNet` is half as wide as that of `DilatedResNet`.
STEMS = {
    ("backbone", "v0"): ([64], [7]),
    ("backbone", "v1"): ([64, 64, 128], [3, 3, 3]),
    ("resnet", "v1"): ([32, 32, 64], [3, 3, 3]),
}


def description_of(path):
    """What a file says of its network."""
    return json.loads(str(np.load(path, allow_pickle=False)["description"]))


def write_checkpoint(prefix, description):
    """The checkpoint that Model Garden wrote, with values that both sides draw; outside the network they are ones."""
    arrays = {}
    for name, shape, dtype in description["variables"]:
        values = garden_array(name, tuple(shape))
        arrays[name] = np.ones(shape, dtype) if values is None else values
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[arrays[name] for name in names],
    )
    return prefix


def encoder(description):
    """The encoder that Model Garden's backbone is, as in a preset."""
    if "mobilenet" in description:
        stride = description["mobilenet"]["output_stride"]
        width = description["mobilenet"].get("filter_size_scale", 1.0)
        return {
            "plugin": "mobilenet",
            "variant": "mobilenet_v2_custom",
            "output_stride": stride,
            "options": {"alpha": width, "early_rate": True},
        }
    kind = "backbone" if "backbone" in description else "resnet"
    backbone = description[kind]
    filters, kernels = STEMS[kind, backbone.get("stem_type", "v0")]
    if backbone["model_id"] == 101:
        widths, blocks = [64, 128, 256, 512], [3, 4, 23, 3]
    else:
        widths, blocks = ([block[place] for block in description["blocks"]] for place in (1, 2))
    return {
        "plugin": "resnet",
        "variant": "resnet_custom",
        "output_stride": backbone.get("output_stride", 32),
        "options": {
            "input_conv_filters": filters,
            "input_conv_kernel_sizes": kernels,
            "stackwise_num_filters": widths,
            "stackwise_num_blocks": blocks,
            "block_type": "bottleneck_block",
            "activation": backbone.get("activation", "relu"),
            "padding": "same",
            "norm_epsilon": 1e-3,
            "early_rate": True,
            "multi_grid": backbone.get("multigrid"),
        },
    }


def preset(description):
    """The preset that Model Garden's network is."""
    aspp, head = description["aspp"], description["head"]
    architecture = {
        "name": "deeplab_v3",
        "aspp": {"filters": aspp.get("num_filters", 256)},
        "decoder": {
            "filters": head.get("num_filters", 256),
            "convolutions": head["num_convs"],
            "kernel_size": 3,
            "separable": head.get("use_depthwise_convolution", False),
        },
        "classifier_bias": True,
        "hidden_activation": aspp.get("activation", "relu"),
    }
    if aspp["dilation_rates"]:
        architecture["dilation_rates"] = aspp["dilation_rates"]
    else:
        architecture["aspp"]["atrous"] = False
    if head.get("feature_fusion"):
        architecture |= {
            "name": "deeplab_v3_plus",
            "projection_filters": head.get("low_level_num_filters", 48),
        }
    return {"encoder": encoder(description), "architecture": architecture, "num_classes": 5}


def build(description, prefix):
    """The model of a checkpoint: a segmenter, or the encoder of a classifier."""
    if description["kind"] != "classifier":
        return registry.build(preset(description), weights=prefix)
    given = encoder(description)
    return registry.build_encoder(given["plugin"], given["variant"], weights=prefix, **given["options"])


def compare(path):
    """The model, and the largest difference of each output in standard deviations of Model Garden's."""
    golden, description = np.load(path, allow_pickle=False), description_of(path)
    with tempfile.TemporaryDirectory() as folder:
        model = build(description, write_checkpoint(Path(folder) / "ckpt-7", description))
    differences = {}
    for key in (name for name in golden.files if name != "description"):
        size, _, level = key.partition(" ")
        output = model(seeded_image(*map(int, size.split("x"))), training=False)
        output = sampled(output[level] if level else output)
        differences[key] = float(np.abs(output - golden[key]).max() / golden[key].std())
    return model, differences


def main():
    """Compare every file of a folder."""
    worst = 0.0
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        _, differences = compare(path)
        worst = max(worst, *differences.values())
        print(path.name, *(f"{size}: {value:.1e} σ" for size, value in differences.items()))
    return int(worst > LARGEST_DIFFERENCE)


if __name__ == "__main__":
    sys.exit(main())
