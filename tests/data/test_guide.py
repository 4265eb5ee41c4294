"""The guide's recipes are valid, its commands and its program run as they stand."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from fenced import texts
from trees import mask_of, write_image, write_indices
from typer.testing import CliRunner

from registry.catalog import resolve_recipe
from registry.cli.app import app
from registry.config.data import source_sections
from registry.config.recipe import DataConfig

GUIDE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture
def my_images(tmp_path, monkeypatch):
    """The tree that the guide begins with, and its recipe."""
    for number, name in enumerate(("one", "two", "three")):
        write_image(tmp_path / "my_images" / "images" / f"{name}.jpg", seed=number, size=(40, 48))
        write_indices(tmp_path / "my_images" / "masks" / f"{name}.png", mask_of(0, 1, 2, 255, size=(40, 48)))
    (tmp_path / "my_images" / "train.txt").write_text("one\ntwo\n")
    (tmp_path / "my_images" / "val.txt").write_text("three\n")
    recipe = texts(GUIDE, "yaml")[0]
    (tmp_path / re.match(r"# (\S+)\n", recipe)[1]).write_text(recipe)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_recipe_is_valid(my_images):
    resolved = resolve_recipe("./my_recipe.yaml")
    assert resolved.preset.config.num_classes == 3
    assert resolved.config.data.validation.split == "val"


def test_sections_of_data_are_valid():
    others = texts(GUIDE, "yaml")[1:]
    assert others
    for text in others:
        assert DataConfig.model_validate(yaml.safe_load(text)["data"]).validation is not None


def test_every_command_runs(my_images):
    commands = [line for text in texts(GUIDE, "sh") for line in text.splitlines()]
    assert len(commands) == 3
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "atrous"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert {path.name for path in Path("checked").iterdir()} == {
        "folder.png",
        "train.png",
        "validation.png",
        "report.json",
    }
    assert len(list(Path("shards").iterdir())) == 2


def test_the_program_runs(my_images):
    Path("shards").mkdir()
    (program,) = texts(GUIDE, "python")
    exec(program, {})
    assert Path("train.png").is_file()


def test_every_reader_has_its_section():
    headings = set(re.findall(r"^### (\w+)$", GUIDE, re.MULTILINE))
    assert headings == set(source_sections())
    for reader, section in source_sections().items():
        text = GUIDE.split(f"### {reader}\n")[1].split("\n## ")[0].split("\n### ")[0]
        for key in set(section.model_fields) - {"reader", "root", "split"}:
            assert f"`{key}`" in text, (reader, key)
