"""From options to a source of annotated images."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from registry import catalog
from registry.cli.data_options import Reader, ScoredData, data_source, data_sources, takes_scored_data
from registry.config.data import DigitsSource, FolderSource, PascalVocSource, source_sections
from registry.config.recipe import DataConfig
from registry.errors import DataError

VOC = PascalVocSource(reader="pascal_voc", root="voc", split="train")
DIGITS = DigitsSource(reader="digits", split="val", count=4)


@pytest.fixture
def recipe(monkeypatch):
    data = DataConfig(train=VOC, validation=DIGITS)
    resolved = SimpleNamespace(config=SimpleNamespace(data=data))
    monkeypatch.setattr(catalog, "resolve_recipe", lambda recipe: resolved, raising=False)
    return "my_recipe"


def test_the_readers_are_those_of_the_configuration():
    assert get_args(Reader) == tuple(sorted(source_sections()))


def test_a_recipe_names_its_parts(recipe):
    assert data_source(recipe, None, None, None, None, None) == DIGITS
    assert data_source(recipe, "train", None, None, None, None) == VOC
    assert data_sources(recipe, "all", None, None, None, None) == {"train": VOC, "validation": DIGITS}
    with pytest.raises(DataError, match=r"train, validation(.|\n)*--part train"):
        data_source(recipe, "test", None, None, None, None)


def test_a_reader_takes_the_keys_of_its_section():
    options = ["num_classes=3", "palette=[[0, 0, 0], [1, 2, 3], [9, 9, 9]]", "mask_suffix=_mask"]
    source = data_source(None, None, "folder", "my_images", "val", options)
    assert source == FolderSource(
        reader="folder",
        root="my_images",
        split="val",
        num_classes=3,
        palette=((0, 0, 0), (1, 2, 3), (9, 9, 9)),
        mask_suffix="_mask",
    )
    assert data_sources(None, None, "digits", None, "val", ["count=4"]) == {"digits": DIGITS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None, None, None, None, None), "got neither"),
        (("recipe", None, "folder", None, None, None), "got both"),
        (("recipe", "trian", None, None, None, None), "--part is one of train, validation, test"),
        (("recipe", None, None, "root", None, None), "are for --reader"),
        (("recipe", None, None, None, None, ["count=4"]), "are for --reader"),
        ((None, "train", "digits", None, "val", ["count=4"]), "takes --split"),
        ((None, None, "folder", None, None, None), "'folder' needs --root"),
        ((None, None, "digits", "root", "val", ["count=4"]), "'digits' takes no --root"),
        ((None, None, "digits", None, "vall", ["count=4"]), "--split: Input should be 'train', 'val' or 'test'"),
        ((None, None, "digits", None, "val", ["cuont=4"]), "takes no --option cuont.*did you mean 'count'"),
        ((None, None, "digits", None, "val", ["count=4.5"]), r"--option count=\.\.\.: .*got 4.5"),
        ((None, None, "folder", "x", None, ["palette=[[0, 0, 300]]"]), r"palette=\.\.\.\[0\]\[2\].*255; got 300"),
        ((None, None, "folder", "x", None, ["palette=["]), "is no YAML"),
        ((None, None, "folder", "x", None, ["palette"]), "needs KEY=VALUE"),
        ((None, None, "folder", "x", None, ["root=y"]), "--root and --option root"),
        ((None, None, "folder", "x", None, ["masks=a", "masks=b"]), "twice"),
    ],
)  # fmt: skip
def test_what_the_command_line_got_wrong(arguments, message):
    with pytest.raises(typer.BadParameter, match=message):
        data_source(*arguments)


def test_a_command_gets_the_options_of_scored_data_as_one_value():
    seen = {}

    @takes_scored_data
    def command(source: str, *, data: ScoredData, limit: int = 3) -> None:
        """Score."""
        seen.update(source=source, data=data, limit=limit)

    names = ["data", "part", "reader", "root", "split", "option", "data_root"]
    assert list(inspect.signature(command).parameters) == ["source", *names, "limit"]
    assert command.__doc__ == "Score."
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(
        app, ["x", "--reader", "digits", "--option", "count=4", "--data-root", "here"]
    )
    assert result.exit_code == 0, result.output
    expected = ScoredData(reader="digits", option=["count=4"], data_root=Path("here"))
    assert seen == {"source": "x", "data": expected, "limit": 3}
    assert expected.named
    assert not ScoredData().named


def test_options_of_data_without_data_are_not_ignored():
    with pytest.raises(typer.BadParameter, match="got neither"):
        ScoredData(part="test").section()
