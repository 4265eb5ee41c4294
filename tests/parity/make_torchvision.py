"""Write the outputs of torchvision's DeepLabV3 for random weights that both sides draw alike.

In an environment of its own (`pip install torch==2.14.1 torchvision==0.29.1 safetensors`), never in the test environment:

    python tests/parity/make_torchvision.py small tests/parity/torchvision
    python tests/parity/make_torchvision.py full /somewhere

`small` has one block per stage, `full` is `deeplabv3_resnet50` and `deeplabv3_resnet101`.
`check_torchvision.py` compares; a test does it with the committed small file.
"""

import torch
from golden_models import write_all, write_golden
from torch_files import drawn_variables, outputs
from torchvision.models import resnet
from torchvision.models.segmentation import deeplabv3

SIZES = ((64, 96), (72, 64))
CLASSES = 5
NETWORKS = {
    "small": {"deeplabv3_small": [1, 1, 1, 2]},
    "full": {"deeplabv3_resnet50": [3, 4, 6, 3], "deeplabv3_resnet101": [3, 4, 23, 3]},
}


def network(blocks):
    """torchvision's DeepLabV3 at output stride 8, with the auxiliary classifier that its published files hold."""
    backbone = resnet.ResNet(resnet.Bottleneck, blocks, replace_stride_with_dilation=[False, True, True])
    return deeplabv3._deeplabv3_resnet(backbone, CLASSES, True)


@torch.no_grad()
def write(path, blocks):
    """Names and shapes of the parameters, and sampled outputs."""
    model = network(blocks).eval()
    variables = drawn_variables(model, torch.from_numpy)
    found = outputs(lambda image: model(torch.from_numpy(image))["out"].numpy(), SIZES)
    write_golden(path, {"blocks": blocks, "classes": CLASSES, "variables": variables}, found)


if __name__ == "__main__":
    write_all(__doc__, NETWORKS, write)
