"""Preset roots: the folders that hold `<preset_name>.yaml`, and which file a name means.

A root may also hold a saved preset's folder, whose name is then that of the preset.

Built-in presets and those of `ATROUS_PRESET_PATH` are found without importing any plugin; plugins are asked
only for names that those do not hold.
"""

from __future__ import annotations

import os
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from registry.catalog.origin import shown_path
from registry.catalog.saved import PRESET_FILE
from registry.errors import (
    CatalogError,
    DuplicatePresetError,
    RegistryWarning,
    UnknownPresetError,
    nearest,
)

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "PresetFile",
    "Root",
    "absolute",
    "builtin_root",
    "checkout",
    "find",
    "home_of",
    "list_presets",
    "plugin_roots",
    "static_roots",
]

ENVIRONMENT_VARIABLE = "ATROUS_PRESET_PATH"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Root:
    """One folder of presets.

    Args:
        path: the folder.
        owner: who contributes it, for messages.
        installed: it came with a package, whose code is trusted anyway. Links that leave such a root are
            followed, because installers may link every file to a cache.
    """

    path: Path
    owner: str
    installed: bool = False

    def label(self, file: Path) -> str:
        """How listings show a file of this root: `presets/_base/labels.yaml`, wherever that is installed."""
        if self.installed:
            return (Path(self.path.name) / file.relative_to(self.path)).as_posix()
        return shown_path(file)

    def files(self) -> Iterator[PresetFile]:
        """The presets of this root, by name; parts (`_…`, other folders) are none."""
        for path in sorted((*self.path.glob("*.yaml"), *self.path.glob(f"*/{PRESET_FILE}"))):
            file = PresetFile(path, self)
            if _NAME.fullmatch(file.name) and path.is_file():
                yield file

    def places(self, name: str) -> tuple[Path, Path]:
        """Where this root would hold a preset of that name: a file, or the folder of a saved preset."""
        return self.path / f"{name}.yaml", self.path / name / PRESET_FILE


@dataclass(frozen=True, slots=True)
class PresetFile:
    """A preset's file and the root it was found in."""

    path: Path
    root: Root

    @property
    def name(self) -> str:
        """Name of the preset: the file's stem, or that of the folder that is a saved preset."""
        is_saved = self.path.name == PRESET_FILE and self.path.parent != self.root.path
        return self.path.parent.name if is_saved else self.path.stem

    def __str__(self) -> str:
        return f"{shown_path(self.path)} ({self.root.owner})"


@cache
def checkout() -> Path | None:
    """The repository that this package runs from, if it does."""
    top = Path(__file__).resolve().parents[2]
    project = top / "pyproject.toml"
    if not ((top / "presets").is_dir() and project.is_file()):
        return None
    name = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("name")
    return top if name == "atrous" else None


def builtin_root() -> Root:
    """The presets that atrous ships.

    A checkout's own folder comes first, since an editable install leaves a stale copy inside the package.
    """
    top = checkout()
    folder = top if top is not None else Path(__file__).resolve().parents[1]
    return Root(folder / "presets", "built-in", installed=True)


def static_roots() -> list[Root]:
    """The roots that are known without importing a plugin.

    Raises:
        CatalogError: `ATROUS_PRESET_PATH` names something that is no folder.
    """
    roots = [builtin_root()]
    for entry in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep):
        if not entry.strip():
            continue
        path = absolute(Path(entry))
        if not path.is_dir():
            raise CatalogError(
                f"{ENVIRONMENT_VARIABLE} must name folders that exist, separated by {os.pathsep!r}",
                received=entry,
                repair=f"create the folder, or remove it from {ENVIRONMENT_VARIABLE}",
            )
        roots.append(Root(path, ENVIRONMENT_VARIABLE))
    return _distinct(roots)


def plugin_roots() -> list[Root]:
    """The roots that installed plugins contribute; imports their modules."""
    from registry.discovery import preset_roots

    return [
        Root(path.absolute(), f"plugin {plugin!r} of {distribution}", installed=True)
        for plugin, distribution, path in preset_roots()
    ]


def find(name: str) -> PresetFile:
    """The file that a preset name means.

    Raises:
        UnknownPresetError: no root holds it.
        DuplicatePresetError: two files claim it.
        CatalogError: `ATROUS_PRESET_PATH` names something that is no folder.
    """
    static = static_roots()
    found = _only(name, static)
    if found is not None:
        return found
    is_possible = _NAME.fullmatch(name) is not None
    plugins = _distinct([*static, *plugin_roots()])[len(static) :] if is_possible else []
    found = _only(name, plugins)
    if found is not None:
        return found
    known = {file.name for root in (*static, *plugins) for file in root.files()}
    raise UnknownPresetError(
        "a preset name must be that of a file in one of the preset roots"
        + ("" if is_possible else "; it starts with a-z or 0-9 and goes on with these, `_`, `.` and `-`"),
        received=name,
        repair=f"{nearest(name, known)} (a file elsewhere is given with its suffix, as in ./my_preset.yaml, the "
        "folder of a saved preset as ./my_preset)",
    )


def list_presets(pattern: str | None = None) -> list[str]:
    """Names of all presets; reads no file.

    Args:
        pattern: keep only names that match this glob, for instance `deeplab_v3_plus_*`.

    Returns:
        Sorted names.

    Raises:
        CatalogError: `ATROUS_PRESET_PATH` names something that is no folder.
    """
    first: dict[str, PresetFile] = {}
    for root in _distinct([*static_roots(), *plugin_roots()]):
        for file in root.files():
            if file.name in first:
                message = (
                    f"two presets are named {file.name!r}: {first[file.name]} and {file}; the first is listed"
                )
                warnings.warn(message, RegistryWarning, stacklevel=2)
            else:
                first[file.name] = file
    return sorted(name for name in first if pattern is None or fnmatchcase(name, pattern))


def absolute(path: Path) -> Path:
    """A user's path without `~`, from the top."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # `~name` of nobody: then the tilde is part of the file's name
        return path.absolute()


def home_of(path: Path) -> Root:
    """The root that a file given by path belongs to: a known one that holds it, else its own folder."""
    for root in static_roots():
        if path.is_relative_to(root.path):
            return root
    return Root(path.parent, "file")


def _only(name: str, roots: Iterable[Root]) -> PresetFile | None:
    if not _NAME.fullmatch(name):
        return None
    claims = [PresetFile(path, root) for root in roots for path in root.places(name) if path.exists()]
    if len(claims) > 1:
        raise DuplicatePresetError(
            "a preset name must belong to one file",
            received=f"{name}, claimed by " + " and ".join(map(str, claims)),
            repair="rename one of the files, remove its folder from ATROUS_PRESET_PATH, or block its plugin",
        )
    return claims[0] if claims else None


def _distinct(roots: Iterable[Root]) -> list[Root]:
    """One root per folder: naming a folder twice makes no duplicates."""
    return list({root.path.resolve(): root for root in reversed(list(roots))}.values())[::-1]
