"""Feature pyramid network with the semantic branch of Panoptic FPN.

"Feature Pyramid Networks for Object Detection", arXiv:1612.03144, and "Panoptic Feature Pyramid Networks",
arXiv:1901.02446, section 3 and figure 3; batch normalization stands where the latter has group normalization, since it
folds into the convolution.
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
    """Append the pyramid, its semantic branch and the classifier.

    Args:
        encoder: functional model with `pyramid_outputs` and `level_strides`.
        config: `FpnConfig`.
        num_classes: number of classes.

    Returns:
        `KerasTensor` (batch, h, w, num_classes) at the stride of the shallowest level.
    """
    keys = deepest_first(config.feature_keys)
    pyramid = _top_down(encoder, keys, config.pyramid_filters)
    branches = [
        _semantic_branch(pyramid[key], key, upsampling(encoder, key, keys[-1]), config) for key in keys
    ]
    x = branches[0] if len(branches) == 1 else layers.Add(name="fpn_sum")(branches)
    x = layers.Dropout(config.dropout, name="fpn_dropout")(x)
    return layers.Conv2D(num_classes, 1, name=CLASSIFIER)(x)


def _top_down(encoder: Any, keys: list[str], filters: int) -> dict[str, Any]:
    """Each level, reduced to `filters` channels, plus the nearest upsampling of the level below; then 3×3."""
    outputs: dict[str, Any] = {}
    below, merged = "", None
    for key in keys:
        name = key.lower()
        lateral = layers.Conv2D(filters, 1, name=f"fpn_lateral_{name}")(encoder.pyramid_outputs[key])
        if merged is None:
            merged = lateral
        else:
            factor = upsampling(encoder, below, key)
            if factor > 1:
                merged = layers.UpSampling2D(factor, name=f"fpn_top_down_{name}")(merged)
            merged = layers.Add(name=f"fpn_add_{name}")([lateral, merged])
        outputs[key] = layers.Conv2D(filters, 3, padding="same", name=f"fpn_output_{name}")(merged)
        below = key
    return outputs


def _semantic_branch(x: Any, key: str, factor: int, config: Any) -> Any:
    """3×3 convolution and bilinear ×2 until the shallowest level's size is reached; one convolution at least."""
    number = 0
    while number == 0 or factor > 1:
        number += 1
        prefix = f"fpn_semantic_{key.lower()}_{number}"
        x = conv_bn_relu(
            x,
            config.filters,
            3,
            names=(f"{prefix}_conv", f"{prefix}_bn", f"{prefix}_relu"),
            batch_norm=config.batch_norm.model_dump(),
        )
        if factor > 1:
            x = bilinear_upsampling(x, 2, name=f"{prefix}_upsampling")
            factor //= 2
    return x
