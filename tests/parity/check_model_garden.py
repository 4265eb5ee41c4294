"""Compare atrous with TF Model Garden on the files that `make_model_garden.py` wrote.

    python tests/parity/check_model_garden.py FOLDER

The weights go the whole way: a checkpoint of TensorFlow 2 under Model Garden's names, `registry.build(…, weights=prefix)`,
the model's outputs. Exits 1 where they differ by more than 1e-4 of their standard deviation.
"""

import tempfile
from pathlib import Path

import numpy as np
from checkpoint_files import write_checkpoint
from golden_models import compare_all, description_of, differences
from seeded_arrays import garden_array

import registry

# The deep stem of `ResNet` is half as wide as that of `DilatedResNet`.
STEMS = {
    ("backbone", "v0"): ([64], [7]),
    ("backbone", "v1"): ([64, 64, 128], [3, 3, 3]),
    ("resnet", "v1"): ([32, 32, 64], [3, 3, 3]),
}


def write_drawn_checkpoint(prefix, description):
    """The checkpoint that Model Garden wrote, with values that both sides draw; outside the network they are ones."""
    arrays = {}
    for name, shape, dtype in description["variables"]:
        values = garden_array(name, tuple(shape))
        arrays[name] = np.ones(shape, dtype) if values is None else values
    return write_checkpoint(prefix, arrays)


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
        "aspp": {
            "filters": aspp.get("num_filters", 256),
            "separable": aspp.get("use_depthwise_convolution", False),
            "depthwise_norm": not aspp.get("use_depthwise_convolution", False),
        },
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
    """The model, and the largest difference of each output."""
    description = description_of(path)
    with tempfile.TemporaryDirectory() as folder:
        model = build(description, write_drawn_checkpoint(Path(folder) / "ckpt-7", description))
    return model, differences(path, model)


if __name__ == "__main__":
    compare_all(compare)
