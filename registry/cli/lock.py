"""`atrous lock`: state what presets are built of, and compare it later."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registry.cli.console import print_json, say
from registry.cli.guard import GuardedCommand
from registry.cli.options import JsonOption, SetOption, parse_overrides

__all__ = ["register"]

_DEFAULT = Path("atrous.lock")


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "lock",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous lock deeplab_v3_plus_mobilenet_v2_pascalvoc\n"
        "  atrous lock --check\n"
        "  atrous build deeplab_v3_plus_mobilenet_v2_pascalvoc --lock atrous.lock --output model.keras",
    )(lock)


def lock(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET...",
            help="Names, paths or handles of presets; with --check, of those to compare: all if left out.",
        ),
    ] = None,
    *,
    file: Annotated[Path, typer.Option("--file", metavar="FILE", help="The lock file.")] = _DEFAULT,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the file with what is here; 1 where they differ.")
    ] = False,
    weights: Annotated[
        bool, typer.Option(help="Fetch and hash the weights that presets name; else leave them open.")
    ] = True,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write atrous.lock: each preset's configuration, whose code builds it, and the hashes of its weights.

    With --json: {"file": ..., "presets": [name, ...], "checked": true|false}.
    """
    import registry

    values = parse_overrides(overrides, own_options=False)
    if check:
        if values:
            raise typer.BadParameter("--set is for writing; the file says what was changed")
        names = registry.check_lock(file, presets, weights=weights)
    else:
        if not presets:
            raise typer.BadParameter("name one or more presets, or --check")
        registry.lock(presets, file, weights=weights, **values)
        names = sorted(presets)
    if as_json:
        print_json({"file": str(file), "presets": names, "checked": check})
    else:
        say(f"{file}: {len(names)} {'as locked' if check else 'locked'}")
