"""Write the outputs of torchvision's DeepLabV3 for random weights that both sides draw alike.

In an environment of its own (`pip install torch==2.14.1 torchvision==0.29.1 safetensors`), never in the test environment:

    python tests/parity/make_torchvision.py small tests/parity/torchvision
    python tests/parity/make_torchvision.py full /somewhere

`small` has one block per stage, or the small MobileNetV3, `full` is `deeplabv3_resnet50`, `deeplabv3_resnet101` and
`deeplabv3_mobilenet_v3_large`.
`check_torchvision.py` compares; a test does it with the committed small files.
"""

import torch
from golden_models import write_all, write_golden
from torch_files import drawn_variables, outputs
from torchvision.models import mobilenetv3, resnet
from torchvision.models.segmentation import deeplabv3

SIZES = ((64, 96), (80, 64))
CLASSES = 5
NETWORKS = {
    "small": {
        "deeplabv3_small": {"blocks": [1, 1, 1, 2]},
        "mobilenet_v3_small": {"mobilenet": "small"},
    },
    "full": {
        "deeplabv3_resnet50": {"blocks": [3, 4, 6, 3]},
        "deeplabv3_resnet101": {"blocks": [3, 4, 23, 3]},
        "mobilenet_v3_large": {"mobilenet": "large"},
    },
}


def network(description):
    """torchvision's DeepLabV3 with the auxiliary classifier that its published files hold.

    ResNets at output stride 8, MobileNetV3 at 16.
    """
    if "blocks" in description:
        backbone = resnet.ResNet(
            resnet.Bottleneck, description["blocks"], replace_stride_with_dilation=[False, True, True]
        )
        return deeplabv3._deeplabv3_resnet(backbone, CLASSES, True)
    settings, last = mobilenetv3._mobilenet_v3_conf(f"mobilenet_v3_{description['mobilenet']}", dilated=True)
    return deeplabv3._deeplabv3_mobilenetv3(mobilenetv3.MobileNetV3(settings, last), CLASSES, True)


@torch.no_grad()
def write(path, description):
    """Names and shapes of the parameters, and sampled outputs."""
    model = network(description).eval()
    variables = drawn_variables(model, torch.from_numpy)
    found = outputs(lambda image: model(torch.from_numpy(image))["out"].numpy(), SIZES)
    write_golden(path, {**description, "classes": CLASSES, "variables": variables}, found)


if __name__ == "__main__":
    write_all(__doc__, NETWORKS, write)
