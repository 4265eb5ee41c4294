"""Write golden files of EfficientNet's features, in the environment of the library that they come from.

    python tests/parity/make_efficientnet_features.py timm [--all] [--folder FOLDER]
    python tests/parity/make_efficientnet_features.py keras_hub [--all] [--folder FOLDER]

Without `--all`, the few networks whose files are committed. timm 1.0, keras-hub 0.32.
"""

import argparse
import sys
import types
from pathlib import Path

import numpy as np
from efficientnet_features import GOLDEN, image, seeded, write

COMMITTED = {
    "timm": ("efficientnet_b0", "efficientnet_v2_b1", "efficientnet_lite1", "efficientnet_b0_symmetric"),
    "keras_hub": ("efficientnet_b0_symmetric", "efficientnet_lite0_symmetric"),
}
TIMM = {
    **{f"efficientnet_b{size}": f"tf_efficientnet_b{size}" for size in range(8)},
    **{
        f"efficientnet_v2_{size}": f"tf_efficientnetv2_{size}"
        for size in ("b0", "b1", "b2", "b3", "s", "m", "l")
    },
    **{f"efficientnet_lite{size}": f"tf_efficientnet_lite{size}" for size in range(5)},
    **{f"efficientnet_b{size}_symmetric": f"efficientnet_b{size}" for size in range(6)},
    "efficientnet_lite0_symmetric": "efficientnet_lite0",
}
# (width, depth) of KerasHub's conversion of timm's networks
KERAS_HUB = {
    "efficientnet_b0_symmetric": (1.0, 1.0),
    "efficientnet_b1_symmetric": (1.0, 1.1),
    "efficientnet_b2_symmetric": (1.1, 1.2),
    "efficientnet_b3_symmetric": (1.2, 1.4),
    "efficientnet_b4_symmetric": (1.4, 1.8),
    "efficientnet_b5_symmetric": (1.6, 2.2),
    "efficientnet_lite0_symmetric": (1.0, 1.0),
}


def of_timm(variant):
    """Layout and pyramid of timm's features_only network, its classification layers listed in the layout as well.

    Computed in float64, so that a difference is never the rounding of a hundred layers of theirs.
    """
    _allow_missing_torchvision()
    import timm
    import torch

    state = timm.create_model(TIMM[variant]).state_dict()
    layout = [
        (name, 0, list(values.shape), _role_in_torch(name, values))
        for name, values in state.items()
        if not name.endswith("num_batches_tracked")
    ]
    model = timm.create_model(TIMM[variant], features_only=True).double().eval()
    values = {name: torch.from_numpy(seeded(name, *rest)) for name, *rest in layout}
    missing, _ = model.load_state_dict(values, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    with torch.inference_mode():
        features = model(torch.from_numpy(image().transpose(0, 3, 1, 2).astype(np.float64)))
    pyramid = {
        f"P{stage}": level.numpy().transpose(0, 2, 3, 1) for stage, level in enumerate(features, start=1)
    }
    return layout, pyramid


def _role_in_torch(name, values):
    if name.endswith("running_var") or (name.endswith("weight") and values.ndim == 1):
        return "scale"
    return str(int(np.prod(values.shape[1:]))) if values.ndim > 1 else "offset"


def _allow_missing_torchvision():
    """timm imports torchvision for data loading only, and a CPU build of torch may come without a matching one."""
    try:
        import torchvision  # noqa: F401
    except Exception:
        names = (
            "torchvision",
            "torchvision.transforms",
            "torchvision.transforms.functional",
            "torchvision.datasets",
        )
        for name in names:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__getattr__ = lambda attribute: type(attribute, (), {})


def of_keras_hub(variant):
    """Layout and pyramid of KerasHub's backbone; its P5 lies behind the head, so the last block is taken instead."""
    import keras
    from keras_hub.models import EfficientNetBackbone

    width, depth = KERAS_HUB[variant]
    lite = "lite" in variant
    backbone = EfficientNetBackbone(
        stackwise_width_coefficients=[width] * 7,
        stackwise_depth_coefficients=[depth] * 7,
        stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        stackwise_num_repeats=[1, 2, 2, 3, 3, 4, 1],
        stackwise_input_filters=[32, 16, 24, 40, 80, 112, 192],
        stackwise_output_filters=[16, 24, 40, 80, 112, 192, 320],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
        stackwise_squeeze_and_excite_ratios=[0 if lite else 0.25] * 7,
        stackwise_block_types=["v1"] * 7,
        min_depth=None,
        use_depth_divisor_as_min_depth=True,
        cap_round_filter_decrease=True,
        activation="relu6" if lite else "swish",
        dropout=0,
    )
    layout = []
    for layer in backbone.layers:
        values = []
        for index, variable in enumerate(layer.weights):
            shape = list(variable.shape)
            role = _role_in_keras(layer, index, shape)
            layout.append((layer.name, index, shape, role))
            values.append(seeded(layer.name, index, shape, role))
        layer.set_weights(values)
    levels = {level: backbone.pyramid_outputs[level] for level in ("P1", "P2", "P3", "P4")}
    levels["P5"] = backbone.get_layer("top_conv").input
    pyramid = keras.Model(backbone.inputs, levels)(image(), training=False)
    return layout, {level: np.asarray(features) for level, features in pyramid.items()}


def _role_in_keras(layer, index, shape):
    if len(shape) == 1:
        return "scale" if type(layer).__name__ == "BatchNormalization" and index in (0, 3) else "offset"
    return str(int(np.prod(shape[:2] if type(layer).__name__ == "DepthwiseConv2D" else shape[:3])))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=tuple(COMMITTED))
    parser.add_argument("--all", action="store_true", help="every size instead of the committed few")
    parser.add_argument("--folder", type=Path, default=GOLDEN)
    arguments = parser.parse_args()
    made_by, every = {"timm": (of_timm, TIMM), "keras_hub": (of_keras_hub, KERAS_HUB)}[arguments.source]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for wanted in every if arguments.all else COMMITTED[arguments.source]:
        path = arguments.folder / f"{arguments.source}_{wanted}.npz"
        write(path, wanted, arguments.source, *made_by(wanted))
        print(f"{path.name}: {path.stat().st_size:,} bytes", flush=True)
