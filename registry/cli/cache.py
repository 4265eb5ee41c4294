"""`atrous fetch` and `atrous cache list | clean | path`: weights on this machine."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import typer

from registry.cli.console import counted, print_json, print_table, say, working
from registry.cli.guard import GuardedCommand
from registry.cli.options import JsonOption

__all__ = ["register"]

_SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
# Digits of a hash in a table; --json has all.
_HASH = 12


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        "fetch",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous fetch deeplab_v3_plus_resnet50_pascalvoc\n"
        "  atrous fetch resnet/resnet_vd_50 hf://user/flowers\n"
        "  atrous fetch my_preset.yaml --dry-run",
    )(fetch)
    group = typer.Typer(
        name="cache",
        help="What has been fetched: list it, clean it, say where it is.",
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.command("list", cls=GuardedCommand, epilog="\b\nExample:\n  atrous cache list")(list_)
    group.command(
        "clean",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous cache clean\n"
        "  atrous cache clean --unused-for 30d --larger-than 50MB\n"
        "  atrous cache clean --down-to 2GB --dry-run\n"
        "  atrous cache clean --handle 'https://example.org/*'",
    )(clean)
    group.command("path", cls=GuardedCommand, epilog='\b\nExample:\n  du -sh "$(atrous cache path)"')(path)
    app.add_typer(group)


def fetch(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="PRESET|PLUGIN/VARIANT[/SOURCE]|HANDLE...",
            help="Whose weights: of a preset by name or path, of an encoder, or those at a handle.",
        ),
    ],
    *,
    encoder: Annotated[
        bool,
        typer.Option(
            "--encoder",
            help="Of presets with weights of the whole model, also those that their encoders start from.",
        ),
    ] = False,
    recipe: Annotated[bool, typer.Option("--recipe", help="They are recipes, by name or path.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be fetched, and its size where it is known."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch weights before they are needed, so that ATROUS_OFFLINE=1 finds them.

    With --json: {"weights": [{"target", "part": "model" or "encoder" or "handle", "source", "path", "size"}, ...]};
    path is null for what is not here, size for what is not known.
    """
    import registry

    with working():
        found = registry.fetch(*targets, encoder=encoder, recipe=recipe, dry_run=dry_run)
    if as_json:
        print_json({"weights": [one.to_dict() for one in found]})
        return
    without = [target for target in targets if target not in {one.target for one in found}]
    if without:
        say(f"no weights are named by {', '.join(without)}")
    if found:
        print_table(
            ("for", "weights of", "size", "source", "on this machine"),
            ((one.target, one.part, _size(one.size), one.source, one.path or "no") for one in found),
        )


def list_(as_json: JsonOption = False) -> None:
    """List fetched files: size, age, where they come from, which presets and encoders take them.

    Hubs' own clients keep their files elsewhere; those folders are listed too, with their sizes.

    With --json: {"path", "size", "files": [{"name", "handle", "path", "size", "sha256", "fetched", "used", "partial",
    "complete", "used_by"}, ...], "elsewhere": [{"scheme", "path", "size", "variable", "command"}, ...]}.
    """
    from registry.stores.cache import cache_folder
    from registry.stores.inventory import list_cache, size_of
    from registry.weights.handles import foreign_caches
    from registry.weights.usage import usage

    files = list_cache()
    users = usage() if files else {}
    used_by = [users.get(file.handle or "", []) for file in files]
    elsewhere: list[dict[str, Any]] = [
        {"scheme": scheme, "path": str(place.path), "size": size_of(place.path)}
        | {"variable": place.variable, "command": place.command}
        for scheme, place in foreign_caches().items()
    ]
    total = sum(file.size + file.partial for file in files)
    if as_json:
        described = [{**file.to_dict(), "used_by": names} for file, names in zip(files, used_by, strict=True)]
        print_json({"path": str(cache_folder()), "size": total, "files": described, "elsewhere": elsewhere})
        return
    if files:
        print_table(
            ("file", "size", "fetched", "used", "sha256", "from", "taken by"),
            (
                (
                    file.name,
                    _size(file.size) if file.complete else f"{_size(file.partial)}, partial",
                    _age(file.fetched),
                    _age(file.used),
                    (file.sha256 or "")[:_HASH],
                    file.handle or "unknown",
                    _some(names),
                )
                for file, names in zip(files, used_by, strict=True)
            ),
        )
    typer.echo(f"{counted(len(files), 'file')}, {_size(total)}, in {cache_folder()}")
    for place in elsewhere:
        typer.echo(
            f"{place['scheme']}:// is kept by its client: {_size(place['size'])} in {place['path']} "
            f"({place['variable']}); cleaned by {place['command']}"
        )


