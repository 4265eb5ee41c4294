"""Write the outputs of segmentation_models.pytorch's DeepLabs for random weights that both sides draw alike.

In an environment of its own (`pip install segmentation_models_pytorch==0.6.0 safetensors`), never in the test environment:

    python tests/parity/make_segmentation_models.py small tests/parity/segmentation_models
    python tests/parity/make_segmentation_models.py full /somewhere

`small` are ResNet-18s and a small network of timm with narrow decoders, `full` the defaults with ResNet-50 and 101.
`check_segmentation_models.py` compares; a test does it with the committed small files.
"""

import segmentation_models_pytorch as smp
import torch
from golden_models import write_all, write_golden
from torch_files import drawn_variables, outputs

SIZES = ((64, 96), (80, 112))
CLASSES = 5
NARROW = {"decoder_channels": 8, "decoder_atrous_rates": [2, 3, 4]}
NETWORKS = {
    "small": {
        "plus": {"class": "DeepLabV3Plus", "encoder_name": "resnet18", **NARROW},
        "plus_stride_8": {
            "class": "DeepLabV3Plus",
            "encoder_name": "resnet18",
            "encoder_output_stride": 8,
            "decoder_aspp_separable": False,
            **NARROW,
        },
        "v3": {"class": "DeepLabV3", "encoder_name": "resnet18", **NARROW},
        "timm": {
            "class": "DeepLabV3Plus",
            "encoder_name": "tu-mobilenetv3_small_050",
            **NARROW,
        },
    },
    "full": {
        "plus_resnet50": {"class": "DeepLabV3Plus", "encoder_name": "resnet50"},
        "plus_resnet101": {"class": "DeepLabV3Plus", "encoder_name": "resnet101"},
        "v3_resnet50": {"class": "DeepLabV3", "encoder_name": "resnet50"},
        "v3_separable": {"class": "DeepLabV3", "encoder_name": "resnet34", "decoder_aspp_separable": True},
        "timm_resnet": {"class": "DeepLabV3Plus", "encoder_name": "tu-resnet50"},
    },
}


@torch.no_grad()
def write(path, description):
    """Names and shapes of the parameters, and sampled outputs."""
    arguments = {key: value for key, value in description.items() if key != "class"}
    model = getattr(smp, description["class"])(encoder_weights=None, classes=CLASSES, **arguments).eval()
    variables = drawn_variables(model, torch.from_numpy)
    found = outputs(lambda image: model(torch.from_numpy(image)).numpy(), SIZES)
    write_golden(path, {**description, "classes": CLASSES, "variables": variables}, found)


if __name__ == "__main__":
    write_all(__doc__, NETWORKS, write)
