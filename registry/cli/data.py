"""`atrous data check | pack`: look at annotated images before training, and store large sets in few files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.atomic import atomic_path, make_folder
from registry.cli.completion import complete_labels, complete_recipe
from registry.cli.console import print_json, progress_bar, say
from registry.cli.data_options import (
    DataRootOption,
    ReaderOption,
    ReaderOptionsOption,
    RootOption,
    SplitOption,
    data_sources,
)
from registry.cli.guard import EXIT_WRONG_INPUT, GuardedCommand
from registry.cli.options import JsonOption, read_labels

if TYPE_CHECKING:
    from registry.catalog import ResolvedPreset
    from registry.config import DataSource
    from registry.data import AnnotatedImages, DataReport, Finding

__all__ = ["register"]

RecipeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        help="Name or path of a recipe; or give --reader.",
        autocompletion=complete_recipe,
    ),
]
PartOption = Annotated[
    str | None,
    typer.Option(
        "--part", metavar="train|validation|test|all", help="Which data of the recipe.  [default: all]"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(
        name="data",
        help="Annotated images: check them before training, pack them into few files.",
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.command(
        "check",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous data check my_recipe.yaml --output checked\n"
        "  atrous data check --reader folder --root my_images --option num_classes=3\n"
        "  atrous data check --reader pascal_voc --root VOCdevkit --split train --limit 200 --json",
    )(check)
    group.command(
        "pack",
        cls=GuardedCommand,
        epilog="\b\nExamples:\n"
        "  atrous data pack my_recipe.yaml --output shards\n"
        "  atrous data pack --reader cityscapes --root cityscapes --split train --output shards --shards 10",
    )(pack)
    app.add_typer(group)


def check(
    recipe: RecipeArgument = None,
    *,
    part: PartOption = None,
    reader: ReaderOption = None,
    root: RootOption = None,
    split: SplitOption = None,
    options: ReaderOptionsOption = None,
    data_root: DataRootOption = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Read so many images of each part, evenly spread.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|FILE",
            autocompletion=complete_labels,
            help="Class names: of a preset, or a text file, one a line; by default the recipe's preset's.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a picture sheet of each part and report.json there."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read all annotated images and tell what is wrong; exit with 1 if anything is.

    Errors: images and masks that cannot be read, sizes that differ, mask values that are no class, images of the
    training part in another one. Notes: empty masks, extreme sizes, duplicates, absent classes. And how often each
    class occurs, with weights that balance them, and the mean and deviation of the pixels.

    With --json: {"parts": {NAME: {"name", "total", "checked", "errors": [{"kind", "name", "detail"}, ...], "notes",
    "classes": [{"index", "name", "pixels", "images", "share", "weight"}, ...], "class_weights", "ignored", "unknown",
    "sizes", "mean", "deviation", ...}, ...}, "shared": {"errors", "notes"}, "files": [...]}.
    """
    from registry.data import check_data, save_sheet, shared_images

    sources = data_sources(recipe, part, reader, root, split, options)
    preset = _preset_of(recipe)
    names, colors = _labels_of(preset, labels)
    if output is not None:
        make_folder(output)
    reports: dict[str, DataReport] = {}
    files: list[Path] = []
    with _progress(as_json) as tell:
        for key, source in sources.items():
            data = _opened(source, preset, data_root)
            reports[key] = check_data(data, labels=names, limit=limit, progress=tell(f"checking {key}"))
            if output is not None and reports[key].picks:
                files.append(output / f"{key}.png")
                save_sheet(data, reports[key], files[-1], palette=colors or None)
    shared = shared_images(reports)
    document = {
        "parts": {key: report.to_dict() for key, report in reports.items()},
        "shared": _by_severity(shared),
    }
    if output is not None:
        files.append(output / "report.json")
        with atomic_path(files[-1]) as temporary:
            temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print_json({**document, "files": [str(path) for path in files]})
    else:
        _print_reports(reports, shared, files)
    if any(report.errors for report in reports.values()) or any(one.severity == "error" for one in shared):
        raise typer.Exit(EXIT_WRONG_INPUT)


