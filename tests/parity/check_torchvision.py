"""Compare atrous with torchvision on the files that `make_torchvision.py` wrote.

    python tests/parity/check_torchvision.py FOLDER

The weights go the whole way: a `.safetensors` file in torchvision's names, `registry.build(…, weights=file)`, the model's
outputs. Exits 1 where they differ by more than 1e-4 of their standard deviation.
"""

from golden_models import compare_all, description_of, differences
from torch_files import loaded

import registry


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
    """The model, and the largest difference of each size."""
    description = description_of(path)
    made = preset(description["blocks"], description["classes"])
    model = loaded(lambda file: registry.build(made, weights=file), description["variables"])
    return model, differences(path, model)


if __name__ == "__main__":
    compare_all(compare)
