"""Xception encoders: the aligned ones of DeepLabV3+, and the original one with KerasHub's layer names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_xception.variants import ALIGNED, ORIGINAL, SPECS

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
    """Describe the Xception variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the Xception of that name to `inputs`."""
    if variant in ALIGNED:
        from registry_xception.aligned import aligned_pyramid

        return aligned_pyramid(
            inputs, ALIGNED[variant], output_stride=output_stride, multi_grid=options.multi_grid
        )
    from registry_xception.original import original_pyramid

    return original_pyramid(inputs, ORIGINAL[variant], output_stride=output_stride)


@hookimpl
def registry_convert_weights(
    variant: str, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Convert a file of timm, a checkpoint of TensorFlow DeepLab, or KerasHub's separable convolutions."""
    from registry_xception.conversion import aligned_layers, original_layers

    return aligned_layers(arrays, ALIGNED[variant]) if variant in ALIGNED else original_layers(arrays)


@hookimpl
def registry_quantization_rules() -> Mapping[type, Any]:
    """Of the pooling that follows a size."""
    from registry.quantization.rules import Same
    from registry_xception.pooling import AtrousSameMaxPooling2D

    return {AtrousSameMaxPooling2D: Same()}
