"""Plugins of others, installed from wheels beside the wheel of atrous, used from outside the repository.

The environment holds exactly the wheels built here. Their dependencies (TensorFlow and others, hundreds of
megabytes) are borrowed from the environment that runs the tests, so that nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "write-a-plugin" / "registry-tinynet"

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


class Environment:
    """A virtual environment with the wheels, asked by running programs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python outside the repository, without any path that the tests themselves rely on."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ATROUS_"))
        }
        return subprocess.run(
            [str(self.python), *arguments],
            env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **variables},
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    def ask(self, program: str, **variables: str) -> Any:
        """Run a program that leaves its answer in `answer`."""
        program = f"import json, sys, registry\n{textwrap.dedent(program)}\nprint('\\n' + json.dumps(answer))"
        finished = self.run("-W", "ignore", "-X", "utf8", "-c", program, **variables)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout.splitlines()[-1])

    def refusal(self, program: str, **variables: str) -> tuple[str, str]:
        """Run a program that must raise a RegistryError; returns its type and message."""
        program = "\n".join(
            [
                "try:",
                textwrap.indent(textwrap.dedent(program), "    "),
                "    answer = None",
                "except registry.errors.RegistryError as error:",
                "    answer = [type(error).__name__, str(error)]",
            ]
        )
        answer = self.ask(f"import registry.errors\n{program}", **variables)
        assert answer is not None, "nothing was raised"
        return tuple(answer)


def write_distribution(folder: Path, plugin: str, module: str, source: str) -> Path:
    """Write the sources of a distribution `registry-…` with one plugin that leans on the sample."""
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

            [project.entry-points."registry.encoders"]
            {plugin} = "{module}"

            [tool.hatch.build.targets.wheel]
            include = ["{module}.py"]
            """
        ),
        encoding="utf-8",
    )
    return folder


def build_wheel(source: Path, wheels: Path) -> None:
    # Where the build backend is at hand there is no need to download it.
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(wheels), str(source)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def create_environment(folder: Path, wheels: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    environment = Environment(folder)
    installer = (
        [sys.executable, "-m", "uv", "pip", "install", "--offline", "--python", str(environment.python)]
        if importlib.util.find_spec("uv")
        else [sys.executable, "-m", "pip", "--python", str(environment.python), "install", "--no-index"]
    )
    subprocess.run(
        [*installer, "--no-deps", *map(str, sorted(wheels.glob("*.whl")))], check=True, capture_output=True
    )
    asked = environment.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # A folder named in a .pth file comes last on sys.path, and .pth files inside it (those of an editable
    # installation of atrous) are not followed.
    (Path(asked.stdout.strip()) / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    return environment


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


def test_the_tests_of_the_sample_pass(environment: Environment, tmp_path: Path):
    shutil.copytree(SAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    finished = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr


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
