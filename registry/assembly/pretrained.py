"""Which weights a model starts with: of the whole model, of its encoder, or fresh ones."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry.assembly.ordering import renamed_by_order
from registry.discovery import find_encoder
from registry.errors import ModelError, RegistryWarning, nearest
from registry.models.base import CLASSIFIER, ImageSegmenter
from registry.pyramid import EncoderSpec
from registry.weights.arrays import Arrays
from registry.weights.assignment import WeightsReport, assign
from registry.weights.handles import is_handle
from registry.weights.opening import open_weights
from registry.weights.saved_layers import assign_saved, layer_of
from registry.weights.sources import DEFAULT_SOURCE, Source, encoder_source

__all__ = ["load_encoder_weights", "load_weights"]


def load_weights(
    model: ImageSegmenter,
    spec: EncoderSpec,
    preset: Source,
    weights: str | os.PathLike[str] | None,
    encoder_weights: str | os.PathLike[str] | None,
    *,
    head_may_differ: bool,
) -> WeightsReport | None:
    """Load what `registry.build(weights=…, encoder_weights=…)` asks for.

    Args:
        model: the assembled model, which carries its preset.
        spec: of its encoder.
        preset: what it was assembled from.
        weights: "default", None, a handle or a path.
        encoder_weights: "default", None, a name among the encoder's weight sources, a handle or a path.
        head_may_differ: whether a classifier for another number of classes may stay fresh without a word.

    Returns:
        What was loaded; None if nothing was.

    Raises:
        ModelError: both are named, or `encoder_weights` is no source of this encoder.
        WeightsError: the weights cannot be fetched, read or assigned; no variable has been changed.
    """
    if encoder_weights not in ("default", None):
        if weights not in ("default", None):
            raise ModelError(
                "weights of the whole model contain those of its encoder: name one of them",
                received=f"weights={os.fspath(weights)!r}, encoder_weights={os.fspath(encoder_weights)!r}",
                repair="leave out `weights` to load the encoder alone, or `encoder_weights` to load all",
            )
        return _load_encoder_of(model, encoder_weights)
    if weights is None:
        return None
    if weights != "default":
        return _load_segmentation_weights(model, _open(weights), head_may_differ=head_may_differ)
    return _load_default(model, spec, preset, encoder_weights, head_may_differ=head_may_differ)


def _load_default(
    model: ImageSegmenter,
    spec: EncoderSpec,
    preset: Source,
    encoder_weights: str | os.PathLike[str] | None,
    *,
    head_may_differ: bool,
) -> WeightsReport | None:
    declared = preset.weights("segmentation")
    if declared is not None:
        opened = _open(declared)
        # A preset derived from this one may have other classes: it inherits the handle, not the classifier.
        classes = _number_of_classes(opened.head)
        if not head_may_differ and classes not in (None, model.num_classes):
            _warn(f"{model.name} has other classes than its weights: {CLASSIFIER} starts with fresh weights")
            head_may_differ = True
        return _load_segmentation_weights(model, opened, head_may_differ=head_may_differ)
    if encoder_weights is None:
        return None
    source = encoder_source(preset, spec)
    if source is not None:
        return _load_encoder_of(model, source)
    _warn(
        f"the preset declares no weights, and its encoder has no source {DEFAULT_SOURCE!r}: {model.name} starts "
        "with fresh ones (weights=None says so silently)"
    )
    return None


def _load_encoder_of(model: ImageSegmenter, source: str | os.PathLike[str]) -> WeightsReport:
    encoder = model.preset_config.encoder
    report = load_encoder_weights(model.encoder.layers, encoder.plugin, encoder.variant, source)
    loaded = set(report.loaded)
    fresh = tuple(layer.name for layer in model.layers if layer.weights and layer.name not in loaded)
    return replace(report, fresh=fresh)


@dataclass(frozen=True)
class _SegmentationWeights:
    source: str
    body: Arrays
    head: Arrays
    enter: Callable[..., WeightsReport] = assign


def _open(source: str | os.PathLike[str]) -> _SegmentationWeights:
    """Open weights of a whole model; those of the classifier apart, since it may stay fresh."""
    opened = open_weights(source)
    if opened.preset is not None:
        return _SegmentationWeights(opened.source, opened.arrays, opened.preset.head_arrays())
    body = {name: arrays for name, arrays in opened.arrays.items() if not name.startswith(CLASSIFIER)}
    head = {name: arrays for name, arrays in opened.arrays.items() if name.startswith(CLASSIFIER)}
    return _SegmentationWeights(opened.source, body, head, assign_saved if opened.kind == "saved" else assign)


def _load_segmentation_weights(
    model: ImageSegmenter, opened: _SegmentationWeights, *, head_may_differ: bool
) -> WeightsReport:
    arrays, layers = opened.body, list(model.layers)
    fresh: tuple[str, ...] = ()
    classes = _number_of_classes(opened.head)
    if classes == model.num_classes or (classes is not None and not head_may_differ):
        arrays = {**arrays, **opened.head}
    else:
        fresh = tuple(layer.name for layer in model.classifier)
        layers = [layer for layer in layers if layer.name not in fresh]
        if not head_may_differ:
            _warn(f"{opened.source} holds no classifier: {CLASSIFIER} starts with fresh weights")
    return replace(opened.enter(layers, arrays, source=opened.source), fresh=fresh)


def load_encoder_weights(
    layers: Sequence[Any], plugin: str, variant: str, source: str | os.PathLike[str]
) -> WeightsReport:
    """Load an encoder's weights, for instance those of ImageNet.

    Args:
        layers: the encoder's layers.
        plugin: name of its plugin, which may convert the arrays.
        variant: its variant.
        source: one of the variant's weight sources by name, a handle or a path.

    Returns:
        What was loaded.

    Raises:
        ModelError: `source` is none of these.
        BrokenPluginError: the plugin cannot convert the arrays.
        WeightsError: the weights cannot be fetched, read or assigned; no variable has been changed.
    """
    loaded, spec = find_encoder(plugin, variant)
    name = os.fspath(source)
    if name not in spec.weights and not is_handle(name) and not Path(name).exists():
        raise ModelError(
            f"the weights of encoder {spec.name!r} are a name among {', '.join(spec.weights) or '(none)'}, "
            "a handle, or the path of a file or preset directory",
            received=name,
            repair=nearest(name, spec.weights),
        )
    opened = open_weights(spec.weights.get(name, name), declared=name in spec.weights)
    if opened.kind == "saved":
        # A saved preset holds a whole model, of which the encoder is a part.
        names = {layer.name for layer in layers}
        others = [key for key in opened.arrays if layer_of(key) not in names]
        return assign_saved(layers, opened.arrays, source=opened.source, unused=others)
    arrays = loaded.convert_weights(spec.name, name, opened.arrays)
    unused = spec.unused_weights
    if opened.kind == "keras":
        meant = renamed_by_order(layers, arrays, spare=len(unused))
        if meant is not None:
            unused = tuple(set(arrays) - set(meant))
            arrays = {meant.get(layer, layer): held for layer, held in arrays.items()}
    return assign(layers, arrays, source=opened.source, unused=unused)


def _number_of_classes(head: Arrays) -> int | None:
    kernel = next((arrays[0] for arrays in head.values()), None)
    return None if kernel is None else kernel.shape[-1]


def _warn(message: str) -> None:
    """Warn at the line that called into atrous, however deep this is."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "registry":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RegistryWarning, stacklevel=level)
