"""Whether what is installed fits together, from the metadata of distributions alone."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from registry.diagnosis.finding import Finding

__all__ = ["TENSORFLOWS", "conflicts", "examine_packages", "installed_versions", "version_of"]

AREA = "packages"
PROJECT = "atrous"

TENSORFLOWS = (
    "tensorflow",
    "tensorflow-cpu",
    "tf-nightly",
    "tf-nightly-cpu",
    "tensorflow-intel",
    "tensorflow-macos",
)
"""Distributions that bring the package `tensorflow`."""
# Of each row one may be installed: they write the same files, and the last one that is installed or removed wins.
_RIVALS = (
    TENSORFLOWS,
    ("tf-keras", "tf-keras-nightly"),
    ("keras", "keras-nightly"),
    ("ai-edge-litert", "ai-edge-litert-nightly"),
    ("tensorflow-model-optimization", "tf-model-optimization-nightly"),
)
_SHOWN = (
    *(PROJECT, "tensorflow", "tf-keras", "keras", "ai-edge-litert", "tensorflow-model-optimization"),
    *("numpy", "protobuf", "pillow", "h5py", "pydantic", "typer"),
)


def examine_packages() -> Iterator[Finding]:
    """Python, the packages that atrous requires and theirs, twins that overwrite each other, extras."""
    yield Finding(
        area=AREA,
        subject="Python",
        status="ok",
        detail=f"{platform.python_version()} at {sys.executable or 'an unknown place'}, {platform.platform()}",
    )
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        yield Finding(
            area=AREA,
            subject="bytecode",
            status="note",
            detail="PYTHONDONTWRITEBYTECODE is set: each process compiles TensorFlow's modules anew",
            repair="unset it, or run `python -m compileall` on site-packages once",
        )
    if version_of(PROJECT) is None:
        yield Finding(
            area=AREA,
            subject=PROJECT,
            status="problem",
            detail="not installed: it runs from a folder, and plugins are found in the metadata of installations",
            repair="pip install -e . in its clone",
        )
        return
    found = list(conflicts(PROJECT))
    yield from (
        Finding(
            area=AREA,
            subject=f"{owner} needs {requirement.name}",
            status="problem",
            detail=f"{_wanted(requirement)}, "
            + (f"{version} is installed" if version else "and it is not installed"),
            repair=f"pip install '{_wanted(requirement)}'",
        )
        for owner, requirement, version in found
    )
    versions = installed_versions()
    yield Finding(
        area=AREA,
        subject="versions",
        status="ok",
        detail=", ".join(f"{name} {version}" for name, version in versions.items()),
    )
    yield from _rivals()
    present, absent = _extras()
    yield Finding(
        area=AREA,
        subject="extras",
        status="ok",
        detail=f"complete: {', '.join(present) or 'none'}; not installed: {', '.join(absent) or 'none'}",
    )


def installed_versions() -> dict[str, str]:
    """Versions of atrous and of the packages that matter most to it."""
    return {name: version for name in _SHOWN if (version := version_of(name)) is not None}


def version_of(name: str) -> str | None:
    """Version of an installed distribution; None if it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def conflicts(root: str) -> Iterator[tuple[str, Requirement, str | None]]:
    """Requirements of a distribution, and of all that it requires, that the environment does not meet.

    Args:
        root: name of the distribution to begin with.

    Yields:
        Who requires, what it requires, and the version that is installed instead; None if there is none.
    """
    seen, waiting = {canonicalize_name(root)}, [root]
    while waiting:
        owner = waiting.pop(0)
        for requirement in _requirements(owner):
            version = _version_for(requirement.name)
            if version is None or not _fits(requirement, version):
                yield owner, requirement, version
            name = canonicalize_name(requirement.name)
            if version is not None and name not in seen:
                seen.add(name)
                waiting.append(requirement.name)


def _requirements(owner: str) -> list[Requirement]:
    """What a distribution requires here, without its extras."""
    return [requirement for requirement, extra in _stated(owner) if extra is None]


def _stated(owner: str) -> Iterator[tuple[Requirement, str | None]]:
    """What a distribution states, each with the extra that it belongs to; of this system only."""
    try:
        distribution = metadata.distribution(owner)
    except metadata.PackageNotFoundError:
        return
    extras = distribution.metadata.get_all("Provides-Extra") or []
    for text in distribution.requires or []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # of an old distribution; pip would not have refused it either
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement, None
            continue
        for extra in extras:
            if requirement.marker.evaluate({"extra": extra}):
                yield requirement, extra


def _version_for(name: str) -> str | None:
    """Version of a requirement; of TensorFlow, any distribution that brings it."""
    version = version_of(name)
    if version is None and canonicalize_name(name) == "tensorflow":
        return next((found for other in TENSORFLOWS if (found := version_of(other))), None)
    return version


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return True  # nothing can be said of it


def _wanted(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _rivals() -> Iterator[Finding]:
    for row in _RIVALS:
        installed = [f"{name} {version}" for name in row if (version := version_of(name))]
        if len(installed) > 1:
            yield Finding(
                area=AREA,
                subject="twins",
                status="problem",
                detail=f"{' and '.join(installed)} write the same files: a mixture of both is installed",
                repair=f"pip uninstall all of them, then pip install --force-reinstall {row[0]}",
            )


def _extras() -> tuple[list[str], list[str]]:
    """Extras of atrous whose packages are all there, and the others."""
    met: dict[str, bool] = {}
    for requirement, extra in _stated(PROJECT):
        if extra is not None:
            version = _version_for(requirement.name)
            met[extra] = met.get(extra, True) and version is not None and _fits(requirement, version)
    return [extra for extra, all_there in met.items() if all_there], [
        extra for extra, all_there in met.items() if not all_there
    ]
