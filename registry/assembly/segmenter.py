"""From a resolved preset to a segmenter with fresh weights: encoder, architecture, classifier, preprocessor."""

from __future__ import annotations

from registry.assembly.encoder import PyramidEncoder
from registry.catalog import ResolvedPreset
from registry.config import DeepLabV3PlusConfig, PresetConfig
from registry.discovery import find_encoder
from registry.models.arguments import check_image_shape
from registry.models.aspp import PAPER_RATES
from registry.models.deeplab_v3 import DeepLabV3Backbone, DeepLabV3ImageSegmenter
from registry.models.encoder import level_strides
from registry.models.preprocessing import SegmentationPreprocessor
from registry.pyramid import EncoderSpec, reported_stride

__all__ = ["assemble"]


def assemble(resolved: ResolvedPreset) -> tuple[DeepLabV3ImageSegmenter, EncoderSpec]:
    """Assemble the segmenter that a preset describes.

    Returns:
        The model, with fresh weights, and the spec of its encoder.

    Raises:
        PluginError, UnknownEncoderError, PyramidContractError: the encoder cannot serve.
        ConfigError, ModelError: the parts do not fit together.
    """
    config = resolved.config
    _, spec = find_encoder(config.encoder.plugin, config.encoder.variant)
    deepest = reported_stride(config.architecture.spatial_pyramid_pooling_key, config.encoder.output_stride)
    check_image_shape(config.input.image_shape, (deepest, deepest))
    encoder = PyramidEncoder(
        config.encoder.plugin,
        config.encoder.variant,
        config.encoder.output_stride,
        config.input.image_shape,
        resolved.encoder_options(spec.options),
    )
    model = DeepLabV3ImageSegmenter(
        _deeplab_backbone(encoder, config),
        config.num_classes,
        activation=config.activation,
        preprocessor=_preprocessor(config, spec),
        name=_model_name(resolved.name),
    )
    model.set_preset_config(config)
    return model, spec


def _deeplab_backbone(encoder: PyramidEncoder, config: PresetConfig) -> DeepLabV3Backbone:
    architecture = config.architecture
    plus = architecture if isinstance(architecture, DeepLabV3PlusConfig) else None
    low_level = plus.low_level_feature_key if plus else None
    rates = architecture.dilation_rates
    size = architecture.upsampling_size
    return DeepLabV3Backbone(
        encoder,
        spatial_pyramid_pooling_key=architecture.spatial_pyramid_pooling_key,
        upsampling_size=_fitting_upsampling(encoder, architecture.spatial_pyramid_pooling_key, low_level)
        if size == "auto"
        else size,
        dilation_rates=PAPER_RATES[encoder.output_stride] if rates == "auto" else rates,
        low_level_feature_key=low_level,
        projection_filters=plus.projection_filters if plus else 48,
        image_shape=config.input.image_shape,
        aspp_filters=architecture.aspp.filters,
        aspp_separable=architecture.aspp.separable,
        aspp_dropout=architecture.aspp.dropout,
        image_pooling=architecture.aspp.image_pooling,
        decoder_filters=architecture.decoder.filters,
        decoder_convolutions=architecture.decoder.convolutions,
        decoder_kernel_size=architecture.decoder.kernel_size,
        decoder_separable=architecture.decoder.separable,
        batch_norm_momentum=architecture.batch_norm.momentum,
        batch_norm_epsilon=architecture.batch_norm.epsilon,
    )


def _fitting_upsampling(encoder: PyramidEncoder, deep: str, low_level: str | None) -> int:
    pyramid = encoder.pyramid_outputs
    if low_level is None or low_level not in pyramid or deep not in pyramid:
        return 1
    strides = level_strides(encoder.inputs[0], pyramid)
    return max(1, strides[deep][0] // strides[low_level][0])


def _preprocessor(config: PresetConfig, spec: EncoderSpec) -> SegmentationPreprocessor:
    normalization = config.input.normalization
    if normalization == "encoder":
        return SegmentationPreprocessor(scale=spec.normalization.scale, offset=spec.normalization.offset)
    return SegmentationPreprocessor(scale=normalization.scale, offset=normalization.offset)


def _model_name(preset_name: str) -> str:
    """A name that Keras and TensorFlow accept as a scope."""
    return (
        "".join(character if character.isalnum() else "_" for character in preset_name).strip("_")
        or "segmenter"
    )
