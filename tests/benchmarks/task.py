"""What a library's task gives the worker that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Task:
    """Something that is measured.

    Args:
        run: what is timed; its result, a number or None, is handed on.
        facts: about what was prepared, JSON-ready.
    """

    run: Callable[[], Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
