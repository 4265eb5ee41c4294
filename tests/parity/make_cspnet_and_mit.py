"""Write KerasHub directories of CSPNet and MiT encoders with random weights, and KerasHub's own pyramids beside them.

Runs in an environment of its own (`pip install keras-hub==0.32.0 tensorflow`), never in the test environment:

    python tests/parity/make_cspnet_and_mit.py small tests/parity/cspnet_and_mit
    python tests/parity/make_cspnet_and_mit.py full /somewhere/with/space

`small` is what the repository carries, one archive per network, since HDF5 is mostly empty space for few filters.
`full` holds the published sizes, as folders; `check_cspnet_and_mit.py` compares either. All is drawn from a seeded
generator.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_hub
import numpy as np

CSP_DARKNET = {
    "stem_filters": 32,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stem_padding": "same",
    "stackwise_depth": [1, 2, 8, 8, 4],
    "stackwise_strides": [2, 2, 2, 2, 2],
    "stackwise_num_filters": [64, 128, 256, 512, 1024],
    "block_type": "dark_block",
    "stage_type": "csp",
    "bottle_ratio": [0.5, 1.0],
    "block_ratio": [1.0, 0.5],
    "expand_ratio": [2.0, 1.0],
    "down_growth": True,
}
DARKNET = {
    **CSP_DARKNET,
    "stage_type": "dark",
    "bottle_ratio": [0.5],
    "block_ratio": [1.0],
    "expand_ratio": [1.0],
    "down_growth": False,
}
CSP_RESNET = {
    "stem_filters": 64,
    "stem_kernel_size": 7,
    "stem_strides": 4,
    "stem_pooling": "max",
    "stackwise_depth": [3, 3, 5, 2],
    "stackwise_strides": [1, 2, 2, 2],
    "stackwise_num_filters": [128, 256, 512, 1024],
    "block_type": "bottleneck_block",
    "stage_type": "csp",
    "bottle_ratio": [0.5],
    "block_ratio": [1.0],
    "expand_ratio": [2.0],
    "cross_linear": True,
}
CSP_RESNEXT = {
    **CSP_RESNET,
    "stackwise_num_filters": [256, 512, 1024, 2048],
    "bottle_ratio": [1.0],
    "block_ratio": [0.5],
    "expand_ratio": [1.0],
    "groups": 32,
}
MIT_B0 = {
    "layerwise_depths": [2, 2, 2, 2],
    "num_layers": 4,
    "layerwise_num_heads": [1, 2, 5, 8],
    "layerwise_sr_ratios": [8, 4, 2, 1],
    "max_drop_path_rate": 0.1,
    "layerwise_patch_sizes": [7, 3, 3, 3],
    "layerwise_strides": [4, 2, 2, 2],
    "hidden_dims": [32, 64, 160, 256],
}

CSPNET, MIT = keras_hub.models.CSPNetBackbone, keras_hub.models.MiTBackbone
# Rows from which on a level is stored thinned out.
THINNED_FROM = 12
SMALL_SIZES, FULL_SIZES = ((32, 32), (40, 51)), ((128, 128), (160, 224))

# name → (class, arguments, image sizes); a KerasHub MiT has one square size
SMALL = {
    "csp_dark": (
        CSPNET,
        {**CSP_DARKNET, "stem_filters": 4, "stackwise_depth": [1, 1, 2, 1, 1]}
        | {"stackwise_num_filters": [4, 4, 8, 8, 12]},
        SMALL_SIZES,
    ),
    "csp_bottleneck_grouped": (
        CSPNET,
        {**CSP_RESNEXT, "stem_filters": 8, "groups": 4, "stackwise_depth": [1, 2, 1, 1]}
        | {"stackwise_num_filters": [8, 16, 16, 16]},
        SMALL_SIZES,
    ),
    "dark_dark": (
        CSPNET,
        {**DARKNET, "stem_filters": [4], "stackwise_depth": [1, 1, 2, 1, 1]}
        | {"stackwise_num_filters": [4, 4, 8, 8, 12], "activation": "relu"},
        SMALL_SIZES,
    ),
    "cs3_edge_average": (
        CSPNET,
        {**CSP_RESNET, "stem_filters": [4, 6], "stem_kernel_size": 3, "stem_pooling": None, "avg_down": True}
        | {"stage_type": "cs3", "block_type": "edge_block", "activation": "silu", "cross_linear": False}
        | {"stackwise_num_filters": [8, 12, 16, 8], "stackwise_depth": [1, 1, 2, 1], "groups": 2},
        SMALL_SIZES,
    ),
    "dark_bottleneck_average": (
        CSPNET,
        {**DARKNET, "stem_filters": 6, "stackwise_depth": [1, 1, 1, 1, 1], "avg_down": True}
        | {"stackwise_strides": [2, 2, 1, 2, 2], "stackwise_num_filters": [4, 8, 8, 12, 12]}
        | {"block_type": "bottleneck_block", "activation": "hard_silu"},
        SMALL_SIZES,
    ),
    "mit": (
        MIT,
        {**MIT_B0, "layerwise_depths": [1, 2, 1, 1], "hidden_dims": [4, 6, 9, 8]}
        | {"layerwise_num_heads": [1, 2, 3, 4]},
        ((64, 64),),
    ),
    "mit_three_stages": (
        MIT,
        {**MIT_B0, "layerwise_depths": [1, 1, 1], "hidden_dims": [6, 8, 4], "num_layers": 3}
        | {"layerwise_num_heads": [2, 2, 1], "layerwise_sr_ratios": [4, 1, 2]}
        | {"layerwise_patch_sizes": [5, 3, 3], "layerwise_strides": [4, 2, 2]},
        ((96, 96),),
    ),
}
FULL = {
    "csp_darknet_53": (CSPNET, CSP_DARKNET, FULL_SIZES),
    "csp_resnet_50": (CSPNET, CSP_RESNET, FULL_SIZES),
    "csp_resnext_50": (CSPNET, CSP_RESNEXT, FULL_SIZES),
    "darknet_53": (CSPNET, DARKNET, FULL_SIZES),
    "mit_b0": (MIT, MIT_B0, ((256, 256),)),
    "mit_b2": (
        MIT,
        {**MIT_B0, "layerwise_depths": [3, 4, 6, 3], "hidden_dims": [64, 128, 320, 512]},
        ((128, 128),),
    ),
}


def randomize(model, seed):
    """Draw weights that keep activations in range, batch-norm statistics included; 11 bits of mantissa each."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        shape, kind = variable.shape, variable.path.rsplit("/", 1)[-1]
        if kind == "gamma":
            value = generator.uniform(0.5, 1.5, shape)
        elif kind == "moving_variance":
            value = generator.uniform(0.5, 2.0, shape)
        elif kind in ("beta", "bias", "moving_mean"):
            value = generator.normal(0.0, 0.2, shape)
        else:
            # A depthwise kernel has its channels where others have their inputs.
            inputs = shape[:2] if "depthwise" in variable.path else shape[:-1]
            value = generator.normal(0.0, np.sqrt(2.0 / np.prod(inputs)), shape)
        variable.assign(value.astype(np.float16).astype(np.float32))


