"""EfficientNet encoders: B0–B7, V2 and Lite, with the layer names of tf_keras.applications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_efficientnet.variants import ARCHITECTURES, SPECS

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_build_encoder",
    "registry_convert_weights",
    "registry_encoders",
]


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the EfficientNet variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the EfficientNet of that name to `inputs`."""
    from registry_efficientnet.graph import efficientnet_pyramid

    return efficientnet_pyramid(
        inputs,
        ARCHITECTURES[variant],
        output_stride=output_stride,
        drop_connect_rate=options.drop_connect_rate,
    )


@hookimpl
def registry_convert_weights(
    variant: str, source: str, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Name the layers of timm's and KerasHub's files as tf-keras does."""
    from registry_efficientnet.conversion import renamed_layers

    return renamed_layers(ARCHITECTURES[variant], arrays)
