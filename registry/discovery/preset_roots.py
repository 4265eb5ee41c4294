"""Folders with presets that plugins contribute. A plugin that cannot have any is not imported for it."""

from __future__ import annotations

import importlib.util
import re
import warnings
from importlib.machinery import PathFinder
from pathlib import Path

from registry.discovery.index import Claim, Index, Kind
from registry.discovery.records import PresetRoot
from registry.errors import BrokenPluginError, RegistryWarning

__all__ = ["preset_roots"]

_KINDS: tuple[Kind, ...] = ("encoder", "architecture")
_HOOK = "registry_preset_roots"
# A module without the hook's name may still have it, if it takes or makes names that it does not spell.
_SPELT_ELSEWHERE = re.compile(
    rf"{_HOOK}|import\s*\(?\s*\*|\b(?:globals|locals|vars|setattr|exec|eval|__dict__)\b"
)


def preset_roots() -> list[PresetRoot]:
    """Ask every usable plugin for the folders with presets that it contributes.

    Imported are those whose module may have the hook, by its source text. What cannot serve, raises or names a folder
    that does not exist is left out with a `RegistryWarning`.
    """
    asked = {claim for claim in Index.read().claims if claim.kind in _KINDS and _may_contribute(claim)}
    if not asked:
        return []
    from registry.discovery.plugins import usable_plugins

    roots = []
    for kind in _KINDS:
        for plugin in usable_plugins(kind, which=asked.__contains__):
            try:
                paths = plugin.preset_roots()
            except BrokenPluginError as error:
                _warn(f"the presets of {plugin.origin} are left out\n{error}")
                continue
            for path in paths:
                if path.is_dir():
                    roots.append(PresetRoot(plugin.record.name, plugin.record.distribution, path))
                else:
                    _warn(f"{plugin.origin} contributes a preset root that is no existing folder: {path}")
    return roots


def _may_contribute(claim: Claim) -> bool:
    """Whether the module of a claim may have the hook: yes, unless its source says otherwise."""
    if claim.defect or ":" in claim.module:
        return True
    source = _source(claim.module)
    return source is None or _SPELT_ELSEWHERE.search(source) is not None


def _source(module: str) -> str | None:
    """The text of a module, found without importing the packages around it; None where there is none to read."""
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a name without a point, nothing is imported
        for part in parts:
            spec = spec and PathFinder.find_spec(part, list(spec.submodule_search_locations or []))
        return (
            Path(spec.origin).read_text(encoding="utf-8")
            if spec and spec.has_location and spec.origin
            else None
        )
    except (ImportError, OSError, ValueError):
        return None


def _warn(message: str) -> None:
    warnings.warn(message, RegistryWarning, stacklevel=3)
