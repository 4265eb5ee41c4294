"""`resolve` and `describe`: what the user names → `ResolvedPreset`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from registry.catalog import roots
from registry.catalog.inheritance import Inheritance
from registry.catalog.origin import Origin
from registry.catalog.overrides import apply_overrides
from registry.catalog.resolved import ResolvedPreset
from registry.catalog.tree import Node, from_python
from registry.errors import CatalogError

__all__ = ["PresetLike", "describe", "resolve"]

PresetLike: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]

_SUFFIXES = (".yaml", ".yml")


def resolve(preset: PresetLike, *, overrides: Mapping[str, Any] | None = None) -> ResolvedPreset:
    """Read, inherit, override and validate a preset.

    Args:
        preset: the name of a catalog preset; a path, if it is a `PathLike`, ends in `.yaml` or contains a
            path separator; or a mapping with the content of a preset, `extends` included.
        overrides: values to change. A key is a top-level key, a dotted path such as
            `encoder.output_stride`, or a name that occurs once in the schema, such as `output_stride`.

    Returns:
        The validated config with every value's origin.

    Raises:
        UnknownPresetError: no preset root holds that name.
        DuplicatePresetError: two files claim that name.
        ConfigError: a value breaks the schema; with file, line and column.
        CatalogError: a file cannot be read, or `ATROUS_PRESET_PATH` names something that is no folder.
    """
    inheritance = Inheritance()
    name, tree = _load(preset, inheritance)
    tree = apply_overrides(tree, overrides or {})
    return ResolvedPreset.from_tree(name, tree, tuple(inheritance.files))


def describe(preset: PresetLike, **overrides: Any) -> ResolvedPreset:
    """Resolve a preset to look at it: `print(describe("…", output_stride=8))`.

    Args:
        preset: as in `resolve`.
        **overrides: as in `resolve`.

    Returns:
        The validated config; its `str` shows where each value came from.
    """
    return resolve(preset, overrides=overrides)


def _load(preset: PresetLike, inheritance: Inheritance) -> tuple[str, Node]:
    if isinstance(preset, Mapping):
        return "inline", inheritance.merge(from_python(preset, Origin("inline")), home=None)
    if isinstance(preset, str) and not _is_path(preset):
        found = roots.find(preset)
        return found.name, inheritance.load(found.path, found.root)
    path = _absolute(preset)
    return path.stem, inheritance.load(path, roots.home_of(path))


def _is_path(text: str) -> bool:
    return text.lower().endswith(_SUFFIXES) or any(separator in text for separator in {"/", "\\", os.sep})


def _absolute(preset: str | os.PathLike[str]) -> Path:
    try:
        path = Path(preset)
    except TypeError:
        raise CatalogError(
            "a preset is a name, a path or a mapping",
            received=f"{type(preset).__name__}: {preset!r}",
            repair="pass the name of a preset; registry.list_presets() lists them",
        ) from None
    return roots.absolute(path)
