"""What a model accepts, in words: a view on its JSON Schema.

Messages, overrides and the published schema all need to know which keys exist and what a value may be. The
JSON Schema says so in one small language, for our own config and for the options of any plugin.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

__all__ = ["Shape"]

_Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One place of a schema: its rule, its keys, its members."""

    schema: _Schema
    definitions: _Schema

    @classmethod
    def of(cls, model: type[BaseModel]) -> Shape:
        """The shape of a model; knows nothing when the model has no JSON Schema."""
        schema = _json_schema(model)
        return cls(schema, schema.get("$defs", {}))

    @property
    def rule(self) -> _Schema:
        """The schema here, references followed."""
        rule, seen = self.schema, 0
        while "$ref" in rule and seen <= len(self.definitions):
            target = self.definitions.get(rule["$ref"].rpartition("/")[2], {})
            rule = {**target, **{key: value for key, value in rule.items() if key != "$ref"}}
            seen += 1
        return rule

    @property
    def is_known(self) -> bool:
        """Whether the schema restricts the value at all."""
        return bool(set(self.rule) - {"title", "description", "default"})

    @property
    def members(self) -> list[Shape]:
        """Alternatives of a union, `null` left out; empty when it is none."""
        alternatives = self.rule.get("anyOf", self.rule.get("oneOf", ()))
        return [self._at(member) for member in alternatives if member.get("type") != "null"]

    @property
    def tag(self) -> str | None:
        """The key that tells the members of a tagged union apart."""
        name = self.rule.get("discriminator", {}).get("propertyName")
        return str(name) if name is not None else None

    @property
    def tags(self) -> dict[str, Shape]:
        """Members of a tagged union by tag."""
        mapping = self.rule.get("discriminator", {}).get("mapping", {})
        return {tag: self._at({"$ref": reference}) for tag, reference in mapping.items()}

    @property
    def keys(self) -> dict[str, Shape]:
        """Keys of the mapping, those of all members included."""
        found = {key: shape for member in self.members for key, shape in member.keys.items()}
        return {**found, **{key: self._at(schema) for key, schema in self.rule.get("properties", {}).items()}}

    @property
    def choices(self) -> list[Any]:
        """The values of an enumeration, those of members included."""
        found = [choice for member in self.members for choice in member.choices]
        return [*self.rule.get("enum", ()), *found]

    @property
    def description(self) -> str:
        """What the value means."""
        return str(self.rule.get("description", ""))

    def step(self, key: str | int) -> Shape | None:
        """The shape under a key or index, None where the schema allows none."""
        if isinstance(key, int):
            fixed = self.rule.get("prefixItems", [])
            schema = fixed[key] if key < len(fixed) else self.rule.get("items")
        else:
            schema = self.rule.get("properties", {}).get(key, self.rule.get("additionalProperties"))
        if schema is None or schema is False:
            return None
        return self._at({} if schema is True else schema)

    def member_for(self, key: str | int) -> Shape | None:
        """The member of a union that has such a key: a list for an index, a mapping for a name."""
        kind = "array" if isinstance(key, int) else "object"
        return next((member for member in self.members if member.rule.get("type") == kind), None)

    def paths(self, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """All paths of keys, sections included; nothing inside lists."""
        for key, shape in self.keys.items():
            yield (*prefix, key)
            yield from shape.paths((*prefix, key))

    def expected(self) -> str:
        """What the value must be, as the end of a sentence that starts with "must be"."""
        if self.tags:
            return "a mapping"
        parts = list(dict.fromkeys(member.expected() for member in self.members or [self._alone()]))
        if "a number" in parts and "an integer" in parts:
            parts.remove("an integer")
        if any(member.get("type") == "null" for member in self.rule.get("anyOf", ())):
            parts.append("null")
        return _joined(parts)

    def example(self) -> Any:
        """A value that fits: the default, or the first that the rule allows."""
        rule = self.rule
        for key in ("default", "const"):
            if rule.get(key) is not None:
                return rule[key]
        if rule.get("enum"):
            return rule["enum"][0]
        if self.members:
            return self.members[0].example()
        if "prefixItems" in rule:
            return [self._at(item).example() for item in rule["prefixItems"]]
        if rule.get("type") == "array":
            return [self._at(rule.get("items", {})).example()]
        required = {key: self.keys[key].example() for key in rule.get("required", ())}
        examples = {"string": "…", "boolean": True, "object": required, "number": rule.get("minimum", 1.0)}
        return examples.get(str(rule.get("type")), rule.get("minimum", 1))

    def _alone(self) -> Shape:
        return _Single(self.schema, self.definitions)

    def _at(self, schema: _Schema) -> Shape:
        return Shape(schema, self.definitions)


class _Single(Shape):
    """A shape that is no union, so that `expected` ends."""

    __slots__ = ()

    def expected(self) -> str:
        rule = self.rule
        if "const" in rule:
            return _literal(rule["const"])
        if "enum" in rule:
            return "one of " + ", ".join(_literal(value) for value in rule["enum"])
        kind = str(rule.get("type"))
        if kind == "array":
            return self._list()
        return _number(rule) if kind in ("integer", "number") else _word(rule, kind)

    def _list(self) -> str:
        rule = self.rule
        if "prefixItems" in rule:
            items = [self._at(item).expected() for item in rule["prefixItems"]]
            if len(set(items)) == 1:
                return f"a list of {len(items)} values, each {items[0]}"
            return f"a list of {len(items)} values ({'; '.join(items)})"
        some = "a non-empty list" if rule.get("minItems") else "a list"
        item = self._at(rule["items"]).expected() if rule.get("items") else ""
        return f"{some}, each value {item}" if item else some


@cache
def _json_schema(model: type[BaseModel]) -> dict[str, Any]:
    try:
        return model.model_json_schema(mode="validation")
    except PydanticUserError:  # a plugin's options may hold types that JSON Schema cannot express
        return {}


def _literal(value: object) -> str:
    return f"`{value}`" if isinstance(value, str) else json.dumps(value)


def _word(rule: _Schema, kind: str) -> str:
    if kind == "string":
        some = "a non-empty string" if rule.get("minLength") else "a string"
        return f"{some} that matches `{rule['pattern']}`" if "pattern" in rule else some
    words = {"boolean": "true or false", "null": "null", "object": "a mapping"}
    return words.get(kind, "a value of another type")


def _number(rule: _Schema) -> str:
    noun = "an integer" if rule["type"] == "integer" else "a number"
    low, high = rule.get("minimum"), rule.get("maximum")
    above, below = rule.get("exclusiveMinimum"), rule.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{noun} from {low:g} to {high:g}"
    if low == 1 and noun == "an integer" and below is None:
        return "a positive integer"
    bounds = [(low, "≥"), (above, ">"), (high, "≤"), (below, "<")]
    return " ".join(
        [noun, " and ".join(f"{sign} {bound:g}" for bound, sign in bounds if bound is not None)]
    ).strip()


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
