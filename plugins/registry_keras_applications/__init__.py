"""tf_keras.applications as encoders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec

REGISTRY_API_VERSION = 1

__all__ = ["REGISTRY_API_VERSION", "registry_build_encoder", "registry_encoders"]


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the variants."""
    return ()


@hookimpl
def registry_build_encoder(variant: str, inputs: Any, output_stride: int, options: Any) -> Mapping[str, Any]:
    """Append the encoder of that name to `inputs`."""
    raise NotImplementedError(variant)
