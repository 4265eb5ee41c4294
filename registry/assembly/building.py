"""The entrance: whatever may stand for a preset becomes a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from registry.allocation import loading_memory, uncollected
from registry.assembly.encoder import PyramidEncoder
from registry.assembly.pretrained import load_encoder_weights, load_weights
from registry.assembly.segmenter import assemble
from registry.catalog import PresetLike
from registry.errors import ModelError
from registry.locking import Guard
from registry.models.base import Backbone, ImageSegmenter, RegistryModel
from registry.weights import keras_hub
from registry.weights.handles import is_handle
from registry.weights.sources import find_source

__all__ = ["build", "build_encoder", "load_trained", "model_from_preset"]


def build(
    preset: PresetLike,
    *,
    weights: str | os.PathLike[str] | None = "default",
    encoder_weights: str | os.PathLike[str] | None = "default",
    num_classes: int | None = None,
    image_shape: Sequence[int | None] | None = None,
    lock: str | os.PathLike[str] | None = None,
    **overrides: Any,
) -> ImageSegmenter:
    """Build a segmentation model.

    Args:
        preset: name in the catalog; path of a YAML file or of a saved preset's folder; mapping; what `describe` gave; a
            KerasHub preset directory; or a handle (`kaggle://…`, `hf://…`) of either kind of folder.
        weights: `"default"` takes the preset's own: of the whole model if it has them, else the encoder's;
            None leaves all fresh; else a handle (`kaggle://…`, `hf://…`, `https://…#sha256=…`), the path of a preset's
            folder, or of a file that names its layers, as `model.save_weights("x.h5")` writes it.
        encoder_weights: what the encoder starts with where the whole model has no weights. `"default"`: the preset's
            choice, else the encoder's source `imagenet`; None: fresh ones. A name among the encoder's weight sources,
            a handle or a path loads the encoder alone, and no weights of the whole model.
        num_classes: number of classes, background included. Other than the weights', the classifier stays fresh.
        image_shape: (height, width, 3) to fix the input's size.
        lock: path of a lock file that `registry.lock` wrote. Plugins, configuration and weights must then be the locked
            ones: plugins are compared before they are imported, weights before they are read. None compares nothing.
        **overrides: values that replace the preset's: sections (`encoder={"output_stride": 8}`), dotted
            (`**{"encoder.output_stride": 8}`) or unambiguous keys (`output_stride=8`).

    Returns:
        A flat functional `tf_keras.Model`, (batch, height, width, 3) → logits (batch, height, width,
        num_classes), of the class that its architecture builds: `DeepLabV3ImageSegmenter`, or `PyramidSegmenter`
        for the others. `preset_config` holds the resolved configuration, `weights_report` what was loaded,
        `preprocessor` how pixels in 0…255 become inputs; `predict` applies it.

    Raises:
        CatalogError: the preset is unknown or wrong.
        PluginError, UnknownEncoderError: the encoder or the architecture cannot serve.
        PyramidContractError, SegmenterContractError: one of them did not deliver what it promised.
        ModelError: the parts do not fit together, or `weights` and `encoder_weights` are both named.
        WeightsError: the weights cannot be fetched, read or assigned; nothing is loaded half.
        LockError: the lock file does not have this preset, or (`LockDriftError`) says something else of it.
    """
    return _build(
        preset,
        trained=False,
        weights=weights,
        encoder_weights=encoder_weights,
        num_classes=num_classes,
        image_shape=image_shape,
        lock=lock,
        **overrides,
    )


def _build(
    preset: PresetLike,
    *,
    trained: bool,
    weights: str | os.PathLike[str] | None = "default",
    encoder_weights: str | os.PathLike[str] | None = "default",
    num_classes: int | None = None,
    image_shape: Sequence[int | None] | None = None,
    lock: str | os.PathLike[str] | None = None,
    **overrides: Any,
) -> ImageSegmenter:
    guard = None if lock is None else Guard(lock, preset)
    if num_classes is not None:
        overrides["num_classes"] = num_classes
    if image_shape is not None:
        overrides["input.image_shape"] = list(image_shape)
    wants_own = weights == "default" and encoder_weights in ("default", None)
    source = find_source(preset, overrides, weights=wants_own)
    if guard is not None:
        guard.check(source, weights, encoder_weights)
    if trained and wants_own and source.weights("segmentation") is None:
        raise ModelError(
            "a model that is ready for use needs weights of the whole model, and this preset names none",
            received=source.resolved.name,
            repair="pass weights=…, the folder of a saved preset for instance; registry.build starts one for training",
        )
    with loading_memory(), uncollected():
        model, spec = assemble(source.resolved)
        report = load_weights(
            model, spec, source, weights, encoder_weights, head_may_differ=num_classes is not None
        )
    model.set_weights_report(report)
    return model


def load_trained(preset: str | os.PathLike[str] | Mapping[str, Any], **arguments: Any) -> ImageSegmenter:
    """Build a model that is ready for use: what `registry.load` does with a preset.

    Args:
        preset: as in `build`.
        **arguments: of `build`.

    Raises:
        ModelError: by default, the model would start from fresh weights or from those of its encoder alone.
        Errors of `build`.
    """
    return _build(preset, trained=True, **arguments)


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
    with loading_memory(), uncollected():
        encoder = PyramidEncoder(plugin, variant, output_stride, image_shape, options)
        if weights is not None:
            report = load_encoder_weights(
                encoder.layers, plugin, variant, weights, encoder.get_config()["options"]
            )
            encoder.set_weights_report(report)
    return encoder


def model_from_preset(
    cls: type[RegistryModel],
    preset: PresetLike,
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
        model: Any = build(preset, weights=weights, **kwargs)
        model = getattr(model, "backbone", model)
    else:
        model = build(preset, weights=weights, **kwargs)
    if not isinstance(model, cls):
        raise ModelError(
            f"`{cls.__name__}.from_preset` needs a preset of that class",
            received=f"{preset} describes {type(model).__name__}",
            repair=f"call {type(model).__name__}.from_preset",
        )
    return model
