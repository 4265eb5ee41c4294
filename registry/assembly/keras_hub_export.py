"""`save_keras_hub`: a model trained here as a preset directory that KerasHub loads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry.assembly.encoder import PyramidEncoder
from registry.atomic import atomic_folder, check_output_folder
from registry.backend import keras
from registry.errors import ModelError
from registry.models.deeplab_v3 import DeepLabV3ImageSegmenter
from registry.models.numbering import group_numbers
from registry.models.preprocessing import SegmentationPreprocessor
from registry.weights.keras_hub_writing import write_directory

__all__ = ["save_keras_hub"]

# What KerasHub's class does, whatever its arguments are.
_FIXED = {
    "aspp_filters": 256,
    "aspp_separable": False,
    "aspp_output_convolution": "none",
    "aspp_atrous": True,
    "image_pooling": True,
    "decoder_filters": 256,
    "decoder_convolutions": 1,
    "decoder_kernel_size": 1,
    "decoder_separable": False,
    "batch_norm_epsilon": 1e-3,
    "hidden_activation": "relu",
    "align_corners": False,
}
_ARGUMENTS = (
    "projection_filters",
    "low_level_feature_key",
    "spatial_pyramid_pooling_key",
    "upsampling_size",
)


def save_keras_hub(model: DeepLabV3ImageSegmenter, directory: str | os.PathLike[str]) -> Path:
    """Save a model as a KerasHub preset directory: `keras_hub.models.ImageSegmenter.from_preset(directory)`.

    KerasHub's model has the same weights and gives the same outputs up to rounding, since it upsamples before its
    classifier. What it does not know is lost: names and colours of the classes, metrics, license.

    Args:
        model: a DeepLabV3 or DeepLabV3+ with a ResNet v1 or vd encoder at output stride 32, ASPP and decoder of
            KerasHub's shape: 256 filters, one 1×1 convolution in the decoder, a classifier without bias.
        directory: the folder to write; it must not exist yet, or be empty.

    Returns:
        The folder, which appears complete or not at all.

    Raises:
        ModelError: KerasHub's classes cannot express the model; says all that differs.
        OutputPathError: the folder cannot be written.
    """
    differences = list(_differences(model))
    if differences:
        raise ModelError(
            "a model can be written for KerasHub if KerasHub's DeepLabV3 classes can express it",
            received="; ".join(differences),
            repair="registry.save_preset keeps any model",
        )
    target = Path(directory)
    check_output_folder(target)
    backbone, encoder = model.backbone, model.encoder
    shape = list(model.input_shape[1:])
    with atomic_folder(target) as folder:
        write_directory(
            folder,
            encoder=_serialized_encoder(encoder, shape),
            backbone={
                **{name: getattr(backbone, name) for name in _ARGUMENTS},
                "dilation_rates": list(backbone.dilation_rates),
                "image_shape": shape,
            },
            task={"num_classes": model.num_classes, "activation": model.activation},
            converter=_converter(model),
            arrays={layer.name: layer.get_weights() for layer in model.layers if layer.weights},
            encoder_groups=_encoder_groups(model),
            parameters=int(backbone.count_params()),
        )
    return target


def _differences(model: Any) -> Iterator[str]:
    """What KerasHub's classes cannot say about a model."""
    if not isinstance(model, DeepLabV3ImageSegmenter):
        yield f"{type(model).__name__} is no DeepLabV3ImageSegmenter"
        return
    for name, fixed in _FIXED.items():
        value = getattr(model.backbone, name)
        if value != fixed:
            yield f"{name} is {value!r}, KerasHub's {fixed!r}"
    if model.classifier_bias:
        yield "the classifier has a bias"
    if model.activation not in (None, "softmax", "sigmoid"):
        yield f"the activation {model.activation!r} has no name"
    preprocessor = model.preprocessor
    if preprocessor is not None and not isinstance(preprocessor, SegmentationPreprocessor):
        yield f"its preprocessor is a {type(preprocessor).__name__}"
    encoder = model.encoder
    if not isinstance(encoder, PyramidEncoder):
        yield f"the encoder is a {type(encoder).__name__} of no plugin"
        return
    if encoder.output_stride != 32:
        yield f"the output stride is {encoder.output_stride}, KerasHub's 32"
    if _serialized_encoder(encoder, []) is None:
        yield f"the encoder {encoder.spec.name!r} with these options is none of KerasHub's that this plugin writes"


def _serialized_encoder(encoder: PyramidEncoder, image_shape: list[int | None]) -> Any:
    spec = encoder.spec
    options = spec.options.model_validate(encoder.get_config()["options"])
    serialized = spec.keras_hub_config and spec.keras_hub_config(options)
    if serialized is None:
        return None
    return {**serialized, "config": {**serialized["config"], "image_shape": image_shape}}


def _encoder_groups(model: DeepLabV3ImageSegmenter) -> dict[str, str]:
    """Encoder's layer name → its group in KerasHub's file, in the order in which Keras walks the graph."""
    backbone = model.backbone
    keys = [key for key in (backbone.low_level_feature_key, backbone.spatial_pyramid_pooling_key) if key]
    walked = keras.Model(model.inputs, {key: backbone.pyramid_outputs[key] for key in keys}).layers
    groups = group_numbers(type(layer).__name__ for layer in walked)
    return {layer.name: group for layer, group in zip(walked, groups, strict=True) if layer.weights}


def _converter(model: DeepLabV3ImageSegmenter) -> dict[str, Any]:
    preprocessor = model.preprocessor or SegmentationPreprocessor()
    fixed = model.input_shape[1:3]
    config = model.preset_config
    size = list(fixed) if None not in fixed else list(config.input.size) if config else None
    return {"image_size": size, "scale": _plain(preprocessor.scale), "offset": _plain(preprocessor.offset)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
