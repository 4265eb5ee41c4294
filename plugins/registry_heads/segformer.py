"""SegFormer's all-MLP head.

"SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", arXiv:2105.15203, section 3.2: a
linear map of each level, all brought to one size, concatenated, fused by another. KerasHub's `SegFormerBackbone` and
`SegFormerImageSegmenter` are the reference for order, biases and normalization.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.layers import bilinear_upsampling, conv_bn_relu
from registry.models.segmenter import CLASSIFIER
from registry_heads.levels import deepest_first, upsampling

__all__ = ["logits"]

layers = keras.layers


def logits(encoder: Any, config: Any, num_classes: int) -> Any:
    """Append the head; a linear map of channels is a 1×1 convolution.

    Args:
        encoder: functional model with `pyramid_outputs` and `level_strides`.
        config: `SegFormerConfig`.
        num_classes: number of classes.

    Returns:
        `KerasTensor` (batch, h, w, num_classes) at the stride of the shallowest level.
    """
    keys = deepest_first(config.feature_keys)
    blocks = []
    for key in keys:
        name = key.lower()
        x = layers.Conv2D(config.filters, 1, name=f"segformer_linear_{name}")(encoder.pyramid_outputs[key])
        factor = upsampling(encoder, key, keys[-1])
        blocks.append(bilinear_upsampling(x, factor, name=f"segformer_upsampling_{name}"))
    x = blocks[0] if len(blocks) == 1 else layers.Concatenate(name="segformer_concat")(blocks)
    x = conv_bn_relu(
        x,
        config.filters,
        names=("segformer_fuse", "segformer_fuse_bn", "segformer_fuse_relu"),
        batch_norm=config.batch_norm.model_dump(),
    )
    x = layers.Dropout(config.dropout, name="segformer_dropout")(x)
    return layers.Conv2D(num_classes, 1, name=CLASSIFIER)(x)
