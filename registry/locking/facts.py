"""What is here: plugins, the distributions behind them, a preset's configuration and its weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from registry.catalog import PresetLike, ResolvedPreset, is_saved_preset
from registry.catalog.resolving import absolute_path, is_path
from registry.catalog.roots import find
from registry.config import PresetConfig
from registry.discovery import find_encoder, list_plugins, verify_plugins
from registry.errors import LockError, UnknownPresetError
from registry.locking.lockfile import LockedDistribution, LockedPlugin, LockedWeights
from registry.weights import keras_hub
from registry.weights.fingerprints import fingerprints
from registry.weights.handles import is_handle
from registry.weights.sources import Source, encoder_source

__all__ = [
    "Weights",
    "config_facts",
    "config_sha256",
    "given",
    "installed_distributions",
    "installed_plugins",
    "own_weights",
    "plugins_of",
    "written",
]


@dataclass(frozen=True)
class Weights:
    """What a model starts from.

    Args:
        use: whether it is the whole model's, or the encoder's.
        source: a handle or a path.
        declared: whether a plugin names it.
    """

    use: Literal["segmentation", "encoder"]
    source: str
    declared: bool

    def locked(self) -> LockedWeights:
        """Fetch and hash the files.

        Raises:
            WeightsError: they cannot be had.
        """
        shown = self.source if is_handle(self.source) else Path(self.source).name
        files = fingerprints(self.source, declared=self.declared)
        return LockedWeights(use=self.use, source=shown, files=files)


def own_weights(source: Source, *, encoder: bool = True) -> Weights | None:
    """What `weights="default"` loads, which `registry.assembly.pretrained` does; None if that is nothing.

    Args:
        source: the preset.
        encoder: whether the encoder's weights are wanted where the whole model has none.

    Raises:
        WeightsError: they cannot be had.
        PluginError: the encoder's plugin cannot serve.
    """
    stated = source.weights("segmentation")
    if stated is not None:
        return Weights("segmentation", stated, declared=False)
    if not encoder:
        return None
    stated_encoder = source.resolved.config.encoder
    _, spec = find_encoder(stated_encoder.plugin, stated_encoder.variant)
    name = encoder_source(source, spec)
    if name is None:
        return None
    return Weights("encoder", spec.weights.get(name, name), declared=name in spec.weights)


def plugins_of(config: PresetConfig) -> set[tuple[str, str]]:
    """Kind and name of the plugins that a preset needs."""
    return {("architecture", config.architecture.name), ("encoder", config.encoder.plugin)}


def installed_plugins() -> dict[tuple[str, str], LockedPlugin]:
    """Every plugin that may be used, by kind and name; imports none."""
    return {
        (record.kind, record.name): LockedPlugin(
            kind=record.kind, name=record.name, distribution=record.distribution
        )
        for record in list_plugins()
        if record.kind in ("architecture", "encoder") and record.status in ("available", "loaded")
    }


def installed_distributions(names: set[str]) -> dict[str, tuple[LockedDistribution, tuple[str, ...]]]:
    """Distribution → what a lock states of it, and how its files differ from what was installed."""
    return {
        verified.distribution: (LockedDistribution.of(verified), verified.findings)
        for verified in verify_plugins()
        if verified.distribution in names
    }


def config_sha256(config: PresetConfig) -> str:
    """SHA-256 of a resolved configuration, whatever its keys' order."""
    return _sha256(config.model_dump(mode="json"))


def config_facts(config: PresetConfig) -> dict[str, Any]:
    """A resolved configuration as a lock file states it; labels, of which there may be hundreds, as one hash."""
    facts = config.model_dump(mode="json")
    if facts["labels"]:
        facts["labels"] = f"sha256:{_sha256(facts['labels'])}"
    return facts


def written(preset: PresetLike, folder: Path) -> str:
    """How a lock file in a folder names a preset: a name or handle as it is, a path relative to that folder.

    Raises:
        LockError: a mapping, which has no name.
    """
    if isinstance(preset, ResolvedPreset):
        return preset.name
    if isinstance(preset, Mapping):
        raise LockError(
            "a model is built under a lock from what the lock names, and a mapping has no name",
            received=f"a mapping with {', '.join(map(str, preset)) or 'nothing'}",
            repair="write it to a YAML file, and lock and build the path of that",
        )
    if is_handle(preset) or (isinstance(preset, str) and _is_name(preset)):
        return str(preset)
    path = absolute_path(preset)
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def given(key: str, folder: Path) -> str:
    """What `written` was given, from the working directory of today."""
    is_relative = key.startswith(("./", "../"))
    return str(folder / key) if is_relative else key


def _is_name(preset: str) -> bool:
    """Whether a word is taken for a name of the catalog, and not for a folder in the working directory."""
    if is_path(preset):
        return False
    if not is_saved_preset(preset):
        return not keras_hub.is_preset_directory(preset)
    try:
        find(preset)
    except UnknownPresetError:
        return False
    return True


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
