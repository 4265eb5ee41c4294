"""Compare atrous with torchvision on the files that `make_torchvision.py` wrote.

    python tests/parity/check_torchvision.py FOLDER

The weights go the whole way: a `.safetensors` file in torchvision's names, `registry.build(…, weights=file)`, the model's
outputs. Exits 1 where they differ by more than 1e-4 of their standard deviation.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from seeded_arrays import sampled, seeded_image, torch_array

import registry

LARGEST_DIFFERENCE = 1e-4


def preset(blocks, classes):
    """The preset that torchvision's network is."""
    return {
        "encoder": {
            "plugin": "resnet",
            "variant": "resnet_custom",
            "output_stride": 8,
            "options": {
                "input_conv_filters": [64],
                "input_conv_kernel_sizes": [7],
                "stackwise_num_filters": [64, 128, 256, 512],
                "stackwise_num_blocks": blocks,
                "block_type": "bottleneck_block",
            },
        },
        "architecture": {
            "name": "deeplab_v3",
            "dilation_rates": [12, 24, 36],
            "decoder": {"convolutions": 1, "kernel_size": 3},
            "classifier_bias": True,
            "batch_norm": {"epsilon": 1e-5},
        },
        "num_classes": classes,
    }


def compare(path):
    """The model, and the largest difference of each size in standard deviations of torchvision's output."""
    golden = np.load(path, allow_pickle=False)
    description = json.loads(str(golden["description"]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "torchvision.safetensors"
        save_file({name: torch_array(name, tuple(shape)) for name, shape in description["variables"]}, file)
        model = registry.build(preset(description["blocks"], description["classes"]), weights=file)
    differences = {}
    for size in (name for name in golden.files if name != "description"):
        height, width = map(int, size.split("x"))
        output = sampled(model(seeded_image(height, width), training=False))
        differences[size] = float(np.abs(output - golden[size]).max() / golden[size].std())
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
