"""What `atrous.lock` says, and how it is read and written: YAML in a fixed order, so that text tells two apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from registry.architecture import Section
from registry.atomic import atomic_path
from registry.catalog.origin import shown_path
from registry.catalog.printing import yaml_lines
from registry.catalog.source import read
from registry.config.scalars import Word
from registry.discovery import VerifiedDistribution
from registry.errors import CatalogError, LockError

__all__ = [
    "DEFAULT_PATH",
    "LockFile",
    "LockedDistribution",
    "LockedPlugin",
    "LockedPreset",
    "LockedWeights",
    "read_lock",
    "write_lock",
]

DEFAULT_PATH = "atrous.lock"

_HEADER = """\
# Written by `atrous lock`. `atrous lock --check` compares it with what is here; `registry.build(…, lock=…)` refuses
# what differs.

"""
_Sha256 = Annotated[str, Field(strict=True, pattern="^[0-9a-f]{64}$")]


class LockedPlugin(Section):
    """A name that presets use, and the distribution that it means."""

    kind: Literal["architecture", "encoder"]
    name: Word
    distribution: Word


class LockedDistribution(Section):
    """A distribution whose code runs.

    Args:
        version: its version.
        code: SHA-256 of its files, see `VerifiedDistribution.code`; or why there is none.
    """

    version: Word
    code: _Sha256 | Literal["editable", "unrecorded"]

    @classmethod
    def of(cls, verified: VerifiedDistribution) -> LockedDistribution:
        """What is installed here."""
        return cls(version=verified.version, code=verified.code or verified.status)


class LockedWeights(Section):
    """The files that a model starts from.

    Args:
        use: whether they are those of the whole model or of its encoder.
        source: a handle, or the name of what lies on this machine; for people.
        files: name → SHA-256.
    """

    use: Literal["segmentation", "encoder"]
    source: Word
    files: dict[str, _Sha256]


class LockedPreset(Section):
    """One preset, resolved.

    Args:
        overrides: what was changed when it was locked, by key.
        config_sha256: SHA-256 of the whole resolved configuration as JSON with sorted keys.
        weights: the files; `none` where the preset names none, `unlocked` where nobody looked.
        config: the configuration, so that drift can be named; of `labels`, the SHA-256.
    """

    overrides: dict[str, Any] = Field(default_factory=dict)
    config_sha256: _Sha256
    weights: LockedWeights | Literal["none", "unlocked"]
    config: dict[str, Any]


class LockFile(Section):
    """The whole file."""

    version: Literal[1]
    plugins: tuple[LockedPlugin, ...]
    distributions: dict[str, LockedDistribution]
    presets: dict[str, LockedPreset]


def write_lock(lock: LockFile, path: str | os.PathLike[str]) -> None:
    """Write the file, complete or not at all. The same content gives the same bytes.

    Raises:
        OutputPathError: it cannot be written there.
    """
    lines = (text for text, _ in yaml_lines(lock.model_dump(mode="json"), lambda path: ""))
    with atomic_path(path) as temporary:
        temporary.write_text(_HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_lock(path: str | os.PathLike[str]) -> LockFile:
    """Read the file, under the limits of every YAML file.

    Raises:
        LockError: it is not there, cannot be read, or is no lock file of this version.
    """
    try:
        content = read(Path(path), kind="lock").plain()
        return LockFile.model_validate(content)
    except (CatalogError, ValidationError) as error:
        raise LockError(
            "a lock file must be one that `atrous lock` wrote",
            received=f"{shown_path(Path(path))}: {_first_reason(error)}",
            repair="write it again with `atrous lock PRESET…`",
        ) from error


def _first_reason(error: CatalogError | ValidationError) -> str:
    if isinstance(error, CatalogError):
        return f"{error.rule}; {error.received}"
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
