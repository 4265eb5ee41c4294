"""Compare atrous with torchvision on the files that `make_torchvision.py` wrote.

    python tests/parity/check_torchvision.py FOLDER

The weights go the whole way: a `.safetensors` file in torchvision's names, `registry.build(…, weights=file)`, the model's
outputs. Exits 1 where they differ by more than 1e-4 of their standard deviation.
"""

from golden_models import compare_all, description_of, differences
from torch_files import loaded

import registry


def encoder(description):
    """The encoder that torchvision's backbone is, as in a preset."""
    if "blocks" in description:
        return {
            "plugin": "resnet",
            "variant": "resnet_custom",
            "output_stride": 8,
            "options": {
                "input_conv_filters": [64],
                "input_conv_kernel_sizes": [7],
                "stackwise_num_filters": [64, 128, 256, 512],
                "stackwise_num_blocks": description["blocks"],
                "block_type": "bottleneck_block",
            },
        }
    return {
        "plugin": "mobilenet",
        "variant": f"mobilenet_v3_{description['mobilenet']}_custom",
        "output_stride": 16,
        "options": {"torch_padding": True, "norm_epsilon": 1e-3, "early_rate": True},
    }


def preset(description):
    """The preset that torchvision's network is."""
    return {
        "encoder": encoder(description),
        "architecture": {
            "name": "deeplab_v3",
            "dilation_rates": [12, 24, 36],
            "decoder": {"convolutions": 1, "kernel_size": 3},
            "classifier_bias": True,
            "batch_norm": {"epsilon": 1e-5},
        },
        "num_classes": description["classes"],
    }


def compare(path):
    """The model, and the largest difference of each size."""
    description = description_of(path)
    made = preset(description)
    model = loaded(lambda file: registry.build(made, weights=file), description["variables"])
    return model, differences(path, model)


if __name__ == "__main__":
    compare_all(compare)
