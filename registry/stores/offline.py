"""The offline switch: with `ATROUS_OFFLINE=1` nothing touches the network, and caches alone serve."""

from __future__ import annotations

import os

__all__ = ["OFFLINE_VARIABLE", "is_offline"]

OFFLINE_VARIABLE = "ATROUS_OFFLINE"
_ON = frozenset({"1", "true", "yes", "on"})


def is_offline() -> bool:
    """Whether `ATROUS_OFFLINE` is switched on: 1, true, yes or on."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() in _ON
