"""`atrous list | show | validate | schema`: the catalog of presets."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from registry.cli.console import print_json, say
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
from registry.cli.options import JsonOption, SetOption, parse_overrides
from registry.errors import CatalogError, RegistryError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "list",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous list\n  atrous list '*resnet50*' --json",
    )(list_presets)
    app.command(
        "show",
        cls=GuardedCommand,
        epilog="\b\nExample:\n  atrous show deeplab_v3_plus_resnet50_pascalvoc --set num_classes=4",
    )(show)
    app.command(
        "validate",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous validate\n  atrous validate presets/my_preset.yaml --json",
    )(validate)
    app.command("schema", cls=GuardedCommand, epilog="\b\nExample:\n  atrous schema > preset.schema.json")(
        schema
    )


def list_presets(
    pattern: Annotated[
        str | None, typer.Argument(help="Only names that match, with * and ? as wildcards.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the names of the presets.

    With --json: {"presets": [name, ...]}.
    """
    import registry

    names = registry.list_presets(pattern)
    if as_json:
        print_json({"presets": names})
    elif names:
        typer.echo("\n".join(names))
    else:
        say(f"no preset matches {pattern!r}" if pattern else "no presets found")


def show(
    preset: Annotated[
        str, typer.Argument(help="Name of a preset, or path of a YAML file or of a saved preset's folder.")
    ],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a resolved preset and where each value comes from.

    With --json: the resolved preset, as registry.describe(preset).to_dict().
    """
    import registry

    resolved = registry.describe(preset, **parse_overrides(overrides))
    if as_json:
        print_json(resolved.to_dict())
    else:
        typer.echo(str(resolved))


def validate(
    presets: Annotated[
        list[str] | None,
        typer.Argument(help="Names, YAML files or folders of saved presets; none checks the whole catalog."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check presets; exit with 1 if any is wrong.

    All errors are listed: syntax and values, duplicate names, encoders that no plugin offers, absent files of weights.

    With --json: {"checked": [preset, ...], "errors": [{"preset": ..., "type": ..., "message": ...}, ...]}.
    """
    checked, errors = _check_all(presets)
    if as_json:
        print_json({"checked": checked, "errors": errors})
    else:
        for error in errors:
            say(f"{error['preset'] or 'catalog'}: {error['message']}")
        typer.echo(f"{len(checked)} presets checked, {len(errors)} errors")
    if errors:
        raise typer.Exit(EXIT_WRONG_INPUT)


def schema() -> None:
    """Print the JSON Schema of preset files, for editors."""
    from registry.catalog import preset_schema

    print_json(preset_schema())


def _check_all(presets: list[str] | None) -> tuple[list[str], list[dict[str, Any]]]:
    import registry

    errors = []
    try:
        names = presets or registry.list_presets()
    except CatalogError as error:
        return [], [_entry(None, error)]
    for name in names:
        try:
            _check_one(name)
        except RegistryError as error:
            errors.append(_entry(name, error))
    return names, errors


def _check_one(preset: str) -> None:
    import registry
    from registry.discovery import find_encoder, load_architecture

    resolved = registry.describe(preset)
    encoder = resolved.config.encoder
    _, spec = find_encoder(encoder.plugin, encoder.variant)
    options = resolved.encoder_options(spec.options)
    architecture = resolved.config.architecture
    load_architecture(architecture.name).spec.check_levels(
        architecture, spec.channels_for(options), spec.name
    )
    spec.checked_output_stride(encoder.output_stride)
    resolved.weights_source("segmentation")
    resolved.weights_source("encoder", spec.weights)


def _entry(preset: str | None, error: RegistryError) -> dict[str, Any]:
    return {"preset": preset, "type": type(error).__name__, "message": str(error)}
