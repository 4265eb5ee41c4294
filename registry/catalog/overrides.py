"""What a caller changes in a preset: `output_stride=8`, `**{"encoder.output_stride": 8}`, `encoder={…}`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Any

from pydantic import BaseModel

from registry.catalog.architectures import architecture_name, preset_model
from registry.catalog.inheritance import EXTENDS, inherit
from registry.catalog.origin import Origin, dotted
from registry.catalog.problems import Problem, shown
from registry.catalog.shape import Shape
from registry.catalog.tree import Node, deep_merge, from_python
from registry.config import RecipeConfig
from registry.errors import ConfigError, nearest

__all__ = ["apply_overrides", "overriding"]


def apply_overrides(tree: Node, overrides: Mapping[str, Any]) -> Node:
    """Lay overrides over a preset, as a preset is laid over its base.

    Args:
        tree: the preset with its bases merged.
        overrides: a top-level key, a dotted path, or a key whose name is unique in the schema → its value. The
            schema is that of the architecture that the preset will have.

    Raises:
        ConfigError: a key is unknown or ambiguous, or a value cannot stand in a preset.
        PluginError: the architecture's plugin cannot serve.
    """
    if not overrides:
        return tree
    models = [preset_model(name) for name in _architectures(tree, overrides)]
    return inherit(tree, overriding(overrides, models))


def overriding(overrides: Mapping[str, Any], models: Sequence[type[BaseModel]]) -> Node:
    """The overrides as one tree, to be laid over another.

    They are merged among themselves first, so that their order does not decide what they replace.

    Args:
        overrides: one or more; a top-level key, a dotted path, or a key whose name is unique in the schema → value.
        models: what the result may be; the first one is what messages speak of.

    Raises:
        ConfigError: a key is unknown or ambiguous, or a value cannot stand in the catalog.
    """
    return reduce(deep_merge, [_branch(key, value, models) for key, value in overrides.items()])


def _architectures(tree: Node, overrides: Mapping[str, Any]) -> list[str | None]:
    """The architecture after the overrides, then the one before: a key of the old one is an error about its value."""
    section = overrides.get("architecture")
    named = [
        overrides.get("architecture.name"),
        overrides.get("name"),
        section.get("name") if isinstance(section, Mapping) else None,
        architecture_name(tree),
    ]
    return list(dict.fromkeys(name for name in named if isinstance(name, str))) or [None]


def _branch(key: object, value: object, models: Sequence[type[BaseModel]]) -> Node:
    origin = Origin("override", name=str(key))
    path = _path(key, origin, models)
    node = from_python(value, origin, path=path)
    for step in reversed(path):
        node = Node({step: node}, origin)
    return node


def _path(key: object, origin: Origin, models: Sequence[type[BaseModel]]) -> tuple[str, ...]:
    if not isinstance(key, str) or not key:
        raise Problem(
            origin, "the name of an override must be a string", repr(key), "name a key of the schema"
        ).error()
    if key == EXTENDS:
        repair = "pass {'extends': …, …} as the preset"
        raise Problem(origin, "`extends` cannot be overridden", key, repair).error()
    if "." in key:
        return _dotted_path(key, origin, models)
    if key in models[0].model_fields:
        return (key,)
    candidates = next((found for model in models if (found := _leaves(model).get(key))), [])
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        listed = " or ".join(f"`{dotted(path)}`" for path in candidates)
        rule = f"the name of an override must be unique; `{key}` may be {listed}"
        raise Problem(
            origin, rule, key, f"write the full path, for instance `{dotted(candidates[0])}`"
        ).error()
    leaves = _leaves(models[0])
    known = {*models[0].model_fields, *(name for name, paths in leaves.items() if len(paths) == 1)}
    repair = nearest(key, known)
    if "encoder" in known:
        repair += f" (an option of the encoder is written `encoder.options.{key}`)"
    raise Problem(origin, "an override must name a key of the schema", key, repair).error()


def _dotted_path(key: str, origin: Origin, models: Sequence[type[BaseModel]]) -> tuple[str, ...]:
    path = tuple(key.split("."))
    refusals = [_refusal(path, origin, model) for model in models]
    refusal = next(iter(refusals))
    if refusal is not None and None not in refusals:
        raise refusal
    return path


def _refusal(path: tuple[str, ...], origin: Origin, model: type[BaseModel]) -> ConfigError | None:
    """Why no key stands at that path of a schema; None if one does."""
    document = "a recipe" if issubclass(model, RecipeConfig) else "a preset"
    shape: Shape | None = Shape.of(model)
    for index, step in enumerate(path):
        if shape is None or not shape.is_known or shape.rule.get("additionalProperties") is True:
            break  # below a free mapping such as `encoder.options`, any key may stand
        keys = shape.keys
        if step not in keys:
            where = f"`{'.'.join(path[:index])}`" if index else document
            repair = (
                nearest(step, keys)
                if keys
                else f"write {where} as a whole, {shown(shape.example())} for instance"
            )
            return Problem(origin, f"{where} has no key `{step}`", ".".join(path), repair).error()
        shape = keys[step]
    return None


@cache
def _leaves(model: type[BaseModel]) -> dict[str, list[tuple[str, ...]]]:
    """Every key of a schema by its last name."""
    found: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path in dict.fromkeys(Shape.of(model).paths()):
        found[path[-1]].append(path)
    return dict(found)
