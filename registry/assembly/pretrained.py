"""Which weights a model starts with: of the whole model, of its encoder, or fresh ones."""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry.architecture import SegmenterWeights
from registry.assembly.ordering import renamed_by_order
from registry.config import PresetConfig
from registry.discovery import find_encoder, load_architecture
from registry.errors import ModelError, RegistryWarning, WeightsMismatchError, nearest
from registry.models.base import CLASSIFIER, ImageSegmenter
from registry.pyramid import EncoderSpec
from registry.weights.arrays import Arrays, stored
from registry.weights.assignment import WeightsReport, assign
from registry.weights.checkpoints import checkpoint_prefix
from registry.weights.handles import fetch_file_named, is_handle
from registry.weights.opening import OpenedWeights, open_weights
from registry.weights.saved_layers import assign_saved, layer_of
from registry.weights.sources import DEFAULT_SOURCE, Source, encoder_source

__all__ = ["load_encoder_weights", "load_weights"]

_UNDILATED = 32
"""Output stride at which no encoder's stride became an atrous rate."""


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
        return _load_segmentation_weights(model, _open(weights, model), head_may_differ=head_may_differ)
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
        opened = _open(declared, model)
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
        "with fresh ones (weights=None says so silently; in a command --weights none, in a recipe `weights: null`)"
    )
    return None


def _load_encoder_of(model: ImageSegmenter, source: str | os.PathLike[str]) -> WeightsReport:
    encoder = model.preset_config.encoder
    report = load_encoder_weights(
        model.encoder.layers,
        encoder.plugin,
        encoder.variant,
        source,
        encoder.options,
        whole=lambda opened: _parts(opened, model.preset_config),
    )
    loaded = set(report.loaded)
    fresh = tuple(layer.name for layer in model.layers if layer.weights and layer.name not in loaded)
    return replace(report, fresh=fresh)


@dataclass(frozen=True)
class _SegmentationWeights:
    source: str
    body: Arrays
    head: Arrays
    enter: Callable[..., WeightsReport] = assign
    unused: tuple[str, ...] = ()


def _open(source: str | os.PathLike[str], model: ImageSegmenter) -> _SegmentationWeights:
    """Open weights of a whole model; those of the classifier apart, since it may stay fresh."""
    opened = _opened(source)
    if opened.preset is not None:
        return _SegmentationWeights(opened.source, opened.arrays, opened.preset.head_arrays())
    arrays, unused = _converted(opened, model)
    body = {name: held for name, held in arrays.items() if not name.startswith(CLASSIFIER)}
    head = {name: held for name, held in arrays.items() if name.startswith(CLASSIFIER)}
    enter = assign_saved if opened.kind == "saved" else assign
    return _SegmentationWeights(opened.source, body, head, enter, unused)


def _converted(opened: OpenedWeights, model: ImageSegmenter) -> tuple[Arrays, tuple[str, ...]]:
    """Arrays by our layers' names, and those without a layer by intention: the plugins convert, each its own part."""
    config: PresetConfig = model.preset_config
    parts = _parts(opened, config)
    if parts is None:
        return opened.arrays, ()
    if parts.refusal is not None:
        raise parts.refusal
    plugin, spec = find_encoder(config.encoder.plugin, config.encoder.variant)
    options = spec.options.model_validate(config.encoder.options)
    is_dilated = model.encoder.output_stride < _UNDILATED
    needed = {**parts.encoder_options, **(parts.dilated_encoder if is_dilated else {})}
    _require_options(needed, options, spec.name)
    encoder = plugin.convert_weights(spec.name, opened.source, parts.encoder, options)
    return {**encoder, **parts.head}, (*spec.unused_weights, *parts.unused)


def _parts(opened: OpenedWeights, config: PresetConfig) -> SegmenterWeights | None:
    """What a file of another project's whole model consists of; None if it is none."""
    if opened.kind == "saved":
        return None
    return load_architecture(config.architecture.name).convert_weights(config.architecture, opened.arrays)


