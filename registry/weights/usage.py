"""Which presets and encoders take their weights from a handle."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import cache

from registry.catalog import list_presets, resolve
from registry.discovery import list_encoders, load_plugin
from registry.errors import RegistryError
from registry.weights.handles import is_handle
from registry.weights.sources import DEFAULT_SOURCE

__all__ = ["usage"]


def usage() -> dict[str, list[str]]:
    """Handle without its hash → presets that load it by default, and encoders (`plugin/variant`) that name it.

    Presets and plugins that cannot be read are left out: what is wrong with them is said elsewhere.
    """
    users: dict[str, list[str]] = defaultdict(list)

    def add(source: str | None, user: str) -> None:
        if source is not None and is_handle(source):
            users[source.partition("#")[0]].append(user)

    plugin_named = cache(load_plugin)  # which reads the metadata of all that is installed
    for name in list_presets():
        with suppress(RegistryError):
            config = resolve(name).config
            if config.weights.segmentation is not None:
                add(config.weights.segmentation, name)
                continue
            source = config.weights.encoder or DEFAULT_SOURCE
            spec = plugin_named(config.encoder.plugin).encoder(config.encoder.variant)
            add(spec.weights.get(source, source), name)
    for record in list_encoders():
        for source in dict.fromkeys(record.weights.values()):
            add(source, f"{record.plugin}/{record.variant}")
    return dict(users)
