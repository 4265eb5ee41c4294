"""The catalog: name, file or mapping of a preset or recipe → validated config that knows each value's file and line.

::

    roots         which folders hold presets, which file a name means   (saved: what a saved preset's folder holds)
    source        one YAML file → located tree, under limits        (scalars: the YAML 1.2 core schema)
    tree          plain data in which every value knows its origin
    inheritance   `extends`: a file and its bases → one tree
    beside        weights that a file names: beside it, and no way out of its folder
    overrides     the caller's changes
    architectures the config, narrowed to the architecture that a preset names
    validation    tree → PresetConfig; complaints with file, line and column   (shape: the schema in words)
    resolved      the result                      (printing: as YAML that says the same)
    recipes       the same for recipes, with the preset that they train
    published     the JSON Schemas for editors                       (schema: the command that writes it)

Nothing here imports TensorFlow. Of plugins, that of the preset's architecture is imported, since it says which keys
that section has; others only for preset names that the other roots do not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.exports import first_use, names

# Public name → module that defines it, imported on first use.
_HOMES = {
    "Origin": "registry.catalog.origin",
    "PresetLike": "registry.catalog.resolving",
    "RecipeLike": "registry.catalog.recipes",
    "ResolvedPreset": "registry.catalog.resolved",
    "ResolvedRecipe": "registry.catalog.recipes",
    "describe": "registry.catalog.resolving",
    "is_saved_preset": "registry.catalog.saved",
    "list_presets": "registry.catalog.roots",
    "list_recipes": "registry.catalog.roots",
    "preset_schema": "registry.catalog.published",
    "preset_yaml": "registry.catalog.printing",
    "recipe_schema": "registry.catalog.published",
    "resolve": "registry.catalog.resolving",
    "resolve_fetched": "registry.catalog.resolving",
    "resolve_recipe": "registry.catalog.recipes",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings

# The redundant aliases tell type checkers that these names are exported.
if TYPE_CHECKING:
    from registry.catalog.origin import Origin as Origin
    from registry.catalog.printing import preset_yaml as preset_yaml
    from registry.catalog.published import preset_schema as preset_schema
    from registry.catalog.published import recipe_schema as recipe_schema
    from registry.catalog.recipes import RecipeLike as RecipeLike
    from registry.catalog.recipes import ResolvedRecipe as ResolvedRecipe
    from registry.catalog.recipes import resolve_recipe as resolve_recipe
    from registry.catalog.resolved import ResolvedPreset as ResolvedPreset
    from registry.catalog.resolving import PresetLike as PresetLike
    from registry.catalog.resolving import describe as describe
    from registry.catalog.resolving import resolve as resolve
    from registry.catalog.resolving import resolve_fetched as resolve_fetched
    from registry.catalog.roots import list_presets as list_presets
    from registry.catalog.roots import list_recipes as list_recipes
    from registry.catalog.saved import is_saved_preset as is_saved_preset


def __getattr__(name: str) -> Any:
    return first_use(globals(), _HOMES, name)


def __dir__() -> list[str]:
    return names(globals(), _HOMES)
