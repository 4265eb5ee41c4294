"""Which plugins the environment allows.

`ATROUS_PLUGINS` lists what may be used beside the built-in plugins: unset allows everything, set but empty
allows the built-ins only. `ATROUS_BLOCK_PLUGINS` lists what may not be used, built-in or not, and wins. Items
are names of plugins or distributions, separated by commas or spaces; case, `-`, `_` and `.` do not matter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ALLOW_VARIABLE", "BLOCK_VARIABLE", "Policy", "normalized"]

ALLOW_VARIABLE = "ATROUS_PLUGINS"
BLOCK_VARIABLE = "ATROUS_BLOCK_PLUGINS"


def normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it: `Registry_Sample` and `registry-sample` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _items(value: str) -> frozenset[str]:
    return frozenset(normalized(item) for item in re.split(r"[,\s]+", value) if item)


@dataclass(frozen=True)
class Policy:
    """The two lists, parsed.

    Args:
        allowed: names beside the built-ins; None allows everything.
        blocked: names that are switched off.
    """

    allowed: frozenset[str] | None = None
    blocked: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Policy:
        """Read both variables as they are now."""
        allow = environment.get(ALLOW_VARIABLE)
        return cls(
            allowed=None if allow is None else _items(allow),
            blocked=_items(environment.get(BLOCK_VARIABLE, "")),
        )

    def refusing_variable(self, plugin: str, distribution: str, *, builtin: bool) -> str | None:
        """The variable that switches a plugin off, or None when it may be used."""
        names = {normalized(plugin), normalized(distribution)}
        if names & self.blocked:
            return BLOCK_VARIABLE
        if self.allowed is not None and not builtin and not names & self.allowed:
            return ALLOW_VARIABLE
        return None
