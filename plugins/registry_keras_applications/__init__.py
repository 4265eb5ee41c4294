"""tf_keras.applications as encoders: its networks, layer names and weights, at any output stride."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_keras_applications.variants import SPECS

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_build_encoder",
    "registry_convert_weights",
    "registry_encoders",
    "registry_quantization_rules",
]


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int) -> Mapping[str, Any]:
    """Append the network of that name to `inputs`."""
    from registry_keras_applications.graph import applications_pyramid

    return applications_pyramid(inputs, variant, output_stride=output_stride)


@hookimpl
def registry_convert_weights(
    variant: str, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Bring the arrays of a file of tf_keras.applications into the layers that it was taken apart into."""
    from registry_keras_applications.conversion import convert

    return convert(variant, arrays)


@hookimpl
def registry_quantization_rules() -> Mapping[type, Any]:
    """Of ConvNeXt's scales per channel."""
    from registry.quantization.rules import Own
    from registry_keras_applications.normal_form import LayerScale

    return {LayerScale: Own()}
