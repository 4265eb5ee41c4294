"""Lite R-ASPP, the head of MobileNetV3.

"Searching for MobileNetV3", arXiv:1905.02244, section 6.4 and figure 10: deep features are scaled by a gate that sees
(nearly) the whole map, then classified; a second classifier on shallower features adds detail.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.errors import ModelError
from registry.models.layers import ResizeLike, bilinear_upsampling, conv_bn_relu
from registry.models.segmenter import CLASSIFIER
from registry_heads.levels import upsampling

__all__ = ["logits"]

layers = keras.layers


def logits(encoder: Any, config: Any, num_classes: int) -> Any:
    """Append LR-ASPP: W_high·up(f ⊙ σ(G·pool(x))) + W_low·low, f = ReLU(BN(F·x)).

    The high-level classifier runs before the upsampling, with which it commutes.

    Args:
        encoder: functional model with `pyramid_outputs` and `level_strides`.
        config: `LrAsppConfig`.
        num_classes: number of classes.

    Returns:
        `KerasTensor` (batch, h, w, num_classes) at the stride of the low-level features.

    Raises:
        ModelError: windows of a map whose size is open, or levels in the wrong order.
    """
    pyramid = encoder.pyramid_outputs
    high, low = pyramid[config.high_level_feature_key], pyramid[config.low_level_feature_key]
    factor = upsampling(encoder, config.high_level_feature_key, config.low_level_feature_key)
    features = conv_bn_relu(
        high,
        config.filters,
        names=("lr_aspp_conv", "lr_aspp_bn", "lr_aspp_relu"),
        batch_norm=config.batch_norm.model_dump(),
    )
    gated = layers.Multiply(name="lr_aspp_gated")([features, _gate(high, features, config)])
    deep = layers.Conv2D(num_classes, 1, name=f"{CLASSIFIER}_high")(gated)
    deep = bilinear_upsampling(deep, factor, name="lr_aspp_upsampling")
    shallow = layers.Conv2D(num_classes, 1, name=f"{CLASSIFIER}_low")(low)
    return layers.Add(name="lr_aspp_sum")([deep, shallow])


def _gate(high: Any, features: Any, config: Any) -> Any:
    """Average the map, as a whole or over windows, and make a factor in 0…1 of it for each channel."""
    if config.pooling == "global":
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name="lr_aspp_pool")(high)
        return _factors(pooled, config.filters)
    sides = high.shape[1:3]
    if None in sides:
        raise ModelError(
            "pooling by windows needs a fixed input size, since windows are cut to the map",
            received=f"features of shape {tuple(high.shape)}",
            repair="pass image_shape=(height, width, 3), or write `pooling: global`",
        )
    window = tuple(min(size, side) for size, side in zip(config.pooling.size, sides, strict=True))
    pooled = layers.AveragePooling2D(window, strides=config.pooling.stride, name="lr_aspp_pool")(high)
    return ResizeLike(name="lr_aspp_gate_resizing")([_factors(pooled, config.filters), features])


def _factors(pooled: Any, filters: int) -> Any:
    gate = layers.Conv2D(filters, 1, use_bias=False, name="lr_aspp_gate_conv")(pooled)
    return layers.Activation("sigmoid", name="lr_aspp_gate")(gate)
