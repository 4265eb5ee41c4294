"""`resolve` and `describe`: what the user names → `ResolvedPreset`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from registry.catalog import roots
from registry.catalog.inheritance import Inheritance
from registry.catalog.origin import Origin, shown_path
from registry.catalog.overrides import apply_overrides
from registry.catalog.resolved import ResolvedPreset
from registry.catalog.roots import Kind, Root
from registry.catalog.saved import PRESET_FILE, is_saved_preset
from registry.catalog.tree import Node, from_python
from registry.errors import CatalogError, UnknownPresetError

__all__ = ["PresetLike", "absolute_path", "describe", "is_path", "load_path", "resolve", "resolve_fetched"]

PresetLike: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | ResolvedPreset

_SUFFIXES = (".yaml", ".yml")


def resolve(preset: PresetLike, *, overrides: Mapping[str, Any] | None = None) -> ResolvedPreset:
    """Read, inherit, override and validate a preset.

    Args:
        preset: the name of a catalog preset; a path, if it is a `PathLike`, ends in `.yaml` or contains a
            path separator; a mapping with the content of a preset, `extends` included; or a preset that was
            resolved already. A path is that of a YAML file or of a saved preset's folder; a word that names no preset
            may also be such a folder.
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


def resolve_fetched(
    directory: Path, name: str, *, overrides: Mapping[str, Any] | None = None
) -> ResolvedPreset:
    """Resolve the saved preset that a hub's client has brought onto this machine.

    Args:
        directory: where its files are. They may be links into the client's cache, and those are followed.
        name: of the preset, since the folder may be called by a commit.
        overrides: as in `resolve`.

    Raises:
        Errors of `resolve`.
    """
    inheritance = Inheritance()
    tree = inheritance.load(directory / PRESET_FILE, Root(directory, "hub", installed=True))
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
        try:
            found = roots.find(preset)
        except UnknownPresetError:
            if not is_saved_preset(preset):
                raise
        else:
            return found.name, inheritance.load(found.path, found.root)
    if isinstance(preset, str) and "://" in preset:
        raise CatalogError(
            "what is described lies on this machine; registry.build and registry.load fetch handles",
            received=preset,
            repair="download the folder of the preset, and pass its path",
        )
    return load_path(absolute_path(preset), inheritance)


def load_path(path: Path, inheritance: Inheritance) -> tuple[str, Node]:
    """Read a preset that is given by the path of its file, or of a saved preset's folder."""
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder may not be entered
        return path.name, inheritance.load(_file_in(path), roots.home_of(path / PRESET_FILE))
    return path.stem, inheritance.load(path, roots.home_of(path))


def _file_in(folder: Path) -> Path:
    if is_saved_preset(folder):
        return folder / PRESET_FILE
    raise CatalogError(
        f"a folder is a preset if it holds {PRESET_FILE}, as registry.save_preset writes it",
        received=f"{shown_path(folder)}, which is a folder without",
        repair="name a .yaml file in that folder, or the folder of a saved preset",
    )


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
