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
from registry.catalog.roots import Kind
from registry.catalog.tree import Node, from_python
from registry.errors import CatalogError

__all__ = ["PresetLike", "absolute_path", "describe", "is_path", "resolve"]

PresetLike: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | ResolvedPreset

_SUFFIXES = (".yaml", ".yml")


def resolve(preset: PresetLike, *, overrides: Mapping[str, Any] | None = None) -> ResolvedPreset:
    """Read, inherit, override and validate a preset.

    Args:
        preset: the name of a catalog preset; a path, if it is a `PathLike`, ends in `.yaml` or contains a
            path separator; a mapping with the content of a preset, `extends` included; or a preset that was
            resolved already.
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
    if isinstance(preset, ResolvedPreset):
        inheritance.files.extend(preset.files)
        return preset.name, preset.tree
    if isinstance(preset, Mapping):
        return "inline", inheritance.merge(from_python(preset, Origin("inline")), home=None)
    if isinstance(preset, str) and not is_path(preset):
        found = roots.find(preset)
        return found.name, inheritance.load(found.path, found.root)
    path = absolute_path(preset)
    return path.stem, inheritance.load(path, roots.home_of(path))


def is_path(text: str) -> bool:
    """Whether a user's text is meant as a path rather than a name."""
    return text.lower().endswith(_SUFFIXES) or any(separator in text for separator in {"/", "\\", os.sep})


def absolute_path(document: Any, kind: Kind = "preset") -> Path:
    """The path that a user gave for a preset or recipe, from the top.

    Raises:
        CatalogError: it is no path at all.
    """
    try:
        path = Path(document)
    except TypeError:
        raise CatalogError(
            f"a {kind} is a name, a path or a mapping",
            received=f"{type(document).__name__}: {document!r}",
            repair=f"pass the name of a {kind}; registry.list_{kind}s() lists them",
        ) from None
    return roots.absolute(path)
