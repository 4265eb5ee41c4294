"""A new encoder plugin as a complete distribution, written from templates. Nothing here imports TensorFlow."""

from __future__ import annotations

import datetime as dt
import keyword
import os
import re
import secrets
import shutil
import warnings
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from registry.discovery import list_plugins
from registry.errors import ModelError, OutputPathError, RegistryWarning, nearest

__all__ = ["LICENSES", "new_plugin"]

LICENSES = ("Apache-2.0", "MIT", "BSD-3-Clause")

_SUFFIX = ".template"
_LONGEST_NAME = 40

# Of the network in the template, which has other sizes for nobody.
_SIZES = {
    "small_parameters": "60_663",
    "small_macs": "86_921_216",
    "large_parameters": "146_863",
    "large_macs": "193_855_488",
}


def new_plugin(
    name: str,
    directory: str | os.PathLike[str] = ".",
    *,
    license_id: str = "Apache-2.0",
    author: str | None = None,
) -> list[Path]:
    """Write a distribution with an encoder plugin whose own tests pass.

    It appears as `registry-<name>` in `directory`, complete or not at all, and never in place of anything.

    Args:
        name: the word that presets will write under `encoder.plugin`: lower-case letters, digits and underscores.
        directory: existing folder to put it into.
        license_id: SPDX identifier, one of `LICENSES`.
        author: who holds the copyright; the plugin's authors by default.

    Returns:
        The files that were written.

    Raises:
        ModelError: the name is no name of a plugin, or the license is another.
        OutputPathError: the folder cannot be written, or something of that name is there already.
    """
    _check_name(name)
    if license_id not in LICENSES:
        raise ModelError(
            f"a license is one of {', '.join(LICENSES)}",
            received=license_id,
            repair=f"{nearest(license_id, LICENSES)}; any other: write its text into LICENSE afterwards",
        )
    parent = Path(directory)
    distribution = f"registry-{name.replace('_', '-')}"
    target = parent / distribution
    _check_target(parent, target)
    _warn_of_clash(name)
    title = "".join(word.capitalize() for word in name.split("_"))
    texts = _texts(
        {
            "atrous_version": _atrous_version(),
            "author": author or f"the authors of {distribution}",
            "class_name": title,
            "distribution": distribution,
            "license": license_id,
            "name": name,
            "package": f"registry_{name}",
            "title": title,
            "year": str(dt.datetime.now(tz=dt.UTC).year),
            **_SIZES,
        }
    )
    _write(target, texts)
    return [target / path for path in sorted(texts)]


def _check_name(name: str) -> None:
    if (
        re.fullmatch(r"(?!registry(_|$))[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
        and len(name) <= _LONGEST_NAME
        and not keyword.iskeyword(name)
    ):
        return
    proposal = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix("registry")).strip("_0123456789")
    proposal = proposal[:_LONGEST_NAME].strip("_")
    if keyword.iskeyword(proposal):
        proposal += "_net"
    raise ModelError(
        "the name of a plugin is a Python name of lower-case letters, digits and single underscores, "
        f"{_LONGEST_NAME} at most, without `registry_` in front",
        received=name,
        repair=f"for instance {proposal or 'tinynet'}",
    )


def _check_target(parent: Path, target: Path) -> None:
    if not parent.is_dir():
        raise OutputPathError(
            "the folder to put a new plugin into must exist",
            received=str(parent),
            repair=f"mkdir -p '{parent}'",
        )
    if os.path.lexists(target):
        raise OutputPathError(
            "a new plugin never overwrites anything",
            received=f"{target} is there already",
            repair="choose another name or --directory, or move it away",
        )


def _warn_of_clash(name: str) -> None:
    clashing = [plugin for plugin in list_plugins() if plugin.kind == "encoder" and plugin.name == name]
    if clashing:
        taken = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in clashing)
        warnings.warn(
            f"{taken} offers a plugin {name!r} already: with both installed, neither is used until one is blocked",
            RegistryWarning,
            stacklevel=3,
        )


def _atrous_version() -> str:
    import registry

    return registry.__version__


def _texts(values: dict[str, str]) -> dict[str, str]:
    """Path in the distribution → text."""
    texts = {}
    for parts, template in _templates(files(__package__) / "template", ()):
        path = _destination(parts, values)
        if path is not None:
            texts[path] = Template(template.read_text(encoding="utf-8")).substitute(values)
    return texts


def _templates(folder: Traversable, parts: tuple[str, ...]) -> list[tuple[tuple[str, ...], Traversable]]:
    found: list[tuple[tuple[str, ...], Traversable]] = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _templates(item, (*parts, item.name))
        elif item.name.endswith(_SUFFIX):
            found.append(((*parts, item.name.removesuffix(_SUFFIX)), item))
    return found


def _destination(parts: tuple[str, ...], values: dict[str, str]) -> str | None:
    """Where a template goes; None for licenses that were not chosen."""
    match parts:
        case ("licenses", name):
            return "LICENSE" if name == values["license"] else None
        case ("gitignore",):
            return ".gitignore"
        case ("workflows", name):
            return f".github/workflows/{name}"
        case ("package", "presets", _):
            return f"{values['package']}/presets/deeplab_v3_plus_{values['name']}.yaml"
        case ("package", *rest):
            return "/".join([values["package"], *rest])
    return "/".join(parts)


def _write(target: Path, texts: dict[str, str]) -> None:
    """All files in a folder beside the target, which then takes its name in one step."""
    temporary = target.with_name(f".{secrets.token_hex(6)}-{target.name}")
    try:
        for path, text in texts.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        # Refused by the system if something has appeared there meanwhile, but for an empty folder.
        temporary.rename(target)
    except OSError as error:
        raise OutputPathError(
            "the folder to put a new plugin into must be writable",
            received=f"{target}: {error.strerror}",
            repair="choose another --directory, or make room on the disk",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
