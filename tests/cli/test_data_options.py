"""From options to a source of annotated images."""

from types import SimpleNamespace
from typing import get_args

import pytest
import typer

from registry import catalog
from registry.cli.data_options import Reader, data_source, data_sources
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
