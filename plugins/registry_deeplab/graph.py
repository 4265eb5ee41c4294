"""The DeepLab that a preset's configuration describes."""

from __future__ import annotations

from typing import Any

from registry.architecture import SegmenterArguments
from registry.models.deeplab_v3 import DeepLabV3Backbone, DeepLabV3ImageSegmenter
from registry.models.rates import PAPER_RATES

__all__ = ["deeplab_segmenter"]


def deeplab_segmenter(encoder: Any, config: Any, arguments: SegmenterArguments) -> DeepLabV3ImageSegmenter:
    """Continue an encoder's graph to DeepLabV3, or to DeepLabV3+ where the config has a low-level feature.

    Args:
        encoder: functional model with `pyramid_outputs`, `level_strides` and `output_stride`.
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arguments: classes, activation, preprocessor and name.
    """
    low_level = getattr(config, "low_level_feature_key", None)
    rates, size = config.dilation_rates, config.upsampling_size
    if size == "auto":
        strides = encoder.level_strides
        size = max(1, strides[config.spatial_pyramid_pooling_key] // strides[low_level]) if low_level else 1
    backbone = DeepLabV3Backbone(
        encoder,
        spatial_pyramid_pooling_key=config.spatial_pyramid_pooling_key,
        upsampling_size=size,
        dilation_rates=PAPER_RATES[encoder.output_stride] if rates == "auto" else rates,
        low_level_feature_key=low_level,
        projection_filters=getattr(config, "projection_filters", 48),
        image_shape=encoder.input_shape[1:],
        aspp_filters=config.aspp.filters,
        aspp_separable=config.aspp.separable,
        aspp_depthwise_norm=config.aspp.depthwise_norm,
        aspp_output_convolution=config.aspp.output_convolution,
        aspp_dropout=config.aspp.dropout,
        aspp_atrous=config.aspp.atrous,
        image_pooling=config.aspp.image_pooling,
        decoder_filters=config.decoder.filters,
        decoder_convolutions=config.decoder.convolutions,
        decoder_kernel_size=config.decoder.kernel_size,
        decoder_separable=config.decoder.separable,
        decoder_depthwise_norm=config.decoder.depthwise_norm,
        batch_norm_momentum=config.batch_norm.momentum,
        batch_norm_epsilon=config.batch_norm.epsilon,
        hidden_activation=config.hidden_activation,
        align_corners=config.align_corners,
    )
    return DeepLabV3ImageSegmenter(
        backbone,
        arguments.num_classes,
        activation=arguments.activation,
        preprocessor=arguments.preprocessor,
        classifier_bias=config.classifier_bias,
        name=arguments.name,
    )
