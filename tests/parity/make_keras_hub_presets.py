"""Write KerasHub preset directories with random weights and KerasHub's own outputs beside them.

Runs in an environment of its own (`pip install keras-hub==0.32.0 tensorflow`), never in the test environment:

    python tests/parity/make_keras_hub_presets.py small tests/parity/keras_hub_presets
    python tests/parity/make_keras_hub_presets.py full /somewhere/with/space

`small` is what the repository carries: networks of KerasHub's shape with few filters. `full` holds the sizes that
people use, for `check_keras_hub_parity.py`. Everything is drawn from a seeded generator.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_hub
import numpy as np

SIZES = ((64, 64), (96, 128))
FULL_SIZES = ((128, 128), (192, 256))


def resnet(filters, blocks, *, block_type="bottleneck_block", pre_activation=False, vd=False):
    """A KerasHub ResNet; vd has the three-convolution stem."""
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[32, 32, 64] if vd else [64],
        input_conv_kernel_sizes=[3, 3, 3] if vd else [7],
        stackwise_num_filters=filters,
        stackwise_num_blocks=blocks,
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=block_type + ("_vd" if vd else ""),
        use_pre_activation=pre_activation,
    )


def deeplab(encoder, *, rates, low_level="P2", num_classes=None):
    """A KerasHub DeepLab backbone, or the segmenter around it."""
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        projection_filters=48,
        low_level_feature_key=low_level,
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=rates,
    )
    if num_classes is None:
        return backbone
    return keras_hub.models.DeepLabV3ImageSegmenter(backbone=backbone, num_classes=num_classes)


SMALL = {
    "resnet_v1_segmenter": lambda: deeplab(
        resnet([64, 8, 8, 8], [1, 2, 1, 1], block_type="basic_block"), rates=[1, 3], num_classes=4
    ),
    "resnet_v2_backbone": lambda: deeplab(
        resnet([64, 4, 4, 4], [1, 1, 1, 1], pre_activation=True), rates=[2], low_level=None
    ),
    "resnet_vd_segmenter": lambda: deeplab(
        resnet([64, 4, 4, 4], [1, 1, 1, 2], vd=True), rates=[2], num_classes=3
    ),
    "resnet_vd_backbone_sharded": lambda: deeplab(
        resnet([64, 4, 4, 4], [1, 1, 1, 1], block_type="basic_block", vd=True), rates=[2]
    ),
}
FULL = {
    "resnet_50_segmenter": lambda: deeplab(
        resnet([64, 128, 256, 512], [3, 4, 6, 3]), rates=[6, 12, 18], num_classes=21
    ),
    "resnet_101_backbone": lambda: deeplab(resnet([64, 128, 256, 512], [3, 4, 23, 3]), rates=[6, 12, 18]),
    "resnet_18_segmenter": lambda: deeplab(
        resnet([64, 128, 256, 512], [2, 2, 2, 2], block_type="basic_block"), rates=[6, 12, 18], num_classes=21
    ),
    "resnet_v2_50_segmenter": lambda: deeplab(
        resnet([64, 128, 256, 512], [3, 4, 6, 3], pre_activation=True), rates=[6, 12, 18], num_classes=21
    ),
    "resnet_v2_50_v3_backbone": lambda: deeplab(
        resnet([64, 128, 256, 512], [3, 4, 6, 3], pre_activation=True), rates=[6, 12, 18], low_level=None
    ),
    "resnet_vd_50_segmenter": lambda: deeplab(
        resnet([64, 128, 256, 512], [3, 4, 6, 3], vd=True), rates=[6, 12, 18], num_classes=21
    ),
    "resnet_vd_18_backbone": lambda: deeplab(
        resnet([64, 128, 256, 512], [2, 2, 2, 2], block_type="basic_block", vd=True), rates=[6, 12, 18]
    ),
}


def randomize(model, seed):
    """Draw weights that keep activations in range, batch-norm statistics included.

    Values keep 11 bits of mantissa so that the committed files compress.
    """
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        shape, kind = variable.shape, variable.path.rsplit("/", 1)[-1]
        if kind == "gamma":
            value = generator.uniform(0.5, 1.5, shape)
        elif kind == "moving_variance":
            value = generator.uniform(0.5, 2.0, shape)
        elif kind in ("beta", "moving_mean"):
            value = generator.normal(0.0, 0.2, shape)
        else:
            value = generator.normal(0.0, np.sqrt(2.0 / np.prod(shape[:-1])), shape)
        variable.assign(value.astype(np.float16).astype(np.float32))


def write(name, model, folder, sizes, seed):
    """Save one preset directory and `golden.npz`: images and KerasHub's outputs at each size."""
    randomize(model, seed)
    target = folder / name
    options = {"max_shard_size": 0.001} if name.endswith("_sharded") else {}
    model.save_to_preset(str(target), **options)
    generator = np.random.default_rng(seed + 1)
    golden = {}
    for height, width in sizes:
        image = generator.integers(0, 256, (1, height, width, 3)).astype(np.float32) / 127.5 - 1.0
        golden[f"image_{height}x{width}"] = image.astype(np.float16)
        output = model(image.astype(np.float16).astype(np.float32), training=False)
        output = np.asarray(output)
        # A backbone's features at full resolution are many: every fourth pixel of the first 16 channels tells as much.
        golden[f"output_{height}x{width}"] = output if output.shape[-1] < 64 else output[:, ::4, ::4, :16]
    np.savez_compressed(target / "golden.npz", **golden)
    parameters = sum(int(np.prod(v.shape)) for v in model.weights)
    print(f"{name}: {parameters:,} parameters, keras-hub {keras_hub.__version__}, keras {keras.__version__}")


def main():
    """Write every directory of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=("small", "full"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    recipes, sizes = (SMALL, SIZES) if arguments.size == "small" else (FULL, FULL_SIZES)
    for seed, (name, recipe) in enumerate(recipes.items()):
        write(name, recipe(), arguments.folder, sizes, seed)
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
