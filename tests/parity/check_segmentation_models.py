"""Compare atrous with segmentation_models.pytorch on the files that `make_segmentation_models.py` wrote.

    python tests/parity/check_segmentation_models.py FOLDER

The weights go the whole way: a `.safetensors` file in the library's names, `registry.build(…, weights=file)`, the model's
outputs. Exits 1 where they differ by more than 1e-4 of their standard deviation.
"""

from golden_models import compare_all, description_of, differences
from torch_files import loaded

import registry

# timm's networks, which the library dilates as timm does; those of its own give a lost stride's convolution the new rate.
ENCODERS = {
    "tu-mobilenetv3_small_050": ("mobilenet", "mobilenet_v3_small_050_torch"),
    "tu-resnet50": ("resnet", "resnet_50"),
}


def preset(description):
    """The preset that the library's network is."""
    name, plus = description["encoder_name"], description["class"] == "DeepLabV3Plus"
    filters = description.get("decoder_channels", 256)
    plugin, variant = ENCODERS.get(name, ("resnet", name.replace("resnet", "resnet_")))
    separable = description.get("decoder_aspp_separable", plus)
    architecture = {
        "name": "deeplab_v3_plus" if plus else "deeplab_v3",
        "dilation_rates": description.get("decoder_atrous_rates", [12, 24, 36]),
        "aspp": {"filters": filters, "separable": separable, "depthwise_norm": False},
        "decoder": {"filters": filters, "convolutions": 1, "kernel_size": 3},
        "classifier_bias": True,
        "batch_norm": {"epsilon": 1e-5},
        "align_corners": True,
    }
    if plus:
        architecture["aspp"]["output_convolution"] = "separable"
        architecture["decoder"] |= {"separable": True, "depthwise_norm": False}
    return {
        "encoder": {
            "plugin": plugin,
            "variant": variant,
            "output_stride": description.get("encoder_output_stride", 16 if plus else 8),
            **({} if name in ENCODERS else {"options": {"early_rate": True}}),
        },
        "architecture": architecture,
        "num_classes": description["classes"],
    }


def compare(path):
    """The model, and the largest difference of each size."""
    description = description_of(path)
    model = loaded(lambda file: registry.build(preset(description), weights=file), description["variables"])
    return model, differences(path, model)


if __name__ == "__main__":
    compare_all(compare)
