"""The JSON Schemas of preset and recipe files, for editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from registry.catalog.architectures import narrowed
from registry.catalog.inheritance import EXTENDS, MAX_BASES, NAME_PATTERN
from registry.config import PresetConfig, RecipeConfig
from registry.discovery import list_architectures, load_architecture

__all__ = ["preset_schema", "recipe_schema"]

_BASE_NAME = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}


def preset_schema(*, builtin: bool = False) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) that completes and checks a preset file in an editor.

    It describes one file, and any file may inherit: so no key of a section is required.

    Args:
        builtin: describe only the architectures that atrous ships, not those of other installed plugins.
    """
    names = [record.name for record in list_architectures() if record.builtin or not builtin]
    sections = tuple(load_architecture(name).spec.section for name in names)
    return _published(
        narrowed(sections) if sections else PresetConfig,
        "preset",
        "A preset of atrous or a part of one: encoder, architecture, classes, input, weights.",
    )


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) that completes and checks a recipe file in an editor; no key is required."""
    return _published(
        RecipeConfig, "recipe", "A recipe of atrous or a part of one: a preset, its data, how it is trained."
    )


def _published(model: type[BaseModel], kind: str, description: str) -> dict[str, Any]:
    schema = model.model_json_schema(mode="validation")
    for section in _sections(schema, schema["$defs"], set()):
        section.pop("required", None)
    extends = {
        "title": "Extends",
        "description": f"Name of the {kind} or part to inherit from, or a list of them; later ones win over "
        "earlier, this file over all. Mappings merge, everything else is replaced.",
        "anyOf": [_BASE_NAME, {"type": "array", "items": _BASE_NAME, "maxItems": MAX_BASES}],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"atrous {kind}",
        "description": description,
        "type": "object",
        "properties": {EXTENDS: extends, **schema["properties"]},
        "additionalProperties": False,
        "$defs": schema["$defs"],
    }


def _sections(
    schema: dict[str, Any], definitions: dict[str, Any], seen: set[str]
) -> Iterator[dict[str, Any]]:
    """The mappings that merge with inherited ones. Items of lists are none: a list is replaced as a whole."""
    reference = schema.get("$ref")
    if reference is not None:
        name = reference.rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from _sections(definitions[name], definitions, seen)
    if schema.pop("discriminator", None) is not None:
        # Without a required tag, a partial section fits several architectures, which `oneOf` would refuse.
        schema["anyOf"] = schema.pop("oneOf")
    for member in schema.get("anyOf", []):
        yield from _sections(member, definitions, seen)
    for child in schema.get("properties", {}).values():
        yield from _sections(child, definitions, seen)
    yield schema
