"""Names that the heads of atrous give their layers: those that an encoder must leave free."""

from __future__ import annotations

import functools
from typing import Any

from registry.architecture import SegmenterArguments
from registry.backend import keras
from registry.discovery import list_plugins, load_architecture
from registry.models.encoder import attach_pyramid
from registry.pyramid import LEVELS, level_stage

__all__ = ["head_names"]


@functools.cache
def head_names() -> frozenset[str]:
    """Names of layers that our own architectures add to an encoder, read from one segmenter of each."""
    names: set[str] = set()
    for plugin in list_plugins():
        if plugin.builtin and plugin.kind == "architecture" and plugin.status in ("available", "loaded"):
            encoder = _bare_encoder()
            architecture = load_architecture(plugin.name)
            config = architecture.spec.config(name=plugin.name)
            segmenter = architecture.build(encoder, config, SegmenterArguments(num_classes=2))
            names |= {layer.name for layer in segmenter.layers} - {layer.name for layer in encoder.layers}
    return frozenset(names)


def _bare_encoder() -> Any:
    """Five strided convolutions with what an architecture asks an encoder for."""
    x = inputs = keras.layers.Input((None, None, 3), name="inputs")
    pyramid = {}
    for level in LEVELS:
        x = keras.layers.Conv2D(8, 1, strides=2, name=f"probe_{level.lower()}")(x)
        pyramid[level] = x
    encoder = keras.Model(inputs, pyramid)
    attach_pyramid(encoder, pyramid)
    object.__setattr__(encoder, "level_strides", {level: 2 ** level_stage(level) for level in LEVELS})
    encoder.output_stride = 2 ** level_stage(LEVELS[-1])
    return encoder
