"""Which weights a model starts with: of the whole model, of its encoder, or fresh ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from registry.errors import ModelError, RegistryWarning, nearest
from registry.models.deeplab_v3 import CLASSIFIER, DeepLabV3ImageSegmenter
from registry.pyramid import EncoderSpec
from registry.weights import keras_hub
from registry.weights.assignment import WeightsReport, assign
from registry.weights.handles import is_handle

__all__ = ["load_encoder_weights", "load_weights"]


def load_weights(
    model: DeepLabV3ImageSegmenter,
    spec: EncoderSpec,
    weights: str | os.PathLike[str] | None,
    *,
    head_may_differ: bool,
) -> WeightsReport | None:
    """Load what `registry.build(weights=…)` asks for.

    Args:
        model: the assembled model, which carries its preset.
        spec: of its encoder.
        weights: "default", None, a handle or a path.
        head_may_differ: whether a classifier for another number of classes may stay fresh without a word.

    Returns:
        What was loaded; None if nothing was.

    Raises:
        WeightsError: the weights cannot be fetched, read or assigned; no variable has been changed.
    """
    if weights is None:
        return None
    if weights != "default":
        return _load_segmentation_weights(model, weights, head_may_differ=head_may_differ)
    declared = model.preset_config.weights
    if declared.segmentation is not None:
        # A preset derived from this one may have other classes: it inherits the handle, not the classifier.
        if not head_may_differ and _classes_at(declared.segmentation) not in (None, model.num_classes):
            _warn(f"{model.name} has other classes than its weights: {CLASSIFIER} starts with fresh weights")
            head_may_differ = True
        return _load_segmentation_weights(model, declared.segmentation, head_may_differ=head_may_differ)
    if declared.encoder is not None:
        encoder_layers = model.backbone.image_encoder.layers
        report = load_encoder_weights(encoder_layers, spec, declared.encoder)
        loaded = set(report.loaded)
        fresh = tuple(layer.name for layer in model.layers if layer.weights and layer.name not in loaded)
        return WeightsReport(source=report.source, loaded=report.loaded, fresh=fresh, unused=report.unused)
    _warn(
        f"the preset declares no weights: {model.name} starts with fresh ones (weights=None says so silently)"
    )
    return None


def _load_segmentation_weights(
    model: DeepLabV3ImageSegmenter, source: str | os.PathLike[str], *, head_may_differ: bool
) -> WeightsReport:
    preset = keras_hub.open_preset(source)
    arrays, head = preset.backbone_arrays(), preset.head_arrays()
    layers = list(model.layers)
    fresh: tuple[str, ...] = ()
    classes = _number_of_classes(head)
    if classes == model.num_classes or (classes is not None and not head_may_differ):
        arrays |= head
    else:
        layers = [layer for layer in layers if layer.name != CLASSIFIER]
        fresh = (CLASSIFIER,)
        if not head_may_differ:
            _warn(f"{preset.source} holds no classifier: {CLASSIFIER} starts with fresh weights")
    report = assign(layers, arrays, source=preset.source)
    return WeightsReport(source=report.source, loaded=report.loaded, fresh=fresh, unused=report.unused)


def load_encoder_weights(
    layers: Sequence[Any], spec: EncoderSpec, source: str | os.PathLike[str]
) -> WeightsReport:
    """Load an encoder's weights, for instance those of ImageNet.

    Args:
        layers: the encoder's layers.
        spec: what its plugin says of it.
        source: one of the spec's weight sources by name, a handle or a preset directory.

    Returns:
        What was loaded.

    Raises:
        ModelError: `source` is none of these.
        WeightsError: the weights cannot be fetched, read or assigned; no variable has been changed.
    """
    name = os.fspath(source)
    if name not in spec.weights and not is_handle(name) and not Path(name).is_dir():
        raise ModelError(
            f"the weights of encoder {spec.name!r} are a name among {', '.join(spec.weights) or '(none)'}, "
            "a handle or a preset directory",
            received=name,
            repair=nearest(name, spec.weights),
        )
    preset = keras_hub.open_preset(spec.weights.get(name, name))
    return assign(layers, preset.backbone_arrays(), source=preset.source, unused=spec.unused_weights)


def _number_of_classes(head: keras_hub.Arrays) -> int | None:
    return head[CLASSIFIER][0].shape[-1] if CLASSIFIER in head else None


def _classes_at(source: str) -> int | None:
    return _number_of_classes(keras_hub.open_preset(source).head_arrays())


def _warn(message: str) -> None:
    warnings.warn(message, RegistryWarning, stacklevel=4)
