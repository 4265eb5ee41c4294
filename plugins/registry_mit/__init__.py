"""Mix Transformer (MiT) encoders, the backbone of SegFormer, with KerasHub's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_mit.variants import SPECS, architecture_of

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
    """Describe the MiT variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the MiT of that name to `inputs`; its one output stride is 32."""
    from registry_mit.graph import mit_pyramid

    return mit_pyramid(inputs, architecture_of(variant, options))


@hookimpl
def registry_convert_weights(
    variant: str, source: str, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Name and arrange KerasHub's arrays as our flat layers have them."""
    from registry_mit.conversion import from_keras_hub, is_keras_hub

    return from_keras_hub(arrays) if is_keras_hub(arrays) else None


@hookimpl
def registry_quantization_rules() -> Mapping[type, Any]:
    """Of attention."""
    from registry.quantization.rules import Own, Same, Steps
    from registry_mit.layers import AttendValues, AttentionScores, MergeHeads, SplitHeads

    scaled = Steps(lambda layer, inputs, observe: layer.observed(inputs, observe), ("scaled",))
    return {
        AttendValues: Own(),
        AttentionScores: Own(),
        MergeHeads: Same(),
        SplitHeads: lambda layer: Same() if layer.scale == 1.0 else scaled,
    }