def golden(model, sizes, seed):
    """Images, and KerasHub's pyramid at each size; a level is named after its stride, the last of a stride wins.

    Images are small integers, which compress. Of large levels every third pixel of rows and columns tells as much.
    """
    generator = np.random.default_rng(seed)
    pyramid = keras.Model(model.inputs, dict(model.pyramid_outputs))
    probe = model.input_shape[1] or 256
    shapes = pyramid.compute_output_shape((1, probe, probe, 3))
    levels = {name: int(np.log2(probe // shape[1])) for name, shape in shapes.items()}
    stored = {}
    for height, width in sizes:
        image = generator.integers(-2, 3, (1, height, width, 3)).astype(np.int8)
        key = f"{height}x{width}"
        stored[f"image_{key}"] = image
        for name, output in pyramid(image.astype(np.float32), training=False).items():
            step = 3 if output.shape[1] > THINNED_FROM else 1
            stored[f"P{levels[name]}_{key}"] = np.asarray(output)[:, ::step, ::step]
    return stored


def write(name, recipe, folder, seed, *, archive):
    """Save one directory with its `golden.npz`; as `<name>.zip` if asked to."""
    cls, arguments, sizes = recipe
    if cls is MIT:
        arguments = {**arguments, "image_shape": (*sizes[0], 3)}
    model = cls(**arguments)
    randomize(model, seed)
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary, name) if archive else folder / name
        model.save_to_preset(str(target))
        np.savez_compressed(target / "golden.npz", **golden(model, sizes, seed + 1))
        if archive:
            shutil.make_archive(str(folder / name), "zip", target)
    print(f"{name}: {model.count_params():,} parameters, keras-hub {keras_hub.__version__}")


def main():
    """Write every network of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=("small", "full"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    small = arguments.size == "small"
    for seed, (name, recipe) in enumerate((SMALL if small else FULL).items()):
        write(name, recipe, arguments.folder, seed, archive=small)
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
