"""Files that a preset file names: beside the file that says so, and no way out of its folder.

`weights.segmentation: model.safetensors` in `presets/mine.yaml` means `presets/model.safetensors`, whoever extends that
file and wherever the process runs. What a caller passes, inline or as an override, is relative to the working directory
as any path of his.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from registry.catalog.origin import dotted, shown_path
from registry.catalog.problems import Problem, shown
from registry.catalog.roots import Root
from registry.catalog.tree import Node
from registry.catalog.tree import Path as KeyPath
from registry.errors import WeightsUnavailableError, nearest

__all__ = ["check_stated_files", "stated_file", "weights_source"]

_KEYS: tuple[KeyPath, ...] = (("weights", "segmentation"), ("weights", "encoder"))
# A preset from a stranger must not read a file of this machine, nor ask what listens on it.
_OF_ONE_MACHINE = ("file:", "http://")


def check_stated_files(tree: Node, home: Root) -> None:
    """Refuse a preset file that names a file outside its folder.

    Args:
        tree: the file as it is written.
        home: the root that it belongs to.

    Raises:
        ConfigError: an absolute path, one with `..`, a link that leaves the root, or a handle that means something on
            this machine only.
    """
    for key in _KEYS:
        node = tree.find(key)
        if node is not None and isinstance(node.value, str) and node.value.startswith(_OF_ONE_MACHINE):
            raise Problem(
                node.origin,
                f"`{dotted(key)}` in a preset file names what other machines can reach too: https://, a hub, or a file "
                "in that file's own folder",
                shown(node.value),
                "move the weights beside the preset file, or pass the handle to registry.build(weights=…)",
            ).error()
        path = None if node is None else stated_file(node)
        if node is None or path is None:
            continue
        if not _stays_inside(str(node.value)):
            raise Problem(
                node.origin,
                f"`{dotted(key)}` in a preset file names a file in that file's own folder, such as "
                "`weights/mine.safetensors`, or a handle; absolute paths, `..` and backslashes are refused",
                shown(node.value),
                "move the weights beside the preset file, or pass them to registry.build(weights=…)",
            ).error()
        # Unlike Path.resolve, realpath gives an answer for links that lead in a circle.
        if not home.installed and not Path(os.path.realpath(path)).is_relative_to(home.path.resolve()):
            raise Problem(
                node.origin,
                f"`{dotted(key)}` must stay within {home.path}, links followed",
                shown(node.value),
                "copy the file into the preset root",
            ).error()


def stated_file(node: Node) -> Path | None:
    """The file that a value means if it is a path and a preset file says it; None otherwise."""
    value, file = node.value, node.origin.file
    if not isinstance(value, str) or "://" in value or file is None:
        return None
    return file.parent / value


def weights_source(node: Node | None, names: Collection[str] = ()) -> str | None:
    """What a value under `weights` means: None, a name, a handle, or a path that can be opened from anywhere.

    Args:
        node: the located value; None if the preset says nothing.
        names: words that are no paths.

    Raises:
        WeightsUnavailableError: a preset file names a file that is not there.
    """
    if node is None or node.value is None or node.value in names:
        return None if node is None or node.value is None else str(node.value)
    path = stated_file(node)
    if path is None:
        return str(node.value)
    if not path.exists():
        raise WeightsUnavailableError(
            f"{node.origin}: weights that a preset file names must be there: "
            + (f"{', '.join(sorted(names))}, a handle, or " if names else "a handle, or ")
            + "a file beside that preset file",
            received=f"{node.value}, and no {shown_path(path)}",
            repair=nearest(str(node.value), names) if names else "copy the file there, or pass weights=…",
        )
    return str(path)


def _stays_inside(text: str) -> bool:
    """Whether a relative path goes down only; a colon or a backslash could be a way out on another system."""
    steps = text.split("/")
    return (
        not any(step in ("", ".", "..") for step in steps)
        and not text.startswith("~")
        and not set(text) & {"\\", ":", "\0"}
    )
