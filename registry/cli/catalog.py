"""`atrous list | show | validate | schema`: the catalog of presets and training recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli.completion import complete_preset
from registry.cli.console import counted, print_json, say
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
from registry.cli.options import JsonOption, SetOption, parse_overrides
from registry.errors import CatalogError, RegistryError

if TYPE_CHECKING:
    from registry.catalog import ResolvedPreset

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "list",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n  atrous list\n  atrous list '*resnet50*' --json\n  atrous list --recipes",
    )(list_presets)
    app.command(
        "show",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous show deeplab_v3_plus_resnet50_pascalvoc --set num_classes=4\n"
        "  atrous show deeplab_v3_plus_resnet50_os16_pascalvoc --diagram assembly.svg",
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
    recipes: Annotated[bool, typer.Option("--recipes", help="List recipes instead of presets.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the names of the presets, or of the recipes that train them.

    With --json: {"presets": [name, ...]}, or {"recipes": [name, ...]}.
    """
    import registry

    kind = "recipe" if recipes else "preset"
    names = registry.list_recipes(pattern) if recipes else registry.list_presets(pattern)
    if as_json:
        print_json({f"{kind}s": names})
    elif names:
        typer.echo("\n".join(names))
    else:
        say(f"no {kind} matches {pattern!r}" if pattern else f"no {kind}s found")


def show(
    preset: Annotated[
        str,
        typer.Argument(
            help="Name of a preset, or path of a YAML file or of a saved preset's folder.",
            autocompletion=complete_preset,
        ),
    ],
    overrides: SetOption = None,
    recipe: Annotated[bool, typer.Option("--recipe", help="It is the name or path of a recipe.")] = False,
    diagram: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.svg",
            help="Draw the assembly: stages, strides, rates, and where each rewrite for inference acts.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a resolved preset and where each value comes from.

    With --json: the resolved preset, as registry.describe(preset).to_dict().
    """
    from registry.catalog import ResolvedRecipe, resolve, resolve_recipe

    values = parse_overrides(overrides)
    resolved = resolve_recipe(preset, overrides=values) if recipe else resolve(preset, overrides=values)
    if diagram is not None:
        from registry.diagram import save_diagram

        save_diagram(resolved.preset if isinstance(resolved, ResolvedRecipe) else resolved, diagram)
        say(f"diagram   {diagram}")
    if as_json:
        print_json(resolved.to_dict())
    else:
        typer.echo(str(resolved))


def validate(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, YAML files or folders of saved presets; none checks the whole catalog, recipes included.",
            autocompletion=complete_preset,
        ),
    ] = None,
    recipe: Annotated[bool, typer.Option("--recipe", help="They are recipes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check presets and recipes; exit with 1 if any is wrong.

    All errors are listed: syntax and values, duplicate names, encoders that no plugin offers, absent files of weights.

    With --json: {"checked": [name, ...], "errors": [{"kind": "preset" or "recipe", "name": ..., "type": ...,
    "message": ...}, ...]}.
    """
    checked, errors = _check_all({"recipe" if recipe else "preset": presets} if presets else None)
    if as_json:
        print_json({"checked": [name for names in checked.values() for name in names], "errors": errors})
    else:
        for error in errors:
            say(f"{error['name'] or 'catalog'}: {error['message']}")
        what = ", ".join(counted(len(names), kind) for kind, names in checked.items())
        typer.echo(f"{what or '0 presets'} checked, {counted(len(errors), 'error')}")
    if errors:
        raise typer.Exit(EXIT_WRONG_INPUT)


def schema(
    recipe: Annotated[bool, typer.Option("--recipe", help="Of recipe files instead.")] = False,
) -> None:
    """Print the JSON Schema of preset files, for editors."""
    from registry.catalog import preset_schema, recipe_schema

    print_json(recipe_schema() if recipe else preset_schema())


def _check_all(named: dict[str, list[str]] | None) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    import registry

    errors = []
    try:
        checked = named or {"preset": registry.list_presets(), "recipe": registry.list_recipes()}
    except CatalogError as error:
        return {}, [_entry("preset", None, error)]
    checks: dict[str, Callable[[str], None]] = {"preset": _check_one, "recipe": _check_recipe}
    for kind, names in checked.items():
        for name in names:
            try:
                checks[kind](name)
            except RegistryError as error:
                errors.append(_entry(kind, name, error))
    return checked, errors


def _check_recipe(recipe: str) -> None:
    from registry.catalog import resolve_recipe

    _check_resolved(resolve_recipe(recipe).preset)


def _check_one(preset: str) -> None:
    import registry

    _check_resolved(registry.describe(preset))


def _check_resolved(resolved: ResolvedPreset) -> None:
    from registry.discovery import find_encoder, load_architecture

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


def _entry(kind: str, name: str | None, error: RegistryError) -> dict[str, Any]:
    return {"kind": kind, "name": name, "type": type(error).__name__, "message": str(error)}