def _require_options(needed: Mapping[str, Any], options: Any, variant: str) -> None:
    """Refuse weights of an encoder that computes otherwise: nothing in a file would show it."""
    different = {name: value for name, value in needed.items() if getattr(options, name, None) != value}
    if not different:
        return
    missing = [name for name in different if not hasattr(options, name)]
    raise WeightsMismatchError(
        f"these weights are of an encoder with the options {json.dumps(different)}",
        received=f"encoder {variant!r}" + (f", which has no {', no '.join(missing)}" if missing else ""),
        repair="choose another variant, or load the encoder's part alone: encoder_weights=…"
        if missing
        else "set them in the preset, under `options` of the encoder",
    )


def _opened(source: str | os.PathLike[str], *, declared: bool = False) -> OpenedWeights:
    """Open weights. A `.keras` file numbers them by class, so the model that they belong to is asked for the names."""
    path = Path(fetch_file_named(source, ".keras", declared=declared))
    if path.suffix.lower() != ".keras" or is_handle(str(path)):
        return open_weights(source, declared=declared)
    from registry.assembly.saved_models import load_model

    arrays = {
        layer.name: [stored(value) for value in layer.get_weights()]
        for layer in load_model(path).layers
        if layer.weights
    }
    return OpenedWeights(os.fspath(source), "keras", arrays)


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
    report = opened.enter(layers, arrays, source=opened.source, unused=opened.unused)
    return replace(report, fresh=fresh)


def load_encoder_weights(
    layers: Sequence[Any],
    plugin: str,
    variant: str,
    source: str | os.PathLike[str],
    options: Mapping[str, Any] | None = None,
    *,
    whole: Callable[[OpenedWeights], SegmenterWeights | None] = lambda opened: None,
) -> WeightsReport:
    """Load an encoder's weights, for instance those of ImageNet.

    Args:
        layers: the encoder's layers.
        plugin: name of its plugin, which may convert the arrays.
        variant: its variant.
        source: one of the variant's weight sources by name, a handle or a path.
        options: that it was built with, if they are known.
        whole: takes a file of another project's whole model apart, None for other files.

    Returns:
        What was loaded.

    Raises:
        ModelError: `source` is none of these.
        BrokenPluginError: the plugin cannot convert the arrays.
        WeightsError: the weights cannot be fetched, read or assigned; no variable has been changed.
    """
    loaded, spec = find_encoder(plugin, variant)
    name = os.fspath(source)
    is_file = is_handle(name) or Path(name).exists() or checkpoint_prefix(name) is not None
    if name not in spec.weights and not is_file:
        raise ModelError(
            f"the weights of encoder {spec.name!r} are a name among {', '.join(spec.weights) or '(none)'}, "
            "a handle, or the path of a file, checkpoint or preset directory",
            received=name,
            repair=nearest(name, spec.weights),
        )
    opened = _opened(spec.weights.get(name, name), declared=name in spec.weights)
    if opened.kind == "saved":
        # A saved preset holds a whole model, of which the encoder is a part.
        names = {layer.name for layer in layers}
        others = [key for key in opened.arrays if layer_of(key) not in names]
        return assign_saved(layers, opened.arrays, source=opened.source, unused=others)
    given = None if options is None else spec.options.model_validate(dict(options))
    parts = whole(opened)
    held = opened.arrays if parts is None else parts.encoder
    arrays = loaded.convert_weights(spec.name, name, held, given)
    unused = spec.unused_weights
    if parts is not None:
        arrays = {**arrays, **parts.head}
        unused = (*unused, *parts.head)
    elif any(layer.startswith(CLASSIFIER) for layer in arrays):
        # The weights of a whole segmenter, of which the encoder is a part.
        names = {layer.name for layer in layers}
        unused = tuple(layer for layer in arrays if layer not in names)
    elif opened.kind == "keras":
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
