"""Draw how a preset is assembled, from its configuration alone."""

from __future__ import annotations

import os

from registry.atomic import atomic_path, check_output_path
from registry.catalog import ResolvedPreset
from registry.diagram.plan import Plan, plan_of
from registry.diagram.svg import draw

__all__ = ["Plan", "assembly_diagram", "plan_of", "save_diagram"]


def assembly_diagram(preset: ResolvedPreset) -> str:
    """Draw an encoder's stages, where its levels leave, the architecture's blocks, and where rewrites act.

    Args:
        preset: as `registry.describe` gives it.

    Returns:
        SVG; the same text for the same preset.

    Raises:
        PluginError: the plugin of the encoder or of the architecture cannot serve.
        UnknownEncoderError, ConfigError, ModelError: the preset does not fit its plugins.
    """
    return draw(plan_of(preset))


def save_diagram(preset: ResolvedPreset, path: str | os.PathLike[str]) -> None:
    """Write `assembly_diagram` as a file, completely or not at all.

    Args:
        preset: as `registry.describe` gives it.
        path: the file to write, ending in `.svg`.

    Raises:
        OutputPathError: the path cannot be written.
        Errors of `assembly_diagram`.
    """
    check_output_path(path, suffixes=(".svg",))
    text = assembly_diagram(preset)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
