"""`PresetConfig` narrowed to the architecture that a preset names: its plugin says which keys there are."""

from __future__ import annotations

import operator
from functools import cache, reduce
from typing import Annotated, Any

from pydantic import Field, create_model

from registry.architecture import ArchitectureConfig
from registry.catalog.tree import Node
from registry.config import PresetConfig
from registry.discovery import architecture_names, load_architecture
from registry.errors import UnknownPluginError

__all__ = ["ARCHITECTURE_NAME", "architecture_name", "architecture_names", "keys_of", "preset_model"]

ARCHITECTURE_NAME = ("architecture", "name")


def architecture_name(tree: Node) -> str | None:
    """The architecture that a tree names; None if it names none."""
    node = tree.find(ARCHITECTURE_NAME)
    return node.value if node is not None and isinstance(node.value, str) else None


def keys_of(name: str) -> set[str] | None:
    """Keys of an architecture's section; None if there is no such architecture.

    Raises:
        PluginError: its plugin cannot serve.
    """
    section = _section(name)
    return None if section is None else set(section.model_fields)


def preset_model(name: str | None) -> type[PresetConfig]:
    """What a preset of that architecture must be; its section is free if there is no such architecture.

    Raises:
        PluginError: the architecture's plugin cannot serve.
    """
    section = None if name is None else _section(name)
    return _free() if section is None else narrowed((section,))


@cache
def narrowed(sections: tuple[type[ArchitectureConfig], ...]) -> type[PresetConfig]:
    """`PresetConfig` whose section `architecture` is one of these."""
    if len(sections) == 1:
        return _with_architecture(sections[0])
    union: Any = reduce(operator.or_, sections)
    return _with_architecture(Annotated[union, Field(discriminator="name")])


@cache
def _free() -> type[PresetConfig]:
    return _with_architecture(dict[str, Any])


def _with_architecture(kind: Any) -> type[PresetConfig]:
    description = PresetConfig.model_fields["architecture"].description
    field: Any = (kind, Field(description=description))
    return create_model(
        PresetConfig.__name__,
        __base__=PresetConfig,
        __module__=PresetConfig.__module__,
        __doc__=PresetConfig.__doc__,
        architecture=field,
    )


def _section(name: str) -> type[ArchitectureConfig] | None:
    try:
        return load_architecture(name).spec.section
    except UnknownPluginError:
        return None
