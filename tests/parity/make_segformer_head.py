"""Write what KerasHub's SegFormer head makes of given features: `python make_segformer_head.py`, with keras-hub.

The golden file holds the features of a small Mix Transformer, the head's weights and the segmenter's output; the test in
tests/heads/ holds ours against it.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_hub
import numpy as np

TARGET = Path(__file__).parent / "segformer_head.npz"
SIZE, CLASSES, FILTERS = (64, 64), 5, 12  # KerasHub's attention takes squares only


def main() -> None:
    """Build, randomize, run, write."""
    rng = np.random.default_rng(7)
    encoder = keras_hub.models.MiTBackbone(
        image_shape=(*SIZE, 3),
        num_layers=4,
        hidden_dims=[4, 6, 8, 10],
        layerwise_num_heads=[1, 1, 2, 2],
        layerwise_sr_ratios=[8, 4, 2, 1],
        layerwise_patch_sizes=[7, 3, 3, 3],
        layerwise_strides=[4, 2, 2, 2],
        layerwise_depths=[1, 1, 1, 1],
        max_drop_path_rate=0.1,
    )
    backbone = keras_hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=FILTERS)
    segmenter = keras_hub.models.SegFormerImageSegmenter(backbone=backbone, num_classes=CLASSES)
    for weight in segmenter.weights:
        positive = any(part in weight.path for part in ("variance", "gamma"))
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(0, 0.3, weight.shape))

    images = rng.normal(size=(2, *SIZE, 3)).astype(np.float32)
    features = keras.Model(encoder.inputs, encoder.pyramid_outputs)(images)
    convolution, normalization, _ = backbone.linear_fuse.layers
    arrays = {f"feature_{level}": np.asarray(value) for level, value in features.items()}
    for level, layer in zip(features, backbone.mlp_blocks, strict=True):
        kernel, bias = layer.get_weights()
        arrays |= {f"linear_{level}_kernel": kernel, f"linear_{level}_bias": bias}
    arrays["fuse_kernel"] = convolution.get_weights()[0]
    for name, value in zip(("gamma", "beta", "mean", "variance"), normalization.get_weights(), strict=True):
        arrays[f"norm_{name}"] = value
    arrays["classifier_kernel"], arrays["classifier_bias"] = segmenter.output_segmentation_head.get_weights()
    arrays["output"] = np.asarray(segmenter(images, training=False))
    np.savez_compressed(TARGET, **arrays)
    print(TARGET, TARGET.stat().st_size, {name: value.shape for name, value in arrays.items()})


if __name__ == "__main__":
    main()
