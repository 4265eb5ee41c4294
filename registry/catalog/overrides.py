"""What a caller changes in a preset: `output_stride=8`, `**{"encoder.output_stride": 8}`, `encoder={…}`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

from registry.catalog.inheritance import EXTENDS, inherit
from registry.catalog.origin import Origin, dotted
from registry.catalog.problems import Problem, shown
from registry.catalog.shape import Shape
from registry.catalog.tree import Node, deep_merge, from_python
from registry.config import PresetConfig
from registry.errors import nearest

__all__ = ["apply_overrides"]


def apply_overrides(tree: Node, overrides: Mapping[str, Any]) -> Node:
    """Lay overrides over a preset, as a preset is laid over its base.

    Args:
        tree: the preset with its bases merged.
        overrides: a top-level key, a dotted path, or a key whose name is unique in the schema → its value.

    Raises:
        ConfigError: a key is unknown or ambiguous, or a value cannot stand in a preset.
    """
    if not overrides:
        return tree
    # First among themselves, so that their order does not decide what `inherit` drops.
    return inherit(tree, reduce(deep_merge, [_branch(key, value) for key, value in overrides.items()]))


def _branch(key: object, value: object) -> Node:
    origin = Origin("override", name=str(key))
    path = _path(key, origin)
    node = from_python(value, origin, path=path)
    for step in reversed(path):
        node = Node({step: node}, origin)
    return node


def _path(key: object, origin: Origin) -> tuple[str, ...]:
    if not isinstance(key, str) or not key:
        raise Problem(
            origin, "the name of an override must be a string", repr(key), "name a key of the schema"
        ).error()
    if key == EXTENDS:
        repair = "pass {'extends': …, …} as the preset"
        raise Problem(origin, "`extends` cannot be overridden", key, repair).error()
    if "." in key:
        return _dotted_path(key, origin)
    if key in PresetConfig.model_fields:
        return (key,)
    candidates = _leaves().get(key, [])
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        listed = " or ".join(f"`{dotted(path)}`" for path in candidates)
        rule = f"the name of an override must be unique; `{key}` may be {listed}"
        raise Problem(
            origin, rule, key, f"write the full path, for instance `{dotted(candidates[0])}`"
        ).error()
    known = {*PresetConfig.model_fields, *(name for name, paths in _leaves().items() if len(paths) == 1)}
    repair = f"{nearest(key, known)} (an option of the encoder is written `encoder.options.{key}`)"
    raise Problem(origin, "an override must name a key of the schema", key, repair).error()


def _dotted_path(key: str, origin: Origin) -> tuple[str, ...]:
    path = tuple(key.split("."))
    shape: Shape | None = Shape.of(PresetConfig)
    for index, step in enumerate(path):
        if shape is None or not shape.is_known or shape.rule.get("additionalProperties") is True:
            break  # below a free mapping such as `encoder.options`, any key may stand
        keys = shape.keys
        if step not in keys:
            where = f"`{'.'.join(path[:index])}`" if index else "a preset"
            repair = (
                nearest(step, keys)
                if keys
                else f"write {where} as a whole, {shown(shape.example())} for instance"
            )
            raise Problem(origin, f"{where} has no key `{step}`", key, repair).error()
        shape = keys[step]
    return path


@cache
def _leaves() -> dict[str, list[tuple[str, ...]]]:
    """Every key of the schema by its last name."""
    found: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path in dict.fromkeys(Shape.of(PresetConfig).paths()):
        found[path[-1]].append(path)
    return dict(found)
