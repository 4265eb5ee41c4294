"""How commands name annotated images: a part of a recipe, or a reader with its options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer
import yaml

from registry.cli.completion import complete_recipe

if TYPE_CHECKING:
    from registry.config import DataSource
    from registry.data import AnnotatedImages

__all__ = [
    "DataRootOption",
    "Reader",
    "ReaderOption",
    "ReaderOptionsOption",
    "RootOption",
    "ScoredData",
    "SplitOption",
    "data_source",
    "data_sources",
    "scored_source",
    "takes_scored_data",
]

# As in registry.config.data, which a command's help must not import; a test holds them equal.
Reader = Literal[
    "ade20k",
    "cityscapes",
    "coco_panoptic",
    "coco_stuff",
    "digits",
    "folder",
    "pascal_voc",
    "tfrecord",
]
PARTS = ("train", "validation", "test")

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="RECIPE",
        help="Name or path of a recipe whose data is meant.",
        autocompletion=complete_recipe,
    ),
]
PartOption = Annotated[
    str | None, typer.Option("--part", metavar="train|validation|test", help="Which data of the recipe.")
]
ReaderOption = Annotated[
    Reader | None, typer.Option("--reader", help="Read this layout, in place of a recipe's data.")
]
RootOption = Annotated[
    str | None, typer.Option("--root", metavar="DIR", help="Folder of the data set that --reader reads.")
]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Split of the data set that --reader reads.")
]
ReaderOptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="Another key of the reader's section in a recipe, e.g. num_classes=3; VALUE is YAML. Repeatable.",
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="What relative paths of data lie under.", show_default="here"),
]


@dataclass(frozen=True, kw_only=True)
class ScoredData:
    """The annotated images that models are scored on, as a command's options name them.

    The fields are the options: a command of `takes_scored_data` has each of them.
    """

    data: DataOption = None
    part: PartOption = None
    reader: ReaderOption = None
    root: RootOption = None
    split: SplitOption = None
    option: ReaderOptionsOption = None
    data_root: DataRootOption = None

    @property
    def named(self) -> bool:
        """Whether any of the options was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def section(self) -> DataSource:
        """The source of images that is meant; raises what `scored_source` raises."""
        return scored_source(self.data, self.part, self.reader, self.root, self.split, self.option)

    def opened(self, section: DataSource, num_classes: int | None) -> AnnotatedImages:
        """The images of that source.

        Raises:
            DataError: they cannot be opened, or have other classes.
        """
        from registry.data import open_data

        return open_data(section, num_classes=num_classes, data_root=self.data_root)


