"""DeepLabV3 and DeepLabV3+ as architectures of presets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from registry.architecture import ArchitectureSpec, SegmenterArguments
from registry.hookspecs import hookimpl
from registry_deeplab.config import SPECS

REGISTRY_API_VERSION = 1

__all__ = ["REGISTRY_API_VERSION", "registry_architectures", "registry_build_segmenter"]


@hookimpl
def registry_architectures() -> Iterable[ArchitectureSpec]:
    """Describe both versions."""
    return SPECS


@hookimpl
def registry_build_segmenter(encoder: Any, config: Any, arguments: SegmenterArguments) -> Any:
    """Append ASPP, decoder and classifier; the configuration tells the versions apart."""
    from registry_deeplab.graph import deeplab_segmenter

    return deeplab_segmenter(encoder, config, arguments)
