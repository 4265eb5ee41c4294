"""Recipes: a name, file or mapping → `ResolvedRecipe`, whose preset is resolved with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from registry.catalog import roots
from registry.catalog.inheritance import EXTENDS, Inheritance
from registry.catalog.origin import Origin
from registry.catalog.overrides import apply_overrides, overriding
from registry.catalog.problems import Problem, shown
from registry.catalog.resolved import Resolved, ResolvedPreset
from registry.catalog.resolving import absolute_path, is_path, load_path
from registry.catalog.roots import Root
from registry.catalog.tree import Node, from_python
from registry.catalog.validation import validate_recipe
from registry.config import RecipeConfig

__all__ = ["RecipeLike", "ResolvedRecipe", "resolve_recipe"]

RecipeLike = str | os.PathLike[str] | Mapping[str, Any]

_PRESET = "preset"
# Keys that say which other keys a section has.
_TAGS = ("name", "reader")


@dataclass(frozen=True)
class ResolvedRecipe(Resolved):
    """A recipe with its bases merged, overridden and validated. `print` it to see every value's origin.

    Args:
        name: name of the recipe; the stem of a file given by path; `inline` for a mapping.
        config: the validated config; its `preset` is the whole preset, bases merged.
        origins: path of keys and indices → where that value came from, defaults included.
        files: the files that were read, the recipe's own first.
        tree: the located values as written.
        preset: what is trained.
    """

    config: RecipeConfig
    preset: ResolvedPreset = field(repr=False, compare=False)


def resolve_recipe(recipe: RecipeLike, *, overrides: Mapping[str, Any] | None = None) -> ResolvedRecipe:
    """Read, inherit, override and validate a recipe and the preset that it trains.

    Args:
        recipe: the name of a recipe in the catalog; a path, if it is a `PathLike`, ends in `.yaml` or contains a path
            separator; or a mapping with the content of a recipe, `extends` included.
        overrides: values to change. A key is a top-level key, a dotted path such as `optimizer.momentum`, or a name
            that occurs once in the schema, such as `momentum`. What starts with `preset.` changes the preset, as in
            `registry.build`: `preset.output_stride`.

    Returns:
        The validated config with every value's origin.

    Raises:
        UnknownRecipeError, UnknownPresetError: no root holds that name.
        DuplicatePresetError: two files claim that name.
        ConfigError: a value breaks the schema; with file, line and column.
        CatalogError: a file cannot be read, or `ATROUS_PRESET_PATH` names something that is no folder.
        PluginError: the plugin of the preset's architecture cannot serve.
    """
    inheritance = Inheritance(kind="recipe", lay=_lay)
    name, tree, home = _load(recipe, inheritance)
    own, for_preset = _split(overrides or {})
    if own:
        tree = _lay(tree, overriding(own, [RecipeConfig]))
    files = tuple(inheritance.files)
    preset = _preset(tree, home, name, for_preset)
    tree = replace(tree, value={**tree.entries, _PRESET: preset.tree})
    config = validate_recipe(tree, recipe=name)
    return ResolvedRecipe.of(name, config, tree, (*files, *preset.files), preset=preset)


def _lay(base: Node, own: Node) -> Node:
    """Lay a recipe over its base; a section of another name or reader replaces the inherited one as a whole."""
    if not (isinstance(base.value, Mapping) and isinstance(own.value, Mapping)):
        return own
    if any(_differs(base.child(tag), own.child(tag)) for tag in _TAGS):
        return own
    merged = dict(base.value)
    for key, node in own.value.items():
        # A preset is named or written as a whole: two of them are never mixed.
        merged[key] = _lay(merged[key], node) if key in merged and key != _PRESET else node
    return replace(own, value=merged)


def _differs(before: Node | None, after: Node | None) -> bool:
    return before is not None and after is not None and before.value != after.value


def _split(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides of the recipe, and those of its preset without their prefix."""
    prefix = f"{_PRESET}."
    own = {key: value for key, value in overrides.items() if not str(key).startswith(prefix)}
    rest = {key.removeprefix(prefix): value for key, value in overrides.items() if key not in own}
    return own, rest


def _load(recipe: RecipeLike, inheritance: Inheritance) -> tuple[str, Node, Root | None]:
    if isinstance(recipe, Mapping):
        return (
            "inline",
            inheritance.merge(from_python(recipe, Origin("inline", name="recipe")), home=None),
            None,
        )
    if isinstance(recipe, str) and not is_path(recipe):
        found = roots.find(recipe, "recipe")
        return found.name, inheritance.load(found.path, found.root), found.root
    path = absolute_path(recipe, "recipe")
    home = roots.home_of(path, "recipe")
    return path.stem, inheritance.load(path, home), home


def _preset(tree: Node, home: Root | None, recipe: str, overrides: Mapping[str, Any]) -> ResolvedPreset:
    """Resolve what a recipe trains; a path is relative to the file that states it, else to the working directory."""
    node = tree.entries.get(_PRESET)
    if node is None:
        raise Problem(
            tree.origin,
            "`preset` is required",
            f"only {', '.join(tree.entries)}" if tree.entries else "nothing",
            "add `preset:`, the name of a preset, its path, or a preset written here",
        ).error()
    inheritance = Inheritance()
    if isinstance(node.value, Mapping):
        name, merged = f"{recipe}.preset", inheritance.merge(node, _presets_beside(home))
    elif not isinstance(node.value, str):
        raise Problem(
            node.origin,
            "`preset` must be a name, a path or a mapping",
            shown(node.plain()),
            "write the name of a preset",
        ).error()
    elif is_path(node.value):
        base = node.origin.file.parent if node.origin.file is not None else Path()
        name, merged = load_path(roots.absolute(base / Path(node.value).expanduser()), inheritance)
    else:
        # By way of `extends`, so that a name that does not exist is told with its place.
        statement = replace(node, value={EXTENDS: node})
        name, merged = node.value, inheritance.merge(statement, _presets_beside(home))
    return ResolvedPreset.from_tree(name, apply_overrides(merged, overrides), tuple(inheritance.files))


def _presets_beside(home: Root | None) -> Root | None:
    """The root of presets that goes with a root of recipes; a single file's own folder serves both."""
    if home is None or home.owner == "file":
        return home
    return replace(home, path=home.path.parent)
