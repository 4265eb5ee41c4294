"""MobileNet V1 to V4 encoders: names and numbers of tf_keras.applications (V1 to V3) and timm (V4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_mobilenet.variants import SPECS, architecture_of

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_build_encoder",
    "registry_convert_weights",
    "registry_encoders",
]


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the MobileNet variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the MobileNet of that name to `inputs`."""
    from registry_mobilenet.graph import mobilenet_pyramid

    return mobilenet_pyramid(inputs, architecture_of(variant, options), output_stride=output_stride)


@hookimpl
def registry_convert_weights(
    variant: str, source: str, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Rename the arrays of others; those of tf_keras.applications have our names already."""
    from registry_mobilenet.conversion import convert

    del source
    return convert(architecture_of(variant), arrays)
