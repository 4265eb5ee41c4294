"""Heads on any encoder's pyramid: LR-ASPP, FPN, U-Net, PSPNet and SegFormer's all-MLP head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from registry.architecture import ArchitectureSpec, SegmenterArguments
from registry.hookspecs import hookimpl
from registry.sketch import Block, SketchArguments
from registry_heads.config import SPECS

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_architectures",
    "registry_build_segmenter",
    "registry_quantization_rules",
    "registry_sketch_segmenter",
]


@hookimpl
def registry_architectures() -> Iterable[ArchitectureSpec]:
    """Describe the heads."""
    return SPECS


@hookimpl
def registry_build_segmenter(
    architecture: str, encoder: Any, config: Any, arguments: SegmenterArguments
) -> Any:
    """Append the head of that name; each has a module of its own, whose `logits` extends the graph."""
    from registry.models.segmenter import PyramidSegmenter

    head = import_module(f"registry_heads.{architecture}")
    return PyramidSegmenter(encoder, head.logits(encoder, config, arguments.num_classes), arguments)


@hookimpl
def registry_quantization_rules() -> Mapping[type, Any]:
    """Of pooling into bins."""
    from registry.quantization.rules import Steps
    from registry_heads.pooling import AdaptiveAveragePooling2D

    return {
        AdaptiveAveragePooling2D: Steps(
            lambda layer, inputs, observe: layer.observed(inputs, observe), AdaptiveAveragePooling2D.RESULTS
        )
    }


@hookimpl
def registry_sketch_segmenter(architecture: str, config: Any, arguments: SketchArguments) -> Sequence[Block]:
    """Say what a head is under a configuration."""
    from registry_heads.sketches import SKETCHES

    return SKETCHES[architecture](config, arguments)
