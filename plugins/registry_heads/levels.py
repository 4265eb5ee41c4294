"""The levels of an encoder by their strides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from registry.errors import ModelError

__all__ = ["deepest_first", "upsampling"]


def deepest_first(keys: Iterable[str]) -> list[str]:
    """Level names from P5 to P1, each once."""
    return sorted(set(keys), reverse=True)


def upsampling(encoder: Any, deep: str, shallow: str) -> int:
    """Factor that brings one level to the size of another.

    Args:
        encoder: with `level_strides`.
        deep: level to be upsampled.
        shallow: level whose size it is to have.

    Raises:
        ModelError: the first is larger than the second.
    """
    strides = encoder.level_strides
    factor, rest = divmod(strides[deep], strides[shallow])
    if rest or not factor:
        raise ModelError(
            "features are upsampled from a deep level to the size of a shallower one",
            received=f"{deep} at stride {strides[deep]} to {shallow} at stride {strides[shallow]}",
            repair="exchange the two levels under `architecture`",
        )
    return int(factor)