def pack(
    recipe: RecipeArgument = None,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where the shards go; created if need be."),
    ],
    part: PartOption = None,
    reader: ReaderOption = None,
    root: RootOption = None,
    split: SplitOption = None,
    options: ReaderOptionsOption = None,
    data_root: DataRootOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What file names begin with; by default the part of the recipe, the split or the reader."
        ),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of files.  [default: one per thousand images]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write annotated images as TFRecord shards, which DeepLab's and Model Garden's tools read, too.

    Images keep the bytes of their files where every decoder reads them alike. The shards of a set appear together, when
    all are written. A recipe reads them with `reader: tfrecord`.

    With --json: {"parts": {NAME: {"images": ..., "num_classes": ..., "ignore_label": ..., "files": [...]}, ...}}.
    """
    from registry.data import pack as write

    sources = data_sources(recipe, part, reader, root, split, options)
    if name is not None and len(sources) > 1:
        raise typer.BadParameter(
            f"--name is for one set of shards; the recipe has {', '.join(sources)}: give --part"
        )
    preset = _preset_of(recipe)
    make_folder(output)
    packed: dict[str, dict[str, Any]] = {}
    with _progress(as_json) as tell:
        for key, source in sources.items():
            data = _opened(source, preset, data_root)
            prefix = name or (split or key if recipe is None else key)
            paths = write(data, output, prefix, shards=shards, progress=tell(f"packing {prefix}"))
            packed[prefix] = {
                "images": len(data),
                "num_classes": data.num_classes,
                "ignore_label": data.ignore_label,
                "files": [str(path) for path in paths],
            }
    if as_json:
        print_json({"parts": packed})
        return
    for prefix, entry in packed.items():
        pattern = output / f"{prefix}-*-of-{len(entry['files']):05}.tfrecord"
        typer.echo(f"{prefix}: {entry['images']:,} images in {pattern}")
        say(
            f"  reader: tfrecord\n  root: {output}\n  pattern: {prefix}-*\n"
            f"  num_classes: {entry['num_classes']}\n  ignore_label: {entry['ignore_label']}"
        )


def _preset_of(recipe: str | None) -> ResolvedPreset | None:
    if recipe is None:
        return None
    from registry.catalog import resolve_recipe

    return resolve_recipe(recipe).preset


def _opened(source: DataSource, preset: ResolvedPreset | None, data_root: Path | None) -> AnnotatedImages:
    from registry.data import open_data

    num_classes = None if preset is None else preset.config.num_classes
    return open_data(source, num_classes=num_classes, data_root=data_root)


def _labels_of(
    preset: ResolvedPreset | None, labels: str | None
) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Names and colours of the classes: those asked for, else the preset's."""
    if labels is None and preset is not None:
        own = preset.config.labels
        return [label.name for label in own], [label.color for label in own]
    names, colors = read_labels(labels)
    return names or [], colors or []


def _by_severity(findings: list[Finding]) -> dict[str, list[dict[str, str]]]:
    return {
        f"{severity}s": [
            {"kind": one.kind, "name": one.name, "detail": one.detail}
            for one in findings
            if one.severity == severity
        ]
        for severity in ("error", "note")
    }


def _print_reports(reports: dict[str, DataReport], shared: list[Finding], files: list[Path]) -> None:
    from registry.data.report import listed

    typer.echo("\n\n".join(f"{key}\n{report}" for key, report in reports.items()))
    for severity in ("error", "note"):
        found = [one for one in shared if one.severity == severity]
        if found:
            typer.echo("\n" + "\n".join(listed(f"{severity}s between parts", found)))
    for path in files:
        say(f"written   {path}")


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[str], Callable[[int, int], None] | None]]:
    """Yield what makes a function of (done, all) that reports on one thing."""
    with progress_bar(not as_json and sys.stderr.isatty()) as tell:

        def about(what: str) -> Callable[[int, int], None] | None:
            return None if tell is None else lambda done, total: tell(what, done, total)

        yield about
