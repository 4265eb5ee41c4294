"""Write the outputs of torchvision's DeepLabV3 for random weights that both sides draw alike.

In an environment of its own (`pip install torch==2.14.1 torchvision==0.29.1`), never in the test environment:

    python tests/parity/make_torchvision.py small tests/parity/torchvision
    python tests/parity/make_torchvision.py full /somewhere

`small` has one block per stage, `full` is `deeplabv3_resnet50` and `deeplabv3_resnet101`.
`check_torchvision.py` compares; a test does it with the committed small file.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from seeded_arrays import sampled, seeded_image, torch_array
from torchvision.models import resnet
from torchvision.models.segmentation import deeplabv3

SIZES = ((64, 96), (72, 64))
CLASSES = 5
BLOCKS = {"small": [1, 1, 1, 2], "resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3]}


def network(blocks):
    """torchvision's DeepLabV3 at output stride 8, with the auxiliary classifier that its published files hold."""
    backbone = resnet.ResNet(resnet.Bottleneck, blocks, replace_stride_with_dilation=[False, True, True])
    return deeplabv3._deeplabv3_resnet(backbone, CLASSES, True)


def write(path, blocks):
    """Names and shapes of the parameters, and sampled outputs."""
    model = network(blocks).eval()
    state = model.state_dict()
    variables = []
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            variables.append((name, tuple(value.shape)))
            state[name] = torch.from_numpy(torch_array(name, tuple(value.shape)))
    model.load_state_dict(state)
    golden = {"description": json.dumps({"blocks": blocks, "classes": CLASSES, "variables": variables})}
    for height, width in SIZES:
        image = torch.from_numpy(np.moveaxis(seeded_image(height, width), -1, 1).copy())
        with torch.no_grad():
            golden[f"{height}x{width}"] = sampled(np.moveaxis(model(image)["out"].numpy(), 1, -1))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **golden)
    print(f"{path.name}: {len(variables)} arrays, {path.stat().st_size:,} bytes")


def main():
    """Write every file of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=("small", "full"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for name, blocks in BLOCKS.items():
        if (name == "small") == (arguments.size == "small"):
            write(arguments.folder / f"deeplabv3_{name}.npz", blocks)


if __name__ == "__main__":
    main()