def takes_scored_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `ScoredData` where its signature has one parameter of that type."""
    signature = inspect.signature(command, eval_str=True)
    (place,) = [one for one in signature.parameters.values() if one.annotation is ScoredData]
    hints = get_type_hints(ScoredData, include_extras=True)
    options = [
        inspect.Parameter(field.name, place.kind, default=field.default, annotation=hints[field.name])
        for field in fields(ScoredData)
    ]
    parameters = list(signature.parameters.values())
    position = parameters.index(place)
    parameters[position : position + 1] = options

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        chosen = ScoredData(**{option.name: arguments.pop(option.name) for option in options})
        command(**arguments, **{place.name: chosen})

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def data_source(
    recipe: str | None,
    part: str | None,
    reader: str | None,
    root: str | None,
    split: str | None,
    options: Sequence[str] | None,
) -> DataSource:
    """The one source of annotated images that the options name.

    Args:
        recipe: name or path of a recipe.
        part: `train`, `validation` or `test`, of the recipe; None: `validation`.
        reader: word of a reader, in place of a recipe.
        root: of the reader.
        split: of the reader.
        options: further `KEY=VALUE` of the reader.

    Raises:
        typer.BadParameter: not exactly one of recipe and reader, or options that the reader does not have.
        CatalogError: the recipe cannot be read.
        DataError: the recipe has no data for that part.
    """
    if part not in (None, *PARTS):
        raise typer.BadParameter(f"--part is one of {', '.join(PARTS)}; got {part!r}")
    chosen = part if recipe is None else part or "validation"
    (source,) = data_sources(recipe, chosen, reader, root, split, options).values()
    return source


def data_sources(
    recipe: str | None,
    part: str | None,
    reader: str | None,
    root: str | None,
    split: str | None,
    options: Sequence[str] | None,
) -> dict[str, DataSource]:
    """All sources that the options name, by part of the recipe or by the reader's word.

    Takes what `data_source` takes, and raises what it raises; a part `all` or None means each that the recipe has.
    """
    if (recipe is None) == (reader is None):
        given = "neither" if recipe is None else "both"
        raise typer.BadParameter(f"data are named by a recipe or by --reader, one of them; got {given}")
    if recipe is None:
        if part is not None:
            raise typer.BadParameter("--part is for recipes; a reader takes --split")
        return {str(reader): _by_reader(str(reader), root, split, options)}
    if root is not None or split is not None or options:
        raise typer.BadParameter("--root, --split and --option are for --reader; a recipe has its own")
    return _by_recipe(recipe, part or "all")


def scored_source(
    recipe: str | None,
    part: str | None,
    reader: str | None,
    root: str | None,
    split: str | None,
    options: Sequence[str] | None,
) -> DataSource:
    """What the options name; of a recipe without a part, what finished models are scored on.

    Takes what `data_source` takes, and raises what it raises.
    """
    if recipe is None or part is not None:
        return data_source(recipe, part, reader, root, split, options)
    sections = data_sources(recipe, None, reader, root, split, options)
    section = sections.get("test") or sections.get("validation")
    if section is None:
        from registry.errors import DataError

        raise DataError(
            "a recipe must have images that a model was not trained on",
            received=f"{recipe}: neither data.test nor data.validation",
            repair="add one of them, or say --part train",
        )
    return section


def _by_recipe(recipe: str, part: str) -> dict[str, DataSource]:
    from registry.catalog import resolve_recipe
    from registry.errors import DataError

    if part not in (*PARTS, "all"):
        raise typer.BadParameter(f"--part is one of {', '.join(PARTS)} or all; got {part!r}")
    section = resolve_recipe(recipe).config.data
    present = {name: source for name in PARTS if (source := getattr(section, name)) is not None}
    if part == "all":
        return present
    if part not in present:
        raise DataError(
            "a recipe's section `data` must have the part that is asked for",
            received=f"{part!r} of {recipe}, which has {', '.join(present)}",
            repair=f"--part {next(iter(present))}, or add `{part}:` under `data:`",
        )
    return {part: present[part]}


def _by_reader(reader: str, root: str | None, split: str | None, options: Sequence[str] | None) -> DataSource:
    from pydantic import ValidationError

    from registry.config.data import source_sections

    values = _parsed(options)
    for name, value in (("root", root), ("split", split)):
        if value is not None:
            if name in values:
                raise typer.BadParameter(f"--{name} and --option {name}=... say the same; give one of them")
            values[name] = value
    section = source_sections()[reader]
    try:
        source: Any = section.model_validate({"reader": reader, **values})
    except ValidationError as error:
        details: Any = error.errors(include_url=False)
        keys = [key for key in section.model_fields if key != "reader"]
        raise typer.BadParameter("; ".join(_complaint(detail, reader, keys) for detail in details)) from error
    return source


def _parsed(options: Sequence[str] | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option in options or ():
        key, equals, text = option.partition("=")
        key = key.strip()
        if not equals or not key or key == "reader":
            raise typer.BadParameter(f"--option needs KEY=VALUE, got {option!r}")
        if key in values:
            raise typer.BadParameter(f"--option gives {key!r} twice")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"the value of --option {key}=... is no YAML: {error}") from error
    return values


def _complaint(detail: dict[str, Any], reader: str, keys: Sequence[str]) -> str:
    """One finding of pydantic, in the words of the command line."""
    from registry.errors import nearest

    key = str(detail["loc"][0])
    option = f"--{key}" if key in ("root", "split") else f"--option {key}=..."
    if detail["type"] == "extra_forbidden":
        return f"the reader {reader!r} takes no {option}; {nearest(key, keys)}"
    if detail["type"] == "missing" and len(detail["loc"]) == 1:
        return f"the reader {reader!r} needs {option}"
    inside = "".join(f"[{step}]" for step in detail["loc"][1:])
    return f"{option}{inside}: {detail['msg']}; got {detail['input']!r}"
