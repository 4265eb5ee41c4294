"""ResNet encoders: v1, v2 (pre-activation) and vd, with KerasHub's layer names and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
from registry_resnet.variants import SPECS, architecture_of

REGISTRY_API_VERSION = 1

__all__ = [
    "REGISTRY_API_VERSION",
    "registry_build_encoder",
    "registry_convert_weights",
    "registry_encoders",
]


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the ResNet variants."""
    return SPECS


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the ResNet of that name to `inputs`."""
    from registry_resnet.graph import resnet_pyramid

    return resnet_pyramid(
        inputs, architecture_of(variant, options), output_stride=output_stride, multi_grid=options.multi_grid
    )


@hookimpl
def registry_convert_weights(
    variant: str, arrays: Mapping[str, Sequence[Any]], options: Any
) -> Mapping[str, Sequence[Any]] | None:
    """Rename what PyTorch's and Model Garden's ResNets call their arrays; KerasHub's have our names already."""
    from registry_resnet.conversion import renamed_layers
    from registry_resnet.model_garden import garden_layers

    layers = renamed_layers(arrays)
    if layers is not None:
        return layers
    return garden_layers(arrays, None if options is None else architecture_of(variant, options))
