"""How Keras numbers layers in `.weights.h5` files, and their names beside the numbers."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import h5py

__all__ = ["group_numbers", "name_groups"]


def group_numbers(classes: Iterable[str]) -> list[str]:
    """The group of each layer: its class in snake case, counted from the second on: `conv2d`, `conv2d_1`.

    Args:
        classes: class name of each layer, in the model's order.
    """
    seen: Counter[str] = Counter()
    groups = []
    for name in map(_snake_case, classes):
        groups.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return groups


def name_groups(path: str | os.PathLike[str], layers: Sequence[Any]) -> None:
    """Write the names of layers into a `.weights.h5` file, as attributes of the groups that hold their variables.

    Args:
        path: the file, as `save_weights` wrote it.
        layers: the model's layers in order.
    """
    with h5py.File(path, "r+") as file:
        for group, layer in zip(group_numbers(type(layer).__name__ for layer in layers), layers, strict=True):
            held = file.get(f"layers/{group}/vars")
            if held:
                held.attrs["name"] = layer.name


def _snake_case(name: str) -> str:
    spaced = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
    return f"private{spaced}" if spaced.startswith("_") else spaced
