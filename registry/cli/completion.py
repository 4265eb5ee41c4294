"""Words that a shell completes: `atrous --install-completion` sets it up for bash, zsh, fish and PowerShell.

A shell asks anew at each key, so nothing here reads more than names. Whatever goes wrong, there are no words: an error
message in the middle of a command line would help nobody.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from registry.errors import RegistryError

__all__ = [
    "complete_encoder_plugin",
    "complete_labels",
    "complete_model",
    "complete_preset",
    "complete_recipe",
    "complete_source",
]

_YAML = (".yaml", ".yml")
_EXPORTED = (".tflite",)
_SAVED = (".keras", ".tflite")


def _quiet(words: Callable[[], Iterable[str]], suffixes: tuple[str, ...]) -> Callable[[str], list[str]]:
    """A completion from names, and from files of the given endings."""

    def complete(incomplete: str) -> list[str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                names = sorted(name for name in words() if name.startswith(incomplete))
        except (RegistryError, OSError):
            names = []
        return names + _paths(incomplete, suffixes)

    return complete


def _paths(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Files of the given endings that a path begins, and folders, where more may lie."""
    if not suffixes:
        return []
    head, start = os.path.split(incomplete)
    try:
        entries = sorted(Path(head or ".").expanduser().iterdir())
    except (OSError, RuntimeError):
        return []
    found = []
    for entry in entries:
        hidden = entry.name.startswith(".") and not start.startswith(".")
        if hidden or not entry.name.startswith(start):
            continue
        if entry.is_dir():
            found.append(os.path.join(head, entry.name) + os.sep)  # noqa: PTH118 - `~` and `./` stay as typed
        elif entry.suffix.lower() in suffixes:
            found.append(os.path.join(head, entry.name))  # noqa: PTH118
    return found


def _presets() -> list[str]:
    import registry

    return registry.list_presets()


def _recipes() -> list[str]:
    import registry

    return registry.list_recipes()


def _names_of(kind: str) -> Callable[[], list[str]]:
    def names() -> list[str]:
        import registry

        return [record.name for record in registry.list_plugins() if record.kind == kind]

    return names


complete_preset = _quiet(_presets, _YAML)
"""Presets of the catalog, and YAML files."""
complete_source = _quiet(_presets, (*_YAML, *_SAVED))
"""Whatever a model can be made of or loaded from."""
complete_model = _quiet(list, _EXPORTED)
"""Exported files."""
complete_recipe = _quiet(_recipes, _YAML)
"""Recipes of the catalog, and YAML files."""
complete_labels = _quiet(_presets, (*_YAML, ".txt"))
"""What names classes."""
complete_encoder_plugin = _quiet(_names_of("encoder"), ())
"""Encoder plugins, usable or not."""
