"""What discovery tells about plugins, encoders and preset roots: plain, frozen, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from registry.discovery.index import Kind

__all__ = ["ArchitectureRecord", "EncoderRecord", "PluginRecord", "PluginStatus", "PresetRoot"]

PluginStatus = Literal["available", "loaded", "broken", "blocked", "duplicate", "incompatible"]


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """One distribution's claim to one plugin name, and how it stands.

    Args:
        kind: what it offers, `encoder` (variants, in fact), `architecture` or `store`.
        name: the word that presets write under `encoder.plugin` or `architecture.name`.
        distribution: the installed distribution that declares it.
        version: that distribution's version.
        module: the entry point's value, `registry_resnet` or `package.module:object`.
        builtin: whether atrous itself ships it.
        status: `available` (not imported yet), `loaded`, `broken` (failed, or its metadata is malformed),
            `blocked` (switched off), `duplicate` (the name is claimed twice) or `incompatible` (other API).
        error: why it cannot serve, in one line; None while nothing speaks against it.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    module: str
    builtin: bool
    status: PluginStatus
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class EncoderRecord:
    """One encoder variant of an installed plugin.

    Args:
        plugin: name of the plugin.
        variant: name of the variant.
        distribution: the installed distribution that ships it.
        version: that distribution's version.
        channels: channels per pyramid level with default options; None where an option has no default.
        output_strides: output strides that the encoder can be built for.
        min_size: smallest input height and width in pixels.
        weights: weight sources by name.
        parameters: number of parameters with default options, where the plugin states it.
        macs: multiply-accumulate operations at 512×512 pixels, where the plugin states it.
        license: SPDX identifier of the published weights.
        paper: where the architecture is described.
        description: one sentence.
    """

    plugin: str
    variant: str
    distribution: str
    version: str
    channels: dict[str, int] | None
    output_strides: tuple[int, ...]
    min_size: int
    weights: dict[str, str]
    parameters: int | None
    macs: int | None
    license: str
    paper: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return {**asdict(self), "output_strides": list(self.output_strides)}


@dataclass(frozen=True, kw_only=True)
class ArchitectureRecord:
    """One architecture of an installed plugin.

    Args:
        name: the word that presets write under `architecture.name`.
        distribution: the installed distribution that ships it.
        version: that distribution's version.
        module: the plugin's module.
        builtin: whether atrous itself ships it.
        levels: pyramid levels that it reads by default; None where a key of its config has no default.
        paper: where it is described.
        description: one sentence.
    """

    name: str
    distribution: str
    version: str
    module: str
    builtin: bool
    levels: tuple[str, ...] | None
    paper: str
    description: str

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready values."""
        return {**asdict(self), "levels": self.levels and list(self.levels)}


class PresetRoot(NamedTuple):
    """A folder with presets, and who contributes it."""

    plugin: str
    distribution: str
    path: Path
