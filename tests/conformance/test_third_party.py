"""Plugins of others, installed from wheels beside the wheel of atrous, used from outside the repository."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
from clean_environment import ROOT, Environment, build_wheel, create_environment
from fenced import texts

pytestmark = pytest.mark.slow

SAMPLE = ROOT / "docs" / "write-a-plugin" / "registry-tinynet"

GUIDE = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")

CLASHING = "from registry_tinynet import registry_build_encoder, registry_encoders\n"
RAISING = "raise RuntimeError('this plugin is sick')\n"
LYING = """
    from registry.hookspecs import hookimpl
    from registry_tinynet import registry_encoders, tinynet_channels

    @hookimpl
    def registry_build_encoder(inputs, output_stride, options):
        from registry_tinynet.encoder import tinynet_pyramid

        return tinynet_pyramid(inputs, channels=tinynet_channels(options), output_stride=32)
"""


HEAD = """
    from pydantic import Field
    from registry.architecture import ArchitectureConfig, ArchitectureSpec
    from registry.hookspecs import hookimpl

    class TinyHeadConfig(ArchitectureConfig):
        filters: int = Field(default=8, ge=1)

    @hookimpl
    def registry_architectures():
        return [ArchitectureSpec(name="tinyhead", config=TinyHeadConfig, levels=["P4"])]

    @hookimpl
    def registry_build_segmenter(encoder, config, arguments):
        from registry.backend import keras
        from registry.models.layers import conv_bn_relu
        from registry.models.segmenter import CLASSIFIER, PyramidSegmenter

        x = conv_bn_relu(encoder.pyramid_outputs["P4"], config.filters, 3, names=("tiny_c", "tiny_n", "tiny_r"))
        x = keras.layers.Conv2D(arguments.num_classes, 1, name=CLASSIFIER)(x)
        return PyramidSegmenter(encoder, x, arguments)
