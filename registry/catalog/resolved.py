"""Resolved presets and recipes: the validated config, and where each of its values came from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel

from registry.catalog.beside import stated_file, weights_source
from registry.catalog.origin import DEFAULT, Origin, dotted, shown_path
from registry.catalog.printing import yaml_lines
from registry.catalog.tree import Node
from registry.catalog.tree import Path as KeyPath
from registry.catalog.validation import validate, validate_preset
from registry.config import PresetConfig

__all__ = ["Resolved", "ResolvedPreset"]

_Options = TypeVar("_Options", bound=BaseModel)
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
        lines = list(yaml_lines(self.config.model_dump(mode="json"), lambda path: self.origins[path].note))
        width = min(max(len(text) for text, _ in lines), _MARGIN)
        return "\n".join(f"{text:<{width}}  # {note}" if note else text for text, note in lines)


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

    def weights_source(
        self, key: Literal["segmentation", "encoder"], names: Collection[str] = ()
    ) -> str | None:
        """What `weights.<key>` means: None, a name, a handle, or a path that can be opened from anywhere.

        Args:
            key: weights of the whole model, or of the encoder.
            names: the encoder's weight sources, which are no paths.

        Raises:
            WeightsUnavailableError: a preset file names a file that is not there.
        """
        return weights_source(self.tree.find(("weights", key)), names)

    def weights_file(self, key: Literal["segmentation", "encoder"]) -> Path | None:
        """The file that a preset file names under `weights.<key>`, whether or not it is there; None if none does."""
        node = self.tree.find(("weights", key))
        return None if node is None else stated_file(node)

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
