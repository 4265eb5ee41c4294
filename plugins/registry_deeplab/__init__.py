"""DeepLabV3 and DeepLabV3+ as architectures of presets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.architecture import ArchitectureSpec, SegmenterArguments, SegmenterWeights
from registry.hookspecs import hookimpl
from registry.sketch import Block, SketchArguments
from registry_deeplab.config import SPECS

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_architectures",
    "registry_build_segmenter",
    "registry_convert_segmenter_weights",
    "registry_sketch_segmenter",
]


@hookimpl
def registry_architectures() -> Iterable[ArchitectureSpec]:
    """Describe both versions."""
    return SPECS


@hookimpl
def registry_build_segmenter(encoder: Any, config: Any, arguments: SegmenterArguments) -> Any:
    """Append ASPP, decoder and classifier; the configuration tells the versions apart."""
    from registry_deeplab.graph import deeplab_segmenter

    return deeplab_segmenter(encoder, config, arguments)


@hookimpl
def registry_convert_segmenter_weights(
    config: Any, arrays: Mapping[str, Sequence[Any]]
) -> SegmenterWeights | None:
    """Take a checkpoint of TensorFlow DeepLab or Model Garden, or a state dict of torchvision, apart."""
    from registry_deeplab.conversion import segmenter_weights

    return segmenter_weights(config, arrays)


@hookimpl
def registry_sketch_segmenter(config: Any, arguments: SketchArguments) -> Sequence[Block]:
    """Say what ASPP, decoder and classifier are under a configuration."""
    from registry_deeplab.sketch import blocks

    return blocks(config, arguments)
