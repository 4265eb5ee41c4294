"""`atrous plugins | encoders | architectures`: what is installed."""

from __future__ import annotations

from typing import Annotated

import typer

from registry.cli.console import print_json, print_table, say
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
from registry.cli.options import JsonOption

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "plugins",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous plugins --json\n  atrous plugins --verify",
    )(plugins)
    app.command("encoders", cls=GuardedCommand, epilog="\b\nExample:\n  atrous encoders 'resnet*'")(encoders)
    app.command(
        "architectures", cls=GuardedCommand, epilog="\b\nExample:\n  atrous architectures 'deeplab*'"
    )(architectures)


def plugins(
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Hold each distribution's files against its RECORD; 1 where something differs."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the installed plugins and how they stand.

    With --json: {"plugins": [{"kind": ..., "name": ..., "distribution": ..., "status": ..., ...}, ...]}.
    With --verify: {"distributions": [{"distribution": ..., "status": ..., "changed": [path, ...], ...}, ...]}.
    """
    import registry

    if verify:
        _verify(as_json)
        return
    records = registry.list_plugins()
    if as_json:
        print_json({"plugins": [record.to_dict() for record in records]})
        return
    print_table(
        ("plugin", "offers", "status", "distribution", "version", "module", "error"),
        (
            (
                record.name,
                record.kind,
                record.status,
                record.distribution,
                record.version,
                record.module,
                record.error,
            )
            for record in records
        ),
    )


def _verify(as_json: bool) -> None:
    import registry

    results = registry.verify_plugins()
    if as_json:
        print_json({"distributions": [result.to_dict() for result in results]})
    else:
        print_table(
            ("distribution", "version", "status", "plugins", "findings"),
            (
                (
                    result.distribution,
                    result.version,
                    result.status,
                    len(result.plugins),
                    "\n".join(result.findings),
                )
                for result in results
            ),
        )
    if any(result.status == "changed" for result in results):
        raise typer.Exit(EXIT_WRONG_INPUT)


def encoders(
    pattern: Annotated[
        str | None, typer.Argument(help="Only variants that match, with * and ? as wildcards.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the encoder variants that the plugins offer.

    With --json: {"encoders": [{"plugin": ..., "variant": ..., "output_strides": [...], ...}, ...]}.
    """
    import registry

    records = registry.list_encoders(pattern)
    if as_json:
        print_json({"encoders": [record.to_dict() for record in records]})
        return
    if not records:
        say(f"no encoder matches {pattern!r}" if pattern else "no encoders found")
        return
    print_table(
        ("plugin", "variant", "parameters", "GMACs at 512²", "output strides", "weights", "license"),
        (
            (
                record.plugin,
                record.variant,
                f"{record.parameters:,}" if record.parameters else "",
                f"{record.macs / 1e9:.2f}" if record.macs else "",
                ", ".join(map(str, record.output_strides)),
                ", ".join(record.weights),
                record.license,
            )
            for record in records
        ),
    )


def architectures(
    pattern: Annotated[
        str | None, typer.Argument(help="Only names that match, with * and ? as wildcards.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the architectures that a preset may name.

    With --json: {"architectures": [{"name": ..., "levels": [...], "paper": ..., ...}, ...]}.
    """
    import registry

    records = registry.list_architectures(pattern)
    if as_json:
        print_json({"architectures": [record.to_dict() for record in records]})
        return
    if not records:
        say(f"no architecture matches {pattern!r}" if pattern else "no architectures found")
        return
    print_table(
        ("architecture", "reads", "plugin", "distribution", "paper", "description"),
        (
            (
                record.name,
                ", ".join(record.levels) if record.levels else "by its configuration",
                record.module,
                f"{record.distribution} {record.version}",
                record.paper,
                record.description,
            )
            for record in records
        ),
    )
