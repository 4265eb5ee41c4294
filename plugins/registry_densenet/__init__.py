"""DenseNet encoders, with KerasHub's layer names and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_densenet.variants import SPECS, architecture_of

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_build_encoder",
    "registry_convert_weights",
    "registry_encoders",
]


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the DenseNet variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the DenseNet of that name to `inputs`."""
    from registry_densenet.graph import densenet_pyramid

    return densenet_pyramid(inputs, architecture_of(variant, options), output_stride=output_stride)


@hookimpl
def registry_convert_weights(arrays: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]] | None:
    """Convert a file of timm or torchvision; KerasHub's need nothing."""
    from registry_densenet.conversion import from_torch

    return from_torch(arrays)
