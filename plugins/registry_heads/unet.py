"""U-Net's expanding path on the levels of any encoder.

"U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv:1505.04597: upsample, join the level of that
size, convolve. As usual with an encoder in place of the contracting path, convolutions keep their size and are
normalized, and upsampling has no weights.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.layers import conv_bn_relu
from registry.models.segmenter import CLASSIFIER
from registry_heads.levels import deepest_first, upsampling

__all__ = ["logits"]

layers = keras.layers


def logits(encoder: Any, config: Any, num_classes: int) -> Any:
    """Append one block per joined level, one at the input's resolution if the config has it, and the classifier.

    Args:
        encoder: functional model with `pyramid_outputs` and `level_strides`.
        config: `UNetConfig`.
        num_classes: number of classes.

    Returns:
        `KerasTensor` (batch, h, w, num_classes), at the input's size or the stride of the shallowest level.
    """
    below, *joined = deepest_first(config.feature_keys)
    x = encoder.pyramid_outputs[below]
    for number, filters in enumerate(config.decoder_filters, start=1):
        prefix = f"unet_block{number}"
        key = joined[number - 1] if number <= len(joined) else None
        factor = upsampling(encoder, below, key) if key else encoder.level_strides[below]
        if factor > 1:
            x = layers.UpSampling2D(factor, interpolation=config.interpolation, name=f"{prefix}_upsampling")(
                x
            )
        if key is not None:
            x = layers.Concatenate(name=f"{prefix}_concat")([x, encoder.pyramid_outputs[key]])
            below = key
        for convolution in range(1, config.convolutions + 1):
            x = conv_bn_relu(
                x,
                filters,
                3,
                names=tuple(f"{prefix}_{part}{convolution}" for part in ("conv", "bn", "relu")),  # type: ignore[arg-type]
                batch_norm=config.batch_norm.model_dump(),
            )
    return layers.Conv2D(num_classes, 1, name=CLASSIFIER)(x)
