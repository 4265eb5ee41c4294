"""Plugins, each of which is loaded, and the catalog of presets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from registry.catalog import list_presets, list_recipes
from registry.diagnosis.finding import Finding
from registry.discovery import list_architectures, list_encoders, list_plugins
from registry.errors import RegistryError, RegistryWarning

__all__ = ["examine_plugins"]

_AREA = "plugins and presets"


def examine_plugins() -> Iterator[Finding]:
    """Import every plugin, and tell those that cannot serve; look through the preset roots."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegistryWarning)  # the records tell the same
        encoders, architectures = list_encoders(), list_architectures()
    records = list_plugins()
    usable = [record for record in records if record.status in ("available", "loaded")]
    foreign = sorted({f"{record.distribution} {record.version}" for record in usable if not record.builtin})
    yield Finding(
        area=_AREA,
        subject="plugins",
        status="ok" if usable else "problem",
        detail=f"{len(usable)} usable, with {len(encoders)} encoders and {len(architectures)} architectures; "
        f"of others: {', '.join(foreign) or 'none'}",
        repair=None
        if usable
        else "pip install atrous again, or unset ATROUS_PLUGINS and ATROUS_BLOCK_PLUGINS",
    )
    for record in records:
        if record in usable:
            continue
        blocked = record.status == "blocked"
        yield Finding(
            area=_AREA,
            subject=f"{record.kind} {record.name}",
            status="note" if blocked else "problem",
            detail=f"{record.status}, of {record.distribution} {record.version}: {record.error or 'no reason given'}",
            repair=None
            if blocked
            else f"tell its author, pip uninstall {record.distribution}, or list it in ATROUS_BLOCK_PLUGINS",
        )
    yield from _presets()


def _presets() -> Iterator[Finding]:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RegistryWarning)
            presets, recipes = list_presets(), list_recipes()
    except RegistryError as error:
        yield Finding(
            area=_AREA, subject="presets", status="problem", detail=_line(error), repair=error.repair
        )
        return
    yield Finding(
        area=_AREA,
        subject="presets",
        status="ok" if presets else "problem",
        detail=f"{len(presets)} presets, {len(recipes)} recipes; `atrous validate` checks what they say",
    )
    for warning in caught:
        if issubclass(warning.category, RegistryWarning) and "are named" in str(warning.message):
            yield Finding(
                area=_AREA,
                subject="presets",
                status="problem",
                detail=str(warning.message),
                repair="rename one, or remove its folder from ATROUS_PRESET_PATH",
            )


def _line(error: RegistryError) -> str:
    return f"{error.rule}: {error.received}" if error.received is not None else error.rule