"""


def write_distribution(
    folder: Path, plugin: str, module: str, source: str, group: str = "registry.encoders"
) -> Path:
    """Write the sources of a distribution `registry-…` with one plugin."""
    folder.mkdir()
    (folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(
            f"""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "{module.replace("_", "-")}"
            version = "4.2"

            [project.entry-points."{group}"]
            {plugin} = "{module}"

            [tool.hatch.build.targets.wheel]
            include = ["{module}.py"]
            """
        ),
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    sources, wheels = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheels")
    for source in (
        ROOT,
        SAMPLE,
        write_distribution(sources / "a", "clash", "registry_clash_a", CLASHING),
        write_distribution(sources / "b", "clash", "registry_clash_b", CLASHING),
        write_distribution(sources / "sick", "sick", "registry_sick", RAISING),
        write_distribution(sources / "liar", "liar", "registry_liar", LYING),
        write_distribution(sources / "head", "tinyhead", "registry_tinyhead", HEAD, "registry.architectures"),
    ):
        build_wheel(source, wheels)
    return create_environment(tmp_path_factory.mktemp("environment") / "venv", wheels)


def preset(plugin: str) -> dict[str, Any]:
    return {
        "encoder": {"plugin": plugin, "variant": "tinynet", "output_stride": 16},
        "architecture": {"name": "deeplab_v3"},
        "num_classes": 3,
    }


def test_listing_knows_all_and_imports_none(environment: Environment):
    answer = environment.ask(
        """
        plugins = {f"{plugin.name}/{plugin.distribution}": plugin.status for plugin in registry.list_plugins()}
        plugins_imported = sorted(name for name in sys.modules if name.startswith("registry_"))
        presets = [getattr(preset, "name", preset) for preset in registry.list_presets()]
        tensorflow = "tensorflow" in sys.modules
        answer = [registry.__file__, plugins, plugins_imported, presets, tensorflow]
        """
    )
    origin, plugins, plugins_imported, presets, tensorflow = answer
    assert Path(origin).is_relative_to(environment.folder), "the wheel must be what is tested"
    assert plugins == {
        "clash/registry-clash-a": "duplicate",
        "clash/registry-clash-b": "duplicate",
        "liar/registry-liar": "available",
        "sick/registry-sick": "available",
        "tinyhead/registry-tinyhead": "available",
        "tinynet/registry-tinynet": "available",
    } | {name: "available" for name in plugins if name.endswith("/atrous")}
    assert "resnet/atrous" in plugins
    assert plugins_imported == []
    assert "deeplab_v3_plus_tinynet" in presets
    assert not tensorflow


def test_the_sample_builds_from_its_preset_beside_broken_plugins(environment: Environment):
    assert environment.ask(
        """
        import numpy as np
        model = registry.build("deeplab_v3_plus_tinynet", weights=None)
        answer = list(model(np.zeros((1, 64, 96, 3), "float32")).shape)
        """
    ) == [1, 64, 96, 21]


def test_a_head_of_a_third_party_on_encoders_of_others(environment: Environment):
    answer = environment.ask(
        f"""
        import numpy as np
        preset = {preset("tinynet")!r} | {{"architecture": {{"name": "tinyhead", "filters": 6}}}}
        (record,) = registry.list_architectures("tiny*")
        model = registry.build(preset, weights=None)
        model.save("tiny.keras")
        x = np.ones((1, 64, 96, 3), "float32")
        loaded = registry.load_model("tiny.keras")
        same = bool(np.allclose(model(x), loaded(x)))
        registry.export(model, "tiny.tflite", size=(64, 96))
        schema = "TinyHeadConfig" in registry.preset_schema()["$defs"]
        answer = [record.to_dict(), list(model(x).shape), same, type(loaded).__name__, schema]
        """
    )
    record, shape, same, kind, schema = answer
    assert (record["distribution"], record["version"], record["levels"]) == (
        "registry-tinyhead",
        "4.2",
        ["P4"],
    )
    assert (shape, same, kind, schema) == ([1, 64, 96, 3], True, "PyramidSegmenter", True)
    error, message = environment.refusal(
        f"""
        preset = {preset("tinynet")!r} | {{"architecture": {{"name": "tinyhead", "filter": 6}}}}
        registry.describe(preset)
        """
    )
    assert error == "ConfigError"
    assert "`architecture` has no key `filter`" in message
    assert "did you mean 'filters'" in message


def test_the_commands_of_the_guide_run(environment: Environment, tmp_path: Path):
    """As an author types them, his tests among them; the installation is what the environment has done already."""
    shutil.copytree(SAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    ((_, *commands),) = map(str.splitlines, texts(GUIDE, "sh"))
    programs = {"atrous": ["-m", "registry"], "python": []}
    for command in commands:
        program, *arguments = shlex.split(command)
        finished = environment.run(*programs[program], *arguments, cwd=tmp_path)
        assert finished.returncode == 0, command + finished.stdout + finished.stderr


def test_a_clash_names_both_and_is_settled_by_a_block(environment: Environment):
    program = f"registry.build({preset('clash')!r}, weights=None)"
    error, message = environment.refusal(program)
    assert error == "DuplicatePluginError"
    assert "registry-clash-a 4.2" in message
    assert "registry-clash-b 4.2" in message
    assert "ATROUS_BLOCK_PLUGINS=registry-clash-a" in message
    settled = f"answer = {program}.output_shape"
    assert environment.ask(settled, ATROUS_BLOCK_PLUGINS="registry-clash-a") == [None, None, None, 3]


def test_a_raising_plugin_is_broken_and_alone(environment: Environment):
    answer = environment.ask(
        f"""
        from registry.errors import BrokenPluginError
        try:
            registry.build({preset("sick")!r}, weights=None)
        except BrokenPluginError as error:
            message, cause = str(error), str(error.__cause__)
        status = {{plugin.name: plugin.status for plugin in registry.list_plugins()}}
        encoders = sorted({{encoder.plugin for encoder in registry.list_encoders()}})
        answer = [message, cause, status["sick"], encoders, registry.build({preset("tinynet")!r}, weights=None).name]
        """
    )
    message, cause, status, encoders, _ = answer
    assert "plugin 'sick' (registry-sick 4.2)" in message
    assert cause == "this plugin is sick"
    assert status == "broken"
    assert {"liar", "resnet", "tinynet"} <= set(encoders)


def test_a_lie_about_a_stride_is_found_and_signed(environment: Environment):
    error, message = environment.refusal(f"registry.build({preset('liar')!r}, weights=None)")
    assert error == "PyramidContractError"
    assert "plugin 'liar' (registry-liar 4.2)" in message
    assert "P5: promised stride 16, delivered stride 32" in message
