"""Pyramid scene parsing network.

"Pyramid Scene Parsing Network", arXiv:1612.01105, section 3.2 and figure 3: averages over 1, 2², 3² and 6² regions join
the features that they were made of.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.layers import ResizeLike, conv_bn_relu
from registry.models.segmenter import CLASSIFIER
from registry_heads.pooling import AdaptiveAveragePooling2D

__all__ = ["logits"]

layers = keras.layers


def logits(encoder: Any, config: Any, num_classes: int) -> Any:
    """Append pyramid pooling, a 3×3 convolution and the classifier.

    Args:
        encoder: functional model with `pyramid_outputs`.
        config: `PspNetConfig`.
        num_classes: number of classes.

    Returns:
        `KerasTensor` (batch, h, w, num_classes) at the stride of the pooled level.
    """
    x = encoder.pyramid_outputs[config.feature_key]
    batch_norm = config.batch_norm.model_dump()
    channels = x.shape[-1]
    filters = config.bin_filters if config.bin_filters != "auto" else max(1, channels // len(config.bins))
    blocks = [x]
    for number, bins in enumerate(config.bins, start=1):
        prefix = f"psp_{number}"
        pooled = AdaptiveAveragePooling2D(bins, name=f"{prefix}_pool")(x)
        pooled = conv_bn_relu(
            pooled,
            filters,
            names=(f"{prefix}_conv", f"{prefix}_bn", f"{prefix}_relu"),
            batch_norm=batch_norm,
        )
        blocks.append(ResizeLike(name=f"{prefix}_resizing")([pooled, x]))
    x = layers.Concatenate(name="psp_concat")(blocks)
    x = conv_bn_relu(x, config.filters, 3, names=("psp_conv", "psp_bn", "psp_relu"), batch_norm=batch_norm)
    x = layers.Dropout(config.dropout, name="psp_dropout")(x)
    return layers.Conv2D(num_classes, 1, name=CLASSIFIER)(x)
