"""Resolved presets and recipes: the validated config, and where each of its values came from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from registry.catalog.origin import DEFAULT, Origin, dotted, shown_path
from registry.catalog.scalars import BadScalarError, plain_scalar
from registry.catalog.tree import Node
from registry.catalog.tree import Path as KeyPath
from registry.catalog.validation import validate, validate_preset
from registry.config import PresetConfig

__all__ = ["Resolved", "ResolvedPreset"]

_Options = TypeVar("_Options", bound=BaseModel)
_PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_ ./+()'-]|:(?! |$))*")
_INVISIBLE = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
_MARGIN = 64


@dataclass(frozen=True)
class Resolved:
    """A document of the catalog, validated, with the origin of each value."""

    name: str
    config: BaseModel
    origins: Mapping[KeyPath, Origin]
    files: tuple[Path, ...]
    tree: Node = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, config: BaseModel, tree: Node, files: tuple[Path, ...], **parts: Any) -> Self:
        """Look up where each value of a validated config came from."""
        origins = dict(_origins(config.model_dump(mode="json"), tree, ()))
        return cls(name=name, config=config, origins=origins, files=files, tree=tree, **parts)

    def to_dict(self) -> dict[str, Any]:
        """Values and origins, ready for JSON."""
        return {
            "name": self.name,
            "config": self.config.model_dump(mode="json"),
            "origins": {dotted(path): _origin_dict(origin) for path, origin in self.origins.items()},
            "files": [shown_path(path) for path in self.files],
        }

    def __str__(self) -> str:
        lines = list(self._lines(self.config.model_dump(mode="json"), ()))
        width = min(max(len(text) for text, _ in lines), _MARGIN)
        return "\n".join(f"{text:<{width}}  # {note}" if note else text for text, note in lines)

    def _lines(self, mapping: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[str, str]]:
        """Lines of YAML with the note for their margin; sections have none."""
        indent = "  " * len(path)
        for key, value in mapping.items():
            here = (*path, key)
            name = f"{indent}{_scalar(key)}:"
            if isinstance(value, dict) and value:
                yield name, ""
                yield from self._lines(value, here)
            elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
                yield name, ""
                for index, item in enumerate(value):
                    yield f"{indent}  - {_flow(item)}", self.origins[*here, index].note
            else:
                yield f"{name} {_flow(value)}", self.origins[here].note


@dataclass(frozen=True)
class ResolvedPreset(Resolved):
    """A preset with its bases merged, overridden and validated. `print` it to see every value's origin.

    Args:
        name: name of the preset; the stem of a file given by path; `inline` for a mapping.
        config: the validated config.
        origins: path of keys and indices → where that value came from, defaults included.
        files: the files that were read, the preset's own first.
        tree: the located values as written, for errors about them that are found later.
    """

    config: PresetConfig

    @classmethod
    def from_tree(cls, name: str, tree: Node, files: tuple[Path, ...]) -> ResolvedPreset:
        """Validate a merged tree.

        Raises:
            ConfigError: one or more values break the schema.
            PluginError: the plugin of the architecture cannot serve.
        """
        return cls.of(name, validate_preset(tree, preset=name), tree, files)

    def encoder_options(self, options_type: type[_Options]) -> _Options:
        """Validate `encoder.options` against the plugin's own model.

        Args:
            options_type: the `options` of the variant's `EncoderSpec`.

        Raises:
            ConfigError: an option is unknown or wrong; with file, line and column.
        """
        return validate(options_type, self.tree, preset=self.name, at=("encoder", "options"))


def _origins(value: Any, tree: Node, path: KeyPath) -> Iterator[tuple[KeyPath, Origin]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in steps:
        here = (*path, step)
        node = tree.find(here)
        yield here, node.origin if node is not None else DEFAULT
        yield from _origins(item, tree, here)


def _origin_dict(origin: Origin) -> dict[str, Any]:
    if origin.file is not None:
        return {"kind": "file", "file": shown_path(origin.file), "line": origin.line, "column": origin.column}
    return {"kind": origin.kind, "name": origin.name} if origin.kind == "override" else {"kind": origin.kind}


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """A scalar as YAML, quoted only where it would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value == value.strip() and _reads_as_itself(value):
        return value
    # JSON's escapes are YAML's, but YAML has no surrogate pairs and breaks lines at more characters.
    quoted = json.dumps(value, ensure_ascii=False)
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _reads_as_itself(text: str) -> bool:
    try:
        return plain_scalar(text) == text
    except BadScalarError:
        return False
