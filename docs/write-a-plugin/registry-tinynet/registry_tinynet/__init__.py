"""TinyNet as a plugin of atrous: what it offers, known without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec, Normalization

REGISTRY_API_VERSION = 1

CHANNELS = {"P1": 16, "P2": 32, "P3": 64, "P4": 96, "P5": 128}


class TinyNetOptions(BaseModel):
    """What a preset may write under `encoder.options`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: Annotated[float, Field(ge=0.25, le=4.0, description="Factor on the channels of every level.")] = (
        1.0
    )


def tinynet_channels(options: TinyNetOptions) -> dict[str, int]:
    """Channels per level: scaled, then rounded to multiples of 8, which mobile kernels prefer."""
    return {level: max(8, round(count * options.width / 8) * 8) for level, count in CHANNELS.items()}


TINYNET = EncoderSpec(
    name="tinynet",
    channels=tinynet_channels,
    output_strides=(8, 16, 32),
    min_size=32,
    options=TinyNetOptions,
    normalization=Normalization(scale=1 / 127.5, offset=-1.0),
    parameters=61_815,
    macs=117_137_408,
    description="Ten separable convolutions, two per level.",
)


@hookimpl
def registry_encoders() -> Iterable[EncoderSpec]:
    """Describe the one variant."""
    return [TINYNET]


@hookimpl
def registry_build_encoder(inputs: Any, output_stride: int, options: TinyNetOptions) -> Mapping[str, Any]:
    """Append TinyNet to `inputs`; there is one variant, so its name is not asked for."""
    from registry_tinynet.encoder import tinynet_pyramid  # imports TensorFlow, hence not at the top

    return tinynet_pyramid(inputs, channels=tinynet_channels(options), output_stride=output_stride)


@hookimpl
def registry_preset_roots() -> Iterable[Path]:
    """Contribute the presets beside this file."""
    return [Path(__file__).parent / "presets"]
