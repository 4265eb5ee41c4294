"""From a preset to one flat functional model: catalog → encoder plugin → pyramid check → architecture → weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from registry.backend import keras
from registry.catalog import ResolvedPreset, resolve
from registry.config import DeepLabV3PlusConfig, PresetConfig
from registry.discovery import LoadedPlugin, find_encoder, list_encoders
from registry.errors import (
    ModelError,
    PyramidContractError,
    RegistryWarning,
    UnknownEncoderError,
    WeightsFormatError,
    nearest,
)
from registry.models.aspp import PAPER_RATES
from registry.models.base import Backbone, ImageSegmenter, RegistryModel, untracked
from registry.models.deeplab_v3 import DeepLabV3Backbone, DeepLabV3ImageSegmenter, check_image_shape
from registry.models.encoder import attach_pyramid, level_strides, pyramid_shapes
from registry.models.preprocessing import SegmentationPreprocessor
from registry.pyramid import EncoderSpec, check_pyramid, reported_stride
from registry.weights import keras_hub
from registry.weights.assignment import WeightsReport, assign
from registry.weights.handles import is_handle

__all__ = [
    "Backbone",
    "DeepLabV3Backbone",
    "DeepLabV3ImageSegmenter",
    "ImageSegmenter",
    "PyramidEncoder",
    "SegmentationPreprocessor",
    "build",
    "build_encoder",
    "load_model",
    "model_from_preset",
]

_HEAD = "segmentation_output"


@keras.saving.register_keras_serializable(package="atrous")
class PyramidEncoder(Backbone):
    """An encoder of a plugin as a functional model, held to the pyramid contract when it is built.

    Args:
        plugin: name of the encoder plugin.
        variant: encoder variant of that plugin.
        output_stride: one of the variant's output strides; None takes the undilated network's.
        image_shape: (height, width, 3); None leaves a side open.
        options: the variant's own options, a mapping or its validated model.
        **kwargs: `name` and `trainable` of `tf_keras.Model`.

    Output and `pyramid_outputs`: level → (batch, height ÷ stride, width ÷ stride, channels).

    Raises:
        PluginError: the plugin cannot serve.
        UnknownEncoderError: it has no such variant.
        ModelError: output stride, options or image shape do not fit the variant.
        PyramidContractError: the plugin did not deliver what its `EncoderSpec` promises.
    """

    def __init__(
        self,
        plugin: str,
        variant: str,
        output_stride: int | None = None,
        image_shape: Sequence[int | None] = (None, None, 3),
        options: Mapping[str, Any] | BaseModel | None = None,
        **kwargs: Any,
    ) -> None:
        loaded, spec = find_encoder(plugin, variant)
        stride = _supported_output_stride(spec, output_stride)
        shape = _encoder_image_shape(spec, image_shape)
        validated = options if isinstance(options, BaseModel) else _validated_options(spec, options or {})
        inputs = keras.layers.Input(shape, name="inputs")
        pyramid = dict(loaded.build(variant, inputs, stride, validated))
        _hold_to_contract(loaded, spec, validated, stride, inputs, pyramid)
        super().__init__(inputs=inputs, outputs=pyramid, **kwargs)
        self._remember(
            pyramid,
            spec,
            {
                "plugin": plugin,
                "variant": variant,
                "output_stride": stride,
                "image_shape": shape,
                "options": validated.model_dump(mode="json"),
            },
        )

    @untracked
    def _remember(self, pyramid: dict[str, Any], spec: EncoderSpec, arguments: dict[str, Any]) -> None:
        self.spec = spec
        self._arguments = arguments
        attach_pyramid(self, pyramid)

    @property
    def output_stride(self) -> int:
        """Stride of the deepest level."""
        return int(self._arguments["output_stride"])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-ready."""
        return {"name": self.name, "trainable": self.trainable, **self._arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PyramidEncoder:
        """Rebuild through the plugin of that name."""
        del custom_objects
        return cls(**config)


def build(
    preset: str | os.PathLike[str] | Mapping[str, Any],
    *,
    weights: str | os.PathLike[str] | None = "default",
    num_classes: int | None = None,
    image_shape: Sequence[int | None] | None = None,
    **overrides: Any,
) -> DeepLabV3ImageSegmenter:
    """Build a segmentation model.

    Args:
        preset: name in the catalog, path of a YAML file, mapping, or a KerasHub preset directory or handle.
        weights: `"default"` takes the preset's own: of the whole model if it has them, else the encoder's;
            None leaves all fresh; else a handle (`kaggle://…`, `hf://…`) or the path of a preset directory.
        num_classes: number of classes, background included. Other than the weights', the classifier stays fresh.
        image_shape: (height, width, 3) to fix the input's size.
        **overrides: values that replace the preset's: sections (`encoder={"output_stride": 8}`), dotted
            (`**{"encoder.output_stride": 8}`) or unambiguous keys (`output_stride=8`).

    Returns:
        A flat functional `tf_keras.Model`, (batch, height, width, 3) → logits (batch, height, width,
        num_classes). `preset_config` holds the resolved configuration, `weights_report` what was loaded,
        `preprocessor` how pixels in 0…255 become inputs; `predict` applies it.

    Raises:
        CatalogError: the preset is unknown or wrong.
        PluginError, UnknownEncoderError, PyramidContractError: the encoder cannot serve.
        ModelError: the parts do not fit together.
        WeightsError: the weights cannot be fetched, read or assigned; nothing is loaded half.
    """
    directory = None
    if is_handle(preset) or keras_hub.is_preset_directory(preset):
        directory = keras_hub.open_preset(preset, weights=weights == "default")  # type: ignore[arg-type]
        preset = _mapping_of(directory, num_classes)
        weights = directory.source if weights == "default" else weights
    if num_classes is not None:
        overrides["num_classes"] = num_classes
    if image_shape is not None:
        overrides["input.image_shape"] = list(image_shape)
    resolved = resolve(preset, overrides=overrides)
    model, spec = _assemble(resolved)
    report = _load_weights(model, spec, weights, head_may_differ=num_classes is not None)
    model.set_weights_report(report)
    return model


def build_encoder(
    plugin: str,
    variant: str,
    *,
    output_stride: int | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> PyramidEncoder:
    """Build an encoder alone, for instance as `image_encoder` of `DeepLabV3Backbone`.

    Args:
        plugin: name of the encoder plugin, `resnet`.
        variant: encoder variant, `resnet_50`.
        output_stride: 8, 16 or 32 as far as the variant supports it; None takes the undilated network's.
        image_shape: (height, width, 3); None leaves a side open.
        weights: None, a name among the variant's weight sources (`imagenet`), a handle or a path.
        **options: the variant's own options, e.g. `multi_grid=[1, 2, 4]`.

    Returns:
        A functional model with `pyramid_outputs`, level → tensor.

    Raises:
        Errors of `PyramidEncoder`, and WeightsError.
    """
    encoder = PyramidEncoder(plugin, variant, output_stride, image_shape, options)
    if weights is not None:
        report = _load_encoder_weights(encoder.layers, encoder.spec, weights)
        encoder.set_weights_report(report)
    return encoder


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a `.keras` file or SavedModel directory that a model of atrous was saved to.

    Raises:
        WeightsFormatError: the file is absent, corrupt or no such model.
    """
    try:
        return keras.models.load_model(os.fspath(path))
    except Exception as error:
        raise WeightsFormatError(
            "a saved model is a .keras file or a SavedModel directory written by model.save",
            received=f"{os.fspath(path)}: {type(error).__name__}: {error}",
            repair="save the model again, with the same plugins installed",
        ) from error


def model_from_preset(
    cls: type[RegistryModel],
    preset: str | os.PathLike[str] | Mapping[str, Any],
    *,
    load_weights: bool = True,
    **kwargs: Any,
) -> Any:
    """Build a preset as `cls`: what `Class.from_preset` does.

    Raises:
        ModelError: the preset describes another class.
    """
    weights = "default" if load_weights else None
    if issubclass(cls, Backbone) and not issubclass(cls, PyramidEncoder):
        if keras_hub.is_preset_directory(preset) or is_handle(preset):
            # A directory may hold a backbone only; its classifier is not wanted here.
            kwargs.setdefault("num_classes", 1)
        model: Any = build(preset, weights=weights, **kwargs).backbone
    else:
        model = build(preset, weights=weights, **kwargs)
    if not isinstance(model, cls):
        raise ModelError(
            f"`{cls.__name__}.from_preset` needs a preset of that class",
            received=f"{preset} describes {type(model).__name__}",
            repair=f"call {type(model).__name__}.from_preset",
        )
    return model


def _supported_output_stride(spec: EncoderSpec, output_stride: int | None) -> int:
    if output_stride is None:
        return max(spec.output_strides)
    if output_stride not in spec.output_strides:
        raise ModelError(
            f"encoder {spec.name!r} supports the output strides {', '.join(map(str, spec.output_strides))}",
            received=output_stride,
            repair="choose one of them under encoder.output_stride",
        )
    return output_stride


def _encoder_image_shape(spec: EncoderSpec, image_shape: Sequence[int | None]) -> tuple[int | None, ...]:
    shape = tuple(image_shape)
    if len(shape) != 3 or shape[2] != 3:
        raise ModelError(
            "`image_shape` must be (height, width, 3)", received=image_shape, repair="(None, None, 3) leaves sizes open"
        )
    for side in shape[:2]:
        if side is not None and (not isinstance(side, int) or side < spec.min_size):
            raise ModelError(
                f"encoder {spec.name!r} needs images of at least {spec.min_size}×{spec.min_size} pixels",
                received=shape,
                repair="enlarge image_shape, or leave a side open with None",
            )
    return shape


def _validated_options(spec: EncoderSpec, options: Mapping[str, Any]) -> BaseModel:
    try:
        return spec.options.model_validate(dict(options))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'options'}: {problem['msg']}" for problem in error.errors()
        )
        raise ModelError(
            f"the options of encoder {spec.name!r} are {', '.join(spec.options.model_fields) or 'none'}",
            received=problems,
            repair="; ".join(nearest(str(key), spec.options.model_fields) for key in options)
            or "give the options that it requires",
        ) from error


def _hold_to_contract(
    loaded: LoadedPlugin, spec: EncoderSpec, options: BaseModel, stride: int, inputs: Any, pyramid: dict[str, Any]
) -> None:
    foreign = [level for level, tensor in pyramid.items() if not hasattr(tensor, "_keras_history")]
    if foreign:
        raise PyramidContractError(
            f"encoder {spec.name!r} of {loaded.origin} must deliver a KerasTensor per level",
            received=", ".join(f"{level}: {type(pyramid[level]).__name__}" for level in foreign),
            repair="return outputs of tf_keras layers that were applied to `inputs`",
        )
    # Two sizes, not square, both multiples of every stride: one alone could hide a fixed size behind a stride.
    unit = max(spec.min_size, 32)
    unit += -unit % 32
    check_pyramid(
        pyramid_shapes(inputs, pyramid, ((2 * unit, 3 * unit), (3 * unit, 4 * unit))),
        channels=spec.channels_for(options),
        output_stride=stride,
        encoder=spec.name,
        origin=loaded.origin,
    )


def _assemble(resolved: ResolvedPreset) -> tuple[DeepLabV3ImageSegmenter, EncoderSpec]:
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
    return "".join(character if character.isalnum() else "_" for character in preset_name).strip("_") or "segmenter"


def _mapping_of(preset: keras_hub.KerasHubPreset, num_classes: int | None) -> dict[str, Any]:
    """Describe a KerasHub directory as an inline preset, its encoder through the plugin that stands for it."""
    if num_classes is None and preset.task is None:
        raise ModelError(
            "a KerasHub directory without task.json holds a backbone only, so the number of classes must be given",
            received=preset.source,
            repair="pass num_classes, or call registry.DeepLabV3Backbone.from_preset",
        )
    class_name, arguments = preset.encoder_config()
    specs = [(record.plugin, find_encoder(record.plugin, record.variant)[1]) for record in list_encoders()]
    known = {spec.keras_hub_class: (plugin, spec) for plugin, spec in specs if spec.keras_hub_class}
    if class_name not in known:
        raise UnknownEncoderError(
            f"KerasHub's encoders that plugins here stand for are {', '.join(sorted(known)) or 'none'}",
            received=f"{class_name} in {preset.source}",
            repair=nearest(class_name, known),
        )
    plugin, spec = known[class_name]
    options = {key: value for key, value in arguments.items() if key in spec.options.model_fields}
    mapping = preset.preset_mapping({"plugin": plugin, "variant": spec.name, "options": options})
    if num_classes is not None:
        mapping["num_classes"] = num_classes
    return mapping


def _load_weights(
    model: DeepLabV3ImageSegmenter,
    spec: EncoderSpec,
    weights: str | os.PathLike[str] | None,
    *,
    head_may_differ: bool,
) -> WeightsReport | None:
    if weights is None:
        return None
    if weights != "default":
        return _load_segmentation_weights(model, weights, head_may_differ=head_may_differ)
    declared = model.preset_config.weights
    if declared.segmentation is not None:
        return _load_segmentation_weights(model, declared.segmentation, head_may_differ=head_may_differ)
    if declared.encoder is not None:
        encoder_layers = model.backbone.image_encoder.layers
        report = _load_encoder_weights(encoder_layers, spec, declared.encoder)
        loaded = set(report.loaded)
        fresh = tuple(layer.name for layer in model.layers if layer.weights and layer.name not in loaded)
        return WeightsReport(source=report.source, loaded=report.loaded, fresh=fresh, unused=report.unused)
    _warn(f"the preset declares no weights: {model.name} starts with fresh ones (weights=None says so silently)")
    return None


def _load_segmentation_weights(
    model: DeepLabV3ImageSegmenter, source: str | os.PathLike[str], *, head_may_differ: bool
) -> WeightsReport:
    preset = keras_hub.open_preset(source)
    arrays, head = preset.backbone_arrays(), preset.head_arrays()
    layers, fresh = list(model.layers), ()
    classes = head[_HEAD][0].shape[-1] if _HEAD in head else None
    if classes == model.num_classes or (classes is not None and not head_may_differ):
        arrays |= head
    else:
        layers = [layer for layer in layers if layer.name != _HEAD]
        fresh = (_HEAD,)
        if not head_may_differ:
            _warn(f"{preset.source} holds no classifier: {_HEAD} starts with fresh weights")
    report = assign(layers, arrays, source=preset.source)
    return WeightsReport(source=report.source, loaded=report.loaded, fresh=fresh, unused=report.unused)


def _load_encoder_weights(
    layers: Sequence[Any], spec: EncoderSpec, source: str | os.PathLike[str]
) -> WeightsReport:
    name = os.fspath(source)
    if name not in spec.weights and not is_handle(name) and not os.path.isdir(name):
        raise ModelError(
            f"the weights of encoder {spec.name!r} are a name among {', '.join(spec.weights) or '(none)'}, "
            "a handle or a preset directory",
            received=name,
            repair=nearest(name, spec.weights),
        )
    preset = keras_hub.open_preset(spec.weights.get(name, name))
    return assign(layers, preset.backbone_arrays(), source=preset.source, unused=spec.unused_weights)


def _warn(message: str) -> None:
    warnings.warn(message, RegistryWarning, stacklevel=4)
