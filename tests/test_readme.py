"""The README's examples work as they stand."""

import re
from pathlib import Path

import pytest
from fenced import texts

import registry
from registry.cli.app import app

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_preset_is_valid(tmp_path, monkeypatch):
    (text,) = texts(README, "yaml")
    name = re.match(r"# (\S+\.yaml)\n", text)[1]
    (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = registry.describe(name).config
    assert config.encoder.output_stride == 8
    assert config.architecture.aspp.separable
    assert config.num_classes == 4


@pytest.mark.parametrize("block", texts(README, "python"))
def test_the_python_uses_public_names(block):
    compile(block, "README.md", "exec")
    assert set(re.findall(r"\bregistry\.(\w+)", block)) <= set(registry.__all__)


def test_the_backbone_is_built_as_shown():
    (block,) = [block for block in texts(README, "python") if "build_encoder" in block]
    namespace = {"registry": registry}
    exec(block, namespace)
    assert namespace["model"].output_shape == (None, None, None, 4)


def test_the_overrides_are_taken_as_shown():
    assert "`registry.build(name, output_stride=8)`" in README
    resolved = registry.describe("deeplab_v3_plus_resnet50_os16_pascalvoc", output_stride=8)
    assert resolved.config.encoder.output_stride == 8


def test_every_command_is_in_the_table():
    shown = set(re.findall(r"^\| .*", README, re.MULTILINE))
    named = {name for row in shown for name in re.findall(r"`atrous ([a-z-]+)", row)}
    groups = {group.typer_instance.info.name for group in app.registered_groups}
    assert named == groups | {command.name for command in app.registered_commands if not command.hidden}
