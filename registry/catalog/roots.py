"""Roots: the folders that hold `<preset_name>.yaml` and `recipes/<recipe_name>.yaml`, and which file a name means.

A root may also hold a saved preset's folder, whose name is then that of the preset.

Built-in presets and those of `ATROUS_PRESET_PATH` are found without importing any plugin; plugins are asked
only for names that those do not hold.
"""

from __future__ import annotations

import os
import re
import tomllib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

from registry.catalog.origin import shown_path
from registry.catalog.saved import PRESET_FILE
from registry.errors import (
    CatalogError,
    DuplicatePresetError,
    RegistryWarning,
    UnknownPresetError,
    UnknownRecipeError,
    nearest,
)

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "Kind",
    "PresetFile",
    "Root",
    "absolute",
    "builtin_root",
    "checkout",
    "find",
    "home_of",
    "list_presets",
    "list_recipes",
    "plugin_roots",
    "static_roots",
]

ENVIRONMENT_VARIABLE = "ATROUS_PRESET_PATH"

Kind = Literal["preset", "recipe"]
_FOLDERS: Mapping[Kind, str] = {"preset": "", "recipe": "recipes"}
"""Where files of a kind lie under a root of presets."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Root:
    """One folder of presets, or of recipes.

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
        """The files of this root, by name; parts (`_…`, other folders) are none."""
        for path in sorted((*self.path.glob("*.yaml"), *self.path.glob(f"*/{PRESET_FILE}"))):
            file = PresetFile(path, self)
            if _NAME.fullmatch(file.name) and path.is_file():
                yield file

    def places(self, name: str) -> tuple[Path, Path]:
        """Where this root would hold a preset of that name: a file, or the folder of a saved preset."""
        return self.path / f"{name}.yaml", self.path / name / PRESET_FILE


@dataclass(frozen=True, slots=True)
class PresetFile:
    """The file of a preset or recipe and the root it was found in."""

    path: Path
    root: Root

    @property
    def name(self) -> str:
        """Its name: the file's stem, or that of the folder that is a saved preset."""
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


def builtin_root(kind: Kind = "preset") -> Root:
    """The presets or recipes that atrous ships.

    A checkout's own folder comes first, since an editable install leaves a stale copy inside the package.
    """
    top = checkout()
    folder = top if top is not None else Path(__file__).resolve().parents[1]
    return Root(folder / "presets" / _FOLDERS[kind], "built-in", installed=True)


def static_roots(kind: Kind = "preset") -> list[Root]:
    """The roots that are known without importing a plugin.

    Raises:
        CatalogError: `ATROUS_PRESET_PATH` names something that is no folder.
    """
    roots = [builtin_root(kind)]
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
        roots.append(Root(path / _FOLDERS[kind], ENVIRONMENT_VARIABLE))
    return _distinct(roots)


def plugin_roots(kind: Kind = "preset") -> list[Root]:
    """The roots that installed plugins contribute; imports their modules."""
    from registry.discovery import preset_roots

    return [
        Root(path.absolute() / _FOLDERS[kind], f"plugin {plugin!r} of {distribution}", installed=True)
        for plugin, distribution, path in preset_roots()
    ]


def find(name: str, kind: Kind = "preset") -> PresetFile:
    """The file that the name of a preset or recipe means.

    Raises:
        UnknownPresetError, UnknownRecipeError: no root holds it.
        DuplicatePresetError: two files claim it.
        CatalogError: `ATROUS_PRESET_PATH` names something that is no folder.
    """
    static = static_roots(kind)
    found = _only(name, static, kind)
    if found is not None:
        return found
    is_possible = _NAME.fullmatch(name) is not None
    plugins = _distinct([*static, *plugin_roots(kind)])[len(static) :] if is_possible else []
    found = _only(name, plugins, kind)
    if found is not None:
        return found
    known = {file.name for root in (*static, *plugins) for file in root.files()}
    unknown = UnknownPresetError if kind == "preset" else UnknownRecipeError
    raise unknown(
        f"a {kind} name must be that of a file in one of the preset roots"
        + ("" if is_possible else "; it starts with a-z or 0-9 and goes on with these, `_`, `.` and `-`"),
        received=name,
        repair=f"{nearest(name, known)} (a file elsewhere is given with its suffix, as in ./my_{kind}.yaml"
        + (", the folder of a saved preset as ./my_preset)" if kind == "preset" else ")"),
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
    return _listed("preset", pattern)


def list_recipes(pattern: str | None = None) -> list[str]:
    """Names of all training recipes; reads no file.

    Args:
        pattern: keep only names that match this glob, for instance `*_pascalvoc`.

    Returns:
        Sorted names.

    Raises:
        CatalogError: `ATROUS_PRESET_PATH` names something that is no folder.
    """
    return _listed("recipe", pattern)


def _listed(kind: Kind, pattern: str | None) -> list[str]:
    first: dict[str, PresetFile] = {}
    for root in _distinct([*static_roots(kind), *plugin_roots(kind)]):
        for file in root.files():
            if file.name in first:
                message = (
                    f"two {kind}s are named {file.name!r}: {first[file.name]} and {file}; the first is listed"
                )
                warnings.warn(message, RegistryWarning, stacklevel=3)
            else:
                first[file.name] = file
    return sorted(name for name in first if pattern is None or fnmatchcase(name, pattern))


def absolute(path: Path) -> Path:
    """A user's path without `~`, from the top."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # `~name` of nobody: then the tilde is part of the file's name
        return path.absolute()


def home_of(path: Path, kind: Kind = "preset") -> Root:
    """The root that a file given by path belongs to: a known one that holds it, else its own folder."""
    for root in static_roots(kind):
        if path.is_relative_to(root.path):
            return root
    return Root(path.parent, "file")


def _only(name: str, roots: Iterable[Root], kind: Kind) -> PresetFile | None:
    if not _NAME.fullmatch(name):
        return None
    claims = [PresetFile(path, root) for root in roots for path in root.places(name) if path.exists()]
    if len(claims) > 1:
        raise DuplicatePresetError(
            f"a {kind} name must belong to one file",
            received=f"{name}, claimed by " + " and ".join(map(str, claims)),
            repair="rename one of the files, remove its folder from ATROUS_PRESET_PATH, or block its plugin",
        )
    return claims[0] if claims else None


def _distinct(roots: Iterable[Root]) -> list[Root]:
    """One root per folder: naming a folder twice makes no duplicates."""
    return list({root.path.resolve(): root for root in reversed(list(roots))}.values())[::-1]
