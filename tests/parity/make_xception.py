"""Write the Xception features of timm (aligned) and KerasHub (original) for random weights that both sides draw alike.

Each library in an environment of its own (`pip install timm==1.0.31`, `pip install keras-hub==0.32.0 tensorflow`),
never in the test environment:

    python tests/parity/make_xception.py timm small tests/parity/xception
    python tests/parity/make_xception.py keras_hub small tests/parity/xception

and `full` in place of `small` for the published sizes, into a folder elsewhere. `check_xception_densenet.py` compares; the
tests do it with the committed small files.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from seeded_arrays import sampled, seeded_image, torch_array

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

# Odd sizes tell explicit padding from TensorFlow's.
SIZES = ((64, 96), (65, 97))

SMALL_ALIGNED = {
    "xception_aligned": {
        "entry_flow": [[8, 2], [10, 2], [12, 2]],
        "middle_flow": [12, 2],
        "exit_flow": [[12, 14, 16], [18, 20, 24]],
    },
    # Xception-71's entry flow, where units without a stride come between
    "xception_aligned_deep": {
        "entry_flow": [[8, 2], [10, 1], [10, 2], [12, 1], [12, 2]],
        "middle_flow": [12, 1],
        "exit_flow": [[12, 14, 16], [18, 20, 24]],
    },
}
SMALL_ORIGINAL = {
    "xception_original": {
        "stackwise_conv_filters": [[8, 12], [14, 16], [18, 20], [22, 24], [24, 24, 24], [24, 28], [32, 36]],
        "stackwise_pooling": [False, True, True, True, False, True, False],
    }
}
FULL_ORIGINAL = {
    "stackwise_conv_filters": [
        [32, 64],
        [128, 128],
        [256, 256],
        [728, 728],
        *[[728, 728, 728]] * 8,
        [728, 1024],
        [1536, 2048],
    ],
    "stackwise_pooling": [False, True, True, True, *[False] * 8, True, False],
}


def small_aligned(config, output_stride):
    """A narrow network of timm's class."""
    from timm.models.xception_aligned import XceptionAligned

    first, second = config["exit_flow"]
    width, number = config["middle_flow"]
    blocks, channels = [], 64
    for filters, stride in config["entry_flow"]:
        blocks.append({"in_chs": channels, "out_chs": filters, "stride": stride})
        channels = filters
    blocks += [{"in_chs": width, "out_chs": width, "stride": 1} for _ in range(number)]
    blocks += [
        {"in_chs": width, "out_chs": tuple(first), "stride": 2},
        {
            "in_chs": first[-1],
            "out_chs": tuple(second),
            "stride": 1,
            "no_skip": True,
            "start_with_relu": False,
        },
    ]
    from functools import partial

    from torch import nn

    return XceptionAligned(
        blocks, num_classes=3, output_stride=output_stride, norm_layer=partial(nn.BatchNorm2d, eps=1e-3)
    )


def timm_levels(model, image):
    """Features inside each strided block before its last activation, and the end."""
    import torch

    levels, handles = {}, []

    def keep(level):
        # The activation that follows works in place.
        return lambda module, inputs, output: levels.__setitem__(level, output.clone())

    # feature_info names the activation, `blocks.0.stack.act3`, that follows the wanted convolution
    for number, info in enumerate(model.feature_info, start=1):
        module = model.get_submodule(info["module"].replace("act3", "conv2"))
        handles.append(module.register_forward_hook(keep(f"P{number}")))
    with torch.no_grad():
        model.forward_features(torch.from_numpy(np.moveaxis(image, -1, 1).copy()))
    for handle in handles:
        handle.remove()
    return {level: np.moveaxis(values.numpy(), 1, -1) for level, values in levels.items()}


def write_timm(path, make_model, config):
    """Features at every output stride.

    Where a block of equal widths loses its stride, timm leaves out the shortcut's convolution (Xception-71 at output
    stride 8). DeepLab's has it always, and so have ours and the published weights: that network is passed over.
    """
    import torch

    golden, description = {}, {}
    for output_stride in (32, 16, 8):
        model = make_model(output_stride).eval()
        variables = []
        state = model.state_dict()
        for name, value in state.items():
            if not name.endswith("num_batches_tracked"):
                shape = tuple(value.shape)
                state[name] = torch.from_numpy(torch_array(name, shape))
                variables.append((name, "", shape))
        model.load_state_dict(state)
        description = description or {
            "family": "aligned",
            "source": "timm",
            "config": config,
            "variables": variables,
        }
        if variables != [tuple(variable) for variable in description["variables"]]:
            print(f"{path.name}: passed over output stride {output_stride}, timm's network has other weights")
            continue
        for height, width in SIZES:
            for level, values in timm_levels(model, seeded_image(height, width)).items():
                golden[f"{height}x{width}/{output_stride}/{level}"] = sampled(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, description=json.dumps(description), **golden)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def write_keras_hub(path, config, ours):
    """Features of the image padded by three pixels, on which our graph promises equality."""
    import keras_hub
    from golden_keras import write_golden

    model = keras_hub.models.XceptionBackbone(**config)
    pooled = [index for index, pools in enumerate(config["stackwise_pooling"], start=1) if pools]
    names = [
        f"block1_conv{len(config['stackwise_conv_filters'][0])}_act",
        *(f"block{index}_residual_add" for index in pooled[:-1]),
    ]
    levels = {f"P{stage}": model.get_layer(name).output for stage, name in enumerate(names, start=1)}
    levels["P5"] = model.output
    write_golden(path, model, levels, family="original", config=ours, sizes=SIZES, padding=3)


def main():
    """Write every file of one library and size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", choices=("timm", "keras_hub"))
    parser.add_argument("size", choices=("small", "full"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    folder, small = arguments.folder, arguments.size == "small"
    if arguments.library == "keras_hub":
        for name, config in (SMALL_ORIGINAL if small else {"xception_original": FULL_ORIGINAL}).items():
            write_keras_hub(folder / f"{name}.npz", config, config if small else {"variant": name})
    elif small:
        for name, config in SMALL_ALIGNED.items():
            write_timm(
                folder / f"{name}.npz", lambda stride, config=config: small_aligned(config, stride), config
            )
    else:
        import timm

        for depth in (41, 65, 71):
            write_timm(
                folder / f"xception_{depth}.npz",
                lambda stride, depth=depth: timm.create_model(f"xception{depth}", output_stride=stride),
                {"variant": f"xception_{depth}"},
            )


if __name__ == "__main__":
    main()
