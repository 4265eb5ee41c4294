"""CSPNet encoders: CSPDarkNet, CSPResNet, CSPResNeXt and DarkNet, with KerasHub's layer names and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_cspnet.variants import SPECS, architecture_of

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
    """Describe the CSPNet variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the CSPNet of that name to `inputs`."""
    from registry_cspnet.graph import cspnet_pyramid

    return cspnet_pyramid(inputs, architecture_of(variant, options), output_stride=output_stride)


@hookimpl
def registry_convert_weights(
    variant: str, source: str, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Rename timm's parameters to our layers; KerasHub's arrays are named after them already."""
    from registry_cspnet.conversion import from_timm, is_timm

    return from_timm(arrays) if is_timm(arrays) else None


@hookimpl
def registry_quantization_rules() -> Mapping[type, Any]:
    """Of grouped convolutions and of channels picked out."""
    from registry.quantization.rules import Own, Same
    from registry_cspnet.layers import ChannelSlice, GroupedConv2D

    return {ChannelSlice: Same(), GroupedConv2D: Own({"kernel": (3,)})}
