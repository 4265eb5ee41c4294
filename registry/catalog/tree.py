"""The located tree: plain data in which every value knows its origin, and how two trees merge.

Files, overrides and inline mappings all become such trees, so that everything after this module treats them
alike. Trees are immutable and may share branches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, TypeAlias

from registry.catalog.origin import Origin, dotted
from registry.catalog.problems import Problem, shown

__all__ = ["MAX_DEPTH", "MAX_NODES", "Node", "Path", "Scalar", "check_number", "deep_merge", "from_python"]

MAX_NODES = 10_000
MAX_DEPTH = 32

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One value with its origin.

    Args:
        value: a scalar, a mapping from key to node, or a tuple of nodes.
        origin: where the value stands.
        key_origin: where its key stands, for an entry of a mapping.
    """

    value: Scalar | Mapping[str, Node] | tuple[Node, ...]
    origin: Origin
    key_origin: Origin | None = None

    @property
    def entries(self) -> Mapping[str, Node]:
        """Entries of a mapping; none for anything else."""
        return self.value if isinstance(self.value, Mapping) else {}

    def plain(self) -> Any:
        """The value without origins: dicts, lists and scalars, built anew."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, step: str | int) -> Node | None:
        """The node under one key or index."""
        if isinstance(self.value, Mapping):
            return self.value.get(step) if isinstance(step, str) else None
        if isinstance(self.value, tuple) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]
        return None

    def find(self, path: Path) -> Node | None:
        """The node at a path, if there is one."""
        node: Node | None = self
        for step in path:
            node = node.child(step) if node is not None else None
        return node

    def nearest(self, path: Path) -> Node:
        """The node at a path, or its nearest ancestor that exists."""
        node = self
        for step in path:
            child = node.child(step)
            if child is None:
                return node
            node = child
        return node

    def without(self, *keys: str) -> Node:
        """This mapping less some of its keys."""
        return replace(self, value={key: node for key, node in self.entries.items() if key not in keys})


def deep_merge(base: Node, own: Node) -> Node:
    """Lay one tree over another: mappings merge key by key, everything else is replaced by `own`."""
    if not (isinstance(base.value, Mapping) and isinstance(own.value, Mapping)):
        return own
    merged = dict(base.value)
    for key, node in own.value.items():
        merged[key] = deep_merge(merged[key], node) if key in merged else node
    return replace(own, value=merged)


def from_python(value: object, origin: Origin, *, path: Path = ()) -> Node:
    """Turn a caller's mapping into a tree.

    Args:
        value: mappings with string keys, lists, tuples, strings, numbers, booleans and None.
        origin: the origin that every node gets.
        path: where the value stands, for messages.

    Raises:
        ConfigError: another type, a key that is no string, NaN or infinity, or too large or too deep.
    """
    return _Converter(origin).convert(value, path, depth=1)


class _Converter:
    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._nodes = 0

    def convert(self, value: object, path: Path, *, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            # A structure that contains itself ends here as well.
            raise self._problem(
                f"a preset has at most {MAX_NODES:,} values and {MAX_DEPTH} levels",
                f"more, at `{dotted(path)}`",
                "pass plain configuration, not data",
            ).error()
        if isinstance(value, Mapping):
            return Node(dict(self._entries(value, path, depth)), self._origin)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            items = (self.convert(item, (*path, index), depth=depth + 1) for index, item in enumerate(value))
            return Node(tuple(items), self._origin)
        return Node(self._scalar(value, path), self._origin)

    def _entries(self, value: Mapping[Any, object], path: Path, depth: int) -> Iterator[tuple[str, Node]]:
        for key, item in value.items():
            if not isinstance(key, str):
                where = f"of `{dotted(path)}` " if path else ""
                raise self._problem(
                    f"every key {where}must be a string", repr(key), "write the key as a string"
                ).error()
            yield str(key), self.convert(item, (*path, key), depth=depth + 1)

    def _scalar(self, value: object, path: Path) -> Scalar:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str(value)
        # The number protocols admit NumPy's scalars.
        if isinstance(value, Integral | Real):
            number = int(value) if isinstance(value, Integral) else float(value)
            rule = check_number(number)
            if rule is None:
                return number
            raise self._problem(f"`{dotted(path)}`: {rule}", shown(number), "pass a finite number").error()
        raise self._problem(
            f"`{dotted(path)}` must be a string, number, boolean, None, list or mapping",
            f"{type(value).__name__}: {value!r}",
            "convert it to one of these types",
        ).error()

    def _problem(self, rule: str, received: str, repair: str) -> Problem:
        return Problem(self._origin, rule, received, repair)


def check_number(number: float) -> str | None:
    """The rule that a number breaks, if any: presets hold finite floats and 64-bit integers."""
    if isinstance(number, int):
        return None if -(2**63) <= number < 2**63 else "an integer must fit 64 bits"
    return None if math.isfinite(number) else "a number must be finite"
