"""Plugins: known from metadata, imported one at a time, never able to break one another.

Encoder plugins are the entry points of the group `registry.encoders`, architectures those of
`registry.architectures`, stores those of `registry.stores`. Listing reads metadata and imports nothing. Loading imports
exactly the plugin that is asked for; whether that worked is remembered. Nothing here imports TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.exports import first_use, names

# Public name → module that defines it, imported on first use.
_HOMES = {
    "ArchitectureRecord": "registry.discovery.records",
    "EncoderRecord": "registry.discovery.records",
    "LoadedArchitecture": "registry.discovery.loaded",
    "LoadedPlugin": "registry.discovery.loaded",
    "LoadedStore": "registry.discovery.loaded",
    "PluginRecord": "registry.discovery.records",
    "PresetRoot": "registry.discovery.records",
    "RESERVED_SCHEMES": "registry.discovery.index",
    "VerifiedDistribution": "registry.discovery.verification",
    "architecture_names": "registry.discovery.plugins",
    "find_encoder": "registry.discovery.plugins",
    "host_is_installed": "registry.discovery.index",
    "list_architectures": "registry.discovery.plugins",
    "list_encoders": "registry.discovery.plugins",
    "list_plugins": "registry.discovery.plugins",
    "load_architecture": "registry.discovery.plugins",
    "load_plugin": "registry.discovery.plugins",
    "load_store": "registry.discovery.plugins",
    "preset_roots": "registry.discovery.preset_roots",
    "reset": "registry.discovery.plugins",
    "store_schemes": "registry.discovery.plugins",
    "verify_plugins": "registry.discovery.verification",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings

# The redundant aliases tell type checkers that these names are exported.
if TYPE_CHECKING:
    from registry.discovery.index import RESERVED_SCHEMES as RESERVED_SCHEMES
    from registry.discovery.index import host_is_installed as host_is_installed
    from registry.discovery.loaded import LoadedArchitecture as LoadedArchitecture
    from registry.discovery.loaded import LoadedPlugin as LoadedPlugin
    from registry.discovery.loaded import LoadedStore as LoadedStore
    from registry.discovery.plugins import architecture_names as architecture_names
    from registry.discovery.plugins import find_encoder as find_encoder
    from registry.discovery.plugins import list_architectures as list_architectures
    from registry.discovery.plugins import list_encoders as list_encoders
    from registry.discovery.plugins import list_plugins as list_plugins
    from registry.discovery.plugins import load_architecture as load_architecture
    from registry.discovery.plugins import load_plugin as load_plugin
    from registry.discovery.plugins import load_store as load_store
    from registry.discovery.plugins import reset as reset
    from registry.discovery.plugins import store_schemes as store_schemes
    from registry.discovery.preset_roots import preset_roots as preset_roots
    from registry.discovery.records import ArchitectureRecord as ArchitectureRecord
    from registry.discovery.records import EncoderRecord as EncoderRecord
    from registry.discovery.records import PluginRecord as PluginRecord
    from registry.discovery.records import PresetRoot as PresetRoot
    from registry.discovery.verification import VerifiedDistribution as VerifiedDistribution
    from registry.discovery.verification import verify_plugins as verify_plugins


def __getattr__(name: str) -> Any:
    return first_use(globals(), _HOMES, name)


def __dir__() -> list[str]:
    return names(globals(), _HOMES)
