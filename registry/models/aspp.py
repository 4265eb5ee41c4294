"""Atrous spatial pyramid pooling (ASPP).

"Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587, section 3.3; its separable form
from "Encoder-Decoder with Atrous Separable Convolution", arXiv:1802.02611. Layers are named as inside KerasHub's
`SpatialPyramidPooling`, so that its weights load by name.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from registry.backend import keras
from registry.models.layers import ResizeLike, conv_bn_relu, separable_conv_bn_relu
from registry.models.rates import PAPER_RATES

__all__ = ["PAPER_RATES", "atrous_spatial_pyramid_pooling"]


def atrous_spatial_pyramid_pooling(
    x: Any,
    dilation_rates: Sequence[int],
    *,
    filters: int = 256,
    separable: bool = False,
    depthwise_norm: bool = True,
    image_pooling: bool = True,
    output_convolution: str = "none",
    dropout: float = 0.0,
    batch_norm: dict[str, float] | None = None,
    activation: str = "relu",
) -> Any:
    """Append ASPP: a 1×1 branch, one 3×3 branch per rate, image pooling; concatenate; project by 1×1.

    Args:
        x: `KerasTensor` (batch, height, width, channels), the deepest features.
        dilation_rates: atrous rate of each 3×3 branch; empty for none of them.
        filters: channels of each branch and of the projection.
        separable: make the 3×3 branches depthwise separable.
        depthwise_norm: normalize and activate between the halves of separable convolutions.
        image_pooling: include the branch of globally averaged features.
        output_convolution: 3×3 convolution after the dropout: `none`, `plain` or `separable`.
        dropout: rate after the projection.
        batch_norm: `momentum` and `epsilon` of every normalization.
        activation: after every normalization, a key of `registry.models.activations.ACTIVATIONS`.

    Returns:
        `KerasTensor` (batch, height, width, filters).
    """
    common: dict[str, Any] = {"batch_norm": batch_norm, "activation": activation}
    branches = [conv_bn_relu(x, filters, 1, names=_names("aspp", 1), **common)]
    separable_convolution = functools.partial(separable_conv_bn_relu, depthwise_norm=depthwise_norm)
    atrous_branch = separable_convolution if separable else conv_bn_relu
    for number, rate in enumerate(dilation_rates, start=2):
        branches.append(
            atrous_branch(x, filters, 3, dilation_rate=rate, names=_names("aspp", number), **common)
        )
    if image_pooling:
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="average_pooling")(x)
        pooled = conv_bn_relu(
            pooled, filters, 1, names=("conv_pooling", "bn_pooling", "activation_pooling"), **common
        )
        branches.append(ResizeLike(name="resizing")([pooled, x]))
    x = keras.layers.Concatenate(name="aspp_concat")(branches) if len(branches) > 1 else branches[0]
    x = conv_bn_relu(
        x, filters, 1, names=("conv_projection", "bn_projection", "activation_projection"), **common
    )
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    if output_convolution == "none":
        return x
    last = separable_convolution if output_convolution == "separable" else conv_bn_relu
    return last(
        x, filters, 3, names=("aspp_conv_output", "aspp_bn_output", "aspp_activation_output"), **common
    )


def _names(prefix: str, number: int) -> tuple[str, str, str]:
    return f"{prefix}_conv_{number}", f"{prefix}_bn_{number}", f"{prefix}_activation_{number}"
