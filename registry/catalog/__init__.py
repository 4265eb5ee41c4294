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

from registry.catalog.origin import Origin
from registry.catalog.printing import preset_yaml
from registry.catalog.published import preset_schema, recipe_schema
from registry.catalog.recipes import RecipeLike, ResolvedRecipe, resolve_recipe
from registry.catalog.resolved import ResolvedPreset
from registry.catalog.resolving import PresetLike, describe, resolve, resolve_fetched
from registry.catalog.roots import list_presets, list_recipes
from registry.catalog.saved import is_saved_preset

__all__ = [
    "Origin",
    "PresetLike",
    "RecipeLike",
    "ResolvedPreset",
    "ResolvedRecipe",
    "describe",
    "is_saved_preset",
    "list_presets",
    "list_recipes",
    "preset_schema",
    "preset_yaml",
    "recipe_schema",
    "resolve",
    "resolve_fetched",
    "resolve_recipe",
]
