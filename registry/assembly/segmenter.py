"""From a resolved preset to a segmenter with fresh weights: encoder, architecture, classifier, preprocessor."""

from __future__ import annotations

from typing import Any

from registry.architecture import SegmenterArguments
from registry.assembly.encoder import PyramidEncoder
from registry.backend import keras
from registry.catalog import ResolvedPreset, resolve
from registry.config import PresetConfig
from registry.discovery import LoadedArchitecture, find_encoder, load_architecture
from registry.errors import SegmenterContractError
from registry.models.arguments import check_image_shape
from registry.models.base import ImageSegmenter, deserialize
from registry.models.encoder import pyramid_shapes
from registry.models.preprocessing import SegmentationPreprocessor
from registry.models.symbolic import shapes_as_stated
from registry.pyramid import EncoderSpec, reported_stride

__all__ = ["assemble", "restore"]


def assemble(resolved: ResolvedPreset) -> tuple[ImageSegmenter, EncoderSpec]:
    """Assemble the segmenter that a preset describes.

    Returns:
        The model, with fresh weights, and the spec of its encoder.

    Raises:
        PluginError, UnknownEncoderError: the encoder or the architecture cannot serve.
        PyramidContractError, SegmenterContractError: one of them did not deliver what it promised.
        ConfigError, ModelError: the parts do not fit together.
    """
    config = resolved.config
    _, spec = find_encoder(config.encoder.plugin, config.encoder.variant)
    loaded = load_architecture(config.architecture.name)
    options = resolved.encoder_options(spec.options)
    loaded.spec.check_levels(config.architecture, spec.channels_for(options), spec.name)
    deepest = max(
        reported_stride(level, config.encoder.output_stride)
        for level in loaded.spec.levels_for(config.architecture)
    )
    check_image_shape(config.input.image_shape, (deepest, deepest))
    encoder = PyramidEncoder(
        config.encoder.plugin,
        config.encoder.variant,
        config.encoder.output_stride,
        config.input.image_shape,
        options,
    )
    arguments = SegmenterArguments(
        num_classes=config.num_classes,
        activation=config.activation,
        preprocessor=_preprocessor(config, spec),
        name=_model_name(resolved.name),
    )
    model = _built(loaded, encoder, config, arguments)
    model.set_preset_config(config)
    # Imported only where they are wanted: tensorflow-model-optimization takes half a second.
    if config.compression is not None:
        from registry.compression import compressed

        model = compressed(model, config.compression)
    if config.quantization is not None:
        from registry.quantization import quantized

        model = quantized(model, config.quantization)
    return model, spec


def restore(config: dict[str, Any], custom_objects: Any = None) -> ImageSegmenter:
    """Assemble the segmenter that a saved model's configuration describes, with fresh weights.

    Args:
        config: `preset_config`, `preprocessor`, `name` and `trainable`, as `PyramidSegmenter.get_config` gives them.
        custom_objects: of Keras's deserialization.
    """
    model, _ = assemble(resolve(config["preset_config"]))
    model._name = config["name"]
    model.trainable = config["trainable"]
    preprocessor = config["preprocessor"]
    model.preprocessor = preprocessor and deserialize(preprocessor, custom_objects)
    return model


def _built(
    loaded: LoadedArchitecture, encoder: PyramidEncoder, config: PresetConfig, arguments: SegmenterArguments
) -> ImageSegmenter:
    """Let the plugin build, and hold what it delivers against the contract."""
    try:
        with shapes_as_stated():
            model = loaded.build(encoder, config.architecture, arguments)
        _hold_to_contract(model, encoder, arguments.num_classes)
    except SegmenterContractError as error:
        raise SegmenterContractError(
            f"{loaded.origin}: {error.rule}", received=error.received, repair=error.repair
        ) from error
    return model


def _hold_to_contract(model: Any, encoder: PyramidEncoder, num_classes: int) -> None:
    if not isinstance(model, ImageSegmenter):
        raise SegmenterContractError(
            "an architecture must return a registry.ImageSegmenter",
            received=type(model).__name__,
            repair="return registry.models.segmenter.PyramidSegmenter(encoder, logits, arguments)",
        )
    nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if nested:
        raise SegmenterContractError(
            "a segmenter must be one flat graph",
            received=f"with a model nested in it: {', '.join(nested)}",
            repair="apply that model's layers one by one",
        )
    rows, columns = model.size_multiple
    unit = [encoder.spec.min_size + -encoder.spec.min_size % step for step in (rows, columns)]
    sizes = ((2 * unit[0], 3 * unit[1]), (3 * unit[0], 4 * unit[1]))
    for size, shapes in pyramid_shapes(model.inputs[0], {"output": model.outputs[0]}, sizes).items():
        if len(model.outputs) > 1 or tuple(shapes["output"]) != (1, *size, num_classes):
            raise SegmenterContractError(
                "a segmenter's one output must be (batch, height, width, num_classes) at its input's size",
                received=f"{len(model.outputs)} outputs, the first {tuple(shapes['output'])} at input {size} "
                f"for {num_classes} classes",
                repair="return the logits at any integer stride to PyramidSegmenter, which upsamples them",
            )


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
