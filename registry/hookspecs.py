"""Every hook of atrous, on one screen.

A plugin is a module (or object) named by an entry point. In the group `registry.encoders` the entry point's name is
the word that presets write under `encoder.plugin`, in `registry.architectures` the one under `architecture.name`, in
`registry.stores` the scheme of handles (`s3` for `s3://…`). The module is imported when its plugin is asked for, and
when encoders, architectures or presets are listed (that of a store: when a handle of its scheme is used), so it must
not import TensorFlow at its top level.

A plugin states the API it was written for with `REGISTRY_API_VERSION = 1`; absent means 1. An encoder plugin
implements both encoder hooks, or only `registry_preset_roots`; an architecture plugin both architecture hooks; a store
`registry_store`. One module may serve all groups, and several entry points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from registry.architecture import (
    ArchitectureConfig,
    ArchitectureSpec,
    SegmenterArguments,
    SegmenterWeights,
)
from registry.pyramid import EncoderSpec
from registry.sketch import Block, SketchArguments
from registry.stores import Store

__all__ = ["API_VERSION", "hookimpl", "hookspec"]

API_VERSION = 1
PROJECT = "registry"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def registry_encoders() -> Iterable[EncoderSpec]:  # type: ignore[empty-body]
    """Describe every encoder variant of the plugin. Called once, on loading; must not import TensorFlow."""


@hookspec(firstresult=True)
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Extend the flat functional graph that starts at `inputs` by one encoder.

    Args:
        variant: name of one of the plugin's `EncoderSpec`s.
        inputs: `KerasTensor` of shape (batch, height, width, 3), already normalized.
        output_stride: one of the spec's `output_strides`.
        options: instance of the spec's `options` model.

    Returns:
        `KerasTensor` per promised level, `{"P1": …, "P5": …}`, each at its reported stride.
    """


@hookspec(firstresult=True)
def registry_convert_weights(  # type: ignore[empty-body]
    variant: str, source: str, arrays: Mapping[str, Sequence[Any]], options: Any
) -> Mapping[str, Sequence[Any]]:
    """Name and arrange the arrays of a weight file as the encoder's layers have them.

    Optional: without it, a file must already name its arrays after the layers. Called for every file that is loaded,
    also for one that the user names: look at the names in `arrays`, not at `source`, to tell whose layout it is.
    `registry.weights.conversion` turns PyTorch's layout into Keras's, `registry.weights.object_paths` gathers what
    TensorFlow 2's checkpoints hold by layer. Must not import TensorFlow.

    Args:
        variant: name of one of the plugin's `EncoderSpec`s.
        source: a key of its `weights`, or the handle or path that the user gave.
        arrays: what the file holds, in its own names: layer → arrays for KerasHub's and Keras's files, parameter →
            one array for safetensors, variable → one array for checkpoints. An array has `shape`, `transpose` and
            `reshape`, which leave it in the file, and `numpy.asarray`, which reads it.
        options: instance of the spec's `options` model that the encoder was built with; None if it is not known.

    Returns:
        Layer name → list of arrays in the order of the layer's variables. What the encoder has no layer for stays in,
        unless its absence is intended: it is then reported, not lost. None if nothing is to be converted.
    """


@hookspec
def registry_architectures() -> Iterable[ArchitectureSpec]:  # type: ignore[empty-body]
    """Describe every architecture of the plugin. Called once, on loading; must not import TensorFlow.

    An entry point of the group `registry.architectures` must bear the name of one of them.
    """


@hookspec(firstresult=True)
def registry_build_segmenter(
    architecture: str, encoder: Any, config: ArchitectureConfig, arguments: SegmenterArguments
) -> Any:
    """Extend the encoder's flat functional graph to a segmenter.

    Args:
        architecture: name of one of the plugin's `ArchitectureSpec`s.
        encoder: functional `tf_keras.Model`. `encoder.pyramid_outputs` maps each level to its `KerasTensor`,
            `encoder.level_strides` to its stride; the levels that the spec reads are among them.
        config: instance of the spec's `config` model.
        arguments: classes, activation, preprocessor and name, whatever the architecture.

    Returns:
        `registry.models.segmenter.PyramidSegmenter(encoder, logits, arguments)`, where `logits` is a `KerasTensor`
        (batch, height ÷ stride, width ÷ stride, num_classes) at any integer stride.
    """


@hookspec(firstresult=True)
def registry_convert_segmenter_weights(
    architecture: str, config: ArchitectureConfig, arrays: Mapping[str, Sequence[Any]]
) -> SegmenterWeights | None:
    """Take the weights of a whole model of another project apart: the encoder's, and the architecture's own.

    Optional: without it, a file must already name its arrays after the layers. Called for every file that is loaded
    into the whole model and was not saved by atrous or KerasHub. The encoder's part is then given to
    `registry_convert_weights` of its plugin. Must not import TensorFlow.

    Args:
        architecture: name of one of the plugin's `ArchitectureSpec`s.
        config: instance of the spec's `config` model.
        arrays: what the file holds, in its own names, as for `registry_convert_weights`.

    Returns:
        The parts; None if the names are of no project that the plugin knows.
    """


@hookspec(firstresult=True)
def registry_store(scheme: str) -> Store:  # type: ignore[empty-body]
    """Give the store that handles of a scheme lead to. Called once, on loading; must not touch the network.

    Args:
        scheme: name of the entry point, `s3` for `s3://bucket/model.safetensors`.

    Returns:
        A `registry.stores.DownloadStore`, which opens files and has all else done for it; or another
        `registry.stores.Store`, where a client with a cache of its own brings them.
    """


@hookspec(firstresult=True)
def registry_sketch_segmenter(
    architecture: str, config: ArchitectureConfig, arguments: SketchArguments
) -> Sequence[Block] | None:
    """Say what the architecture consists of, for `atrous show PRESET --diagram`.

    Optional: without it, the architecture is drawn as one box. Must not import TensorFlow.

    Args:
        architecture: name of one of the plugin's `ArchitectureSpec`s.
        config: instance of the spec's `config` model.
        arguments: the encoder's levels, classes and input size.

    Returns:
        Blocks in an order in which each reads only levels and blocks before it; the last one gives the logits, at its
        stride. Upsampling to the image and the activation are no part of it.
    """


@hookspec
def registry_preset_roots() -> Iterable[Path]:  # type: ignore[empty-body]
    """Absolute folders with `<preset_name>.yaml` files that the plugin contributes to the catalog."""


@hookspec
def registry_quantization_rules() -> Mapping[type, Any]:  # type: ignore[empty-body]
    """Say how layers of the plugin's own classes are quantized. Called when a model with them is.

    Optional: layers of tf-keras and of `registry.models` are known.

    Returns:
        Layer class → a rule of `registry.quantization.rules`, or a function of the layer that gives one: `Own` for a
        result of a new range, with the kernels that it is made of; `Same` where values are only moved; `Fixed` where
        the range is known; `Steps` for a layer of several operations.
    """