def clean(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Remove all files.")] = False,
    handle: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Files from such a handle, with * and ? as wildcards."),
    ] = None,
    unused_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="Files not asked for since then: 12h, 30d, 8w.")
    ] = None,
    larger_than: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Files larger than that: 500K, 50MB, 2GB.")
    ] = None,
    down_to: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What was not used for longest, until so much is left in all."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what interrupted downloads have left, and the files that are selected; several conditions hold together.

    A file that is being written is left alone. What hubs' clients keep is theirs to clean.

    With --json: {"removed": [file, ...], "parts": [...], "busy": [...], "freed": bytes, "dry_run": bool}; a file is as
    in atrous cache list --json.
    """
    from registry.stores.cleaning import Selection, clean_cache

    selection = Selection(
        everything=everything,
        handle=handle,
        unused_for=_seconds(unused_for, "--unused-for"),
        larger_than=_bytes(larger_than, "--larger-than"),
        down_to=_bytes(down_to, "--down-to"),
    )
    cleaned = clean_cache(selection, dry_run=dry_run)
    if as_json:
        document: dict[str, Any] = {
            key: [file.to_dict() for file in getattr(cleaned, key)] for key in ("removed", "parts", "busy")
        }
        print_json({**document, "freed": cleaned.freed, "dry_run": dry_run})
        return
    verb = "would be removed" if dry_run else "removed"
    for file in cleaned.removed:
        typer.echo(f"{verb}: {file.name}, {_size(file.size)}, from {file.handle or 'unknown'}")
    for file in cleaned.parts:
        typer.echo(f"{verb}: {_size(file.partial)} of {file.name}, which never came whole")
    for file in cleaned.busy:
        say(f"left alone, because it is being written: {file.name}")
    typer.echo(
        f"{counted(len(cleaned.removed), 'file')}, {_size(cleaned.freed)} {'to be freed' if dry_run else 'freed'}"
    )


def path(as_json: JsonOption = False) -> None:
    """Print where fetched files are: ATROUS_CACHE, or the platform's folder for caches.

    With --json: {"path": ...}.
    """
    from registry.stores.cache import cache_folder

    folder = cache_folder()
    if as_json:
        print_json({"path": str(folder)})
    else:
        typer.echo(str(folder))


def _size(size: int | None) -> str:
    if size is None:
        return "not known"
    for unit in ("", "K", "M", "G", "T"):
        scaled = size / _SIZES[unit]
        if scaled < 1000 or unit == "T":
            return f"{scaled:.0f} B" if not unit else f"{scaled:.1f} {unit}B"
    raise AssertionError(size)


def _age(moment: float | None) -> str:
    if moment is None:
        return ""
    seconds = max(0.0, time.time() - moment)
    unit = max(
        (one for one in ("s", "m", "h", "d") if seconds >= _TIMES[one]), key=_TIMES.__getitem__, default="s"
    )
    return f"{seconds / _TIMES[unit]:.0f} {unit} ago"


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else ""


def _bytes(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter(f"{option} needs a size, e.g. 500K, 50MB or 2GB; got {text!r}")
    return int(float(match[1]) * _SIZES[match[2].upper()])


def _seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip(), re.IGNORECASE)
    if match is None:
        raise typer.BadParameter(f"{option} needs a time, e.g. 12h, 30d or 8w; got {text!r}")
    return float(match[1]) * _TIMES[match[2].lower()]
