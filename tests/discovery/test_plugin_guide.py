"""The guide for plugin authors is complete: every hook is explained and tested, every file shown as it is."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shutil
from pathlib import Path

import pytest
from fake_site import Site

from registry import discovery, hookspecs
from registry.architecture import ArchitectureSpec
from registry.catalog import resolve
from registry.pyramid import EncoderSpec

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "write-a-plugin.md"
SAMPLE = ROOT / "docs" / "write-a-plugin" / "registry-tinynet"
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "registry_spec")}
SAMPLE_FILES = sorted(
    path.relative_to(SAMPLE.parent).as_posix()
    for path in SAMPLE.rglob("*")
    if path.suffix in {".toml", ".py", ".yaml"}
)


def shown_files() -> dict[str, str]:
    return dict(
        re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    )


def test_there_are_hooks():
    assert set(HOOKS) >= {"registry_encoders", "registry_build_encoder", "registry_preset_roots"}


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_section_with_its_signature(name: str):
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"\n### `{name}({arguments})`\n" in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_docstring(name: str):
    assert inspect.getdoc(HOOKS[name])


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_exercised_by_a_test(name: str):
    tests = {
        node.name
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert any(test.startswith(f"test_hook_{name}") for test in tests)


def test_every_field_of_a_description_is_explained():
    rows = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    for spec in (EncoderSpec, ArchitectureSpec):
        assert explained >= {field.name for field in dataclasses.fields(spec)}


def test_every_status_and_variable_is_explained():
    text = GUIDE.read_text(encoding="utf-8")
    for word in ("available", "loaded", "broken", "blocked", "duplicate", "incompatible"):
        assert f"| `{word}` |" in text
    for word in ("ATROUS_PLUGINS", "ATROUS_BLOCK_PLUGINS", "REGISTRY_API_VERSION"):
        assert f"`{word}`" in text


def test_the_guide_shows_every_file_of_the_sample():
    assert sorted(shown_files()) == SAMPLE_FILES


@pytest.mark.parametrize("name", SAMPLE_FILES)
def test_the_guide_shows_a_file_as_it_is(name: str):
    assert shown_files()[name] == (SAMPLE.parent / name).read_text(encoding="utf-8")


def test_the_sample_is_discovered_and_its_preset_is_valid(site: Site):
    shutil.copytree(SAMPLE / "registry_tinynet", site.folder / "registry_tinynet")
    site.install("registry-tinynet", {"tinynet": "registry_tinynet"}, modules={})
    site.modules.append("registry_tinynet")
    (encoder,) = discovery.list_encoders()
    assert encoder.channels == {"P1": 16, "P2": 32, "P3": 64, "P4": 96, "P5": 128}
    (root,) = discovery.preset_roots()
    (preset,) = root.path.glob("*.yaml")
    site.install("atrous", "[registry.architectures]\ndeeplab_v3_plus = registry_deeplab\n", modules={})
    config = resolve(preset).config
    _, spec = discovery.find_encoder(config.encoder.plugin, config.encoder.variant)
    assert config.encoder.output_stride in spec.output_strides
    assert spec.channels_for(spec.options(**config.encoder.options))["P1"] == 24
