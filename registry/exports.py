"""Names of a package that are imported when they are first used, so that one of them does not cost what all do."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

__all__ = ["first_use", "names"]


def first_use(namespace: dict[str, Any], homes: Mapping[str, str], name: str) -> Any:
    """Import a public name and keep it: the body of a package's `__getattr__`.

    Args:
        namespace: the package's `globals()`.
        homes: public name → module that defines it.
        name: that is asked for.

    Raises:
        AttributeError: it is no public name.
    """
    if name not in homes:
        raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
    namespace[name] = getattr(importlib.import_module(homes[name]), name)
    return namespace[name]


def names(namespace: Mapping[str, Any], homes: Mapping[str, str]) -> list[str]:
    """All names of a package, those that nobody has used included: the body of its `__dir__`."""
    return sorted({*namespace, *homes})
