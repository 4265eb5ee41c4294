"""`atrous new-plugin | check-plugin`: what an author of encoders needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.completion import complete_encoder_plugin
from registry.cli.console import print_json, print_table, say, working
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
from registry.cli.options import JsonOption

if TYPE_CHECKING:
    from registry.testing import Outcome

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "new-plugin",
        cls=GuardedCommand,
        epilog="\b\nExample:\n  atrous new-plugin tinynet --license MIT --author 'Ada Lovelace'",
    )(new_plugin)
    app.command(
        "check-plugin",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous check-plugin resnet\n"
        "  atrous check-plugin resnet --variant 'resnet_v2_*' --check atrous --check int8",
    )(check_plugin)


def new_plugin(
    name: Annotated[str, typer.Argument(help="The word that presets will write under encoder.plugin.")],
    directory: Annotated[
        Path, typer.Option(help="Existing folder that registry-NAME is put into.", show_default="here")
    ] = Path(),
    license_id: Annotated[
        str, typer.Option("--license", metavar="SPDX", help="Apache-2.0, MIT or BSD-3-Clause.")
    ] = "Apache-2.0",
    author: Annotated[str | None, typer.Option(help="Who holds the copyright.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a new encoder plugin: a distribution with a small network, a preset, and tests that pass.

    Nothing is overwritten, and what cannot be written completely is not written at all.

    With --json: {"plugin": ..., "directory": ..., "files": [path, ...]}.
    """
    from registry.scaffold import new_plugin as write

    paths = write(name, directory, license_id=license_id, author=author)
    folder = directory / f"registry-{name.replace('_', '-')}"
    if as_json:
        print_json({"plugin": name, "directory": str(folder), "files": [str(path) for path in paths]})
        return
    typer.echo("\n".join(str(path) for path in paths))
    say(f"\nnext:\n  cd '{folder}'\n  pip install -e '.[test]'\n  pytest")


def check_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin.", autocompletion=complete_encoder_plugin)],
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Variants to check, with * and ? as wildcards; by default the smallest of each paper. Repeatable."
        ),
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(help="Checks to run; by default all. Repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the encoders of a plugin to their promises; exit with 1 if one is not kept.

    With --json: {"outcomes": [{"variant": ..., "check": ..., "status": ..., "findings": [...], ...}, ...]}.
    """
    from registry.testing import select_variants

    outcomes: list[Outcome] = []
    with working():
        for chosen in select_variants(name, variant or "architectures"):
            outcomes += _checked(name, chosen, check)
    if as_json:
        print_json({"outcomes": [outcome.to_dict() for outcome in outcomes]})
    else:
        print_table(
            ("variant", "check", "status", "notes"),
            (
                (
                    outcome.variant,
                    outcome.check,
                    outcome.status,
                    "; ".join([*_reason(outcome), *outcome.notes]),
                )
                for outcome in outcomes
            ),
        )
        for outcome in outcomes:
            if outcome.status == "failed":
                typer.echo(f"\n{outcome}")
    if any(outcome.status == "failed" for outcome in outcomes):
        raise typer.Exit(EXIT_WRONG_INPUT)


def _checked(plugin: str, variant: str, checks: list[str] | None) -> list[Outcome]:
    from registry.testing import run_check
    from registry.testing.running import check_names

    outcomes = []
    for check in check_names(checks):
        say(f"{variant}: {check}")
        outcomes.append(run_check(plugin, variant, check))
    return outcomes


def _reason(outcome: Outcome) -> list[str]:
    return [outcome.reason] if outcome.reason else []
