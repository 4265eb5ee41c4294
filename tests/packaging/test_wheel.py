"""What a user gets: sdist → wheel, built the way `pip install` would, and looked into."""

import configparser
import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # Where the build backend is at hand there is no need to download it.
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    finished = subprocess.run(
        [sys.executable, "-m", "build", *isolation, "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder


@pytest.fixture(scope="module")
def sdist(built):
    """Files of the sdist, below its one folder."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="module")
def wheel(built):
    """File → content of the wheel that was built from that sdist."""
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sources(folder, pattern="*.py"):
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if not _is_cache(path)}


def _is_cache(path):
    return any(part == "__pycache__" or part.endswith("_cache") for part in path.relative_to(ROOT).parts)


def test_site_packages_get_the_package_and_the_plugins_only(wheel):
    plugins = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file()}
    top = {name.split("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == {"registry", *plugins}


def test_every_module_is_in_the_wheel(wheel):
    modules = {name for name in wheel if name.endswith(".py")}
    assert modules == {f"registry/{name}" for name in sources(ROOT / "registry")} | sources(ROOT / "plugins")
    assert "registry/py.typed" in wheel


def test_every_preset_is_in_the_wheel(wheel):
    presets = {
        name.removeprefix("registry/presets/") for name in wheel if name.startswith("registry/presets/")
    }
    # Weights that presets name lie beside them.
    assert presets == sources(ROOT / "presets", "*.yaml") | sources(ROOT / "presets", "*.safetensors")
    assert "_base/deeplab_v3_plus.yaml" in presets


def test_entry_points(wheel):
    (name,) = [name for name in wheel if name.endswith(".dist-info/entry_points.txt")]
    parser = configparser.ConfigParser()
    parser.read_string(wheel[name].decode())
    assert dict(parser["console_scripts"]) == {"atrous": "registry.cli:main"}
    assert dict(parser["registry.encoders"])["resnet"] == "registry_resnet"


def test_the_license_is_in_the_wheel(wheel):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_the_sdist_holds_what_building_and_testing_need(sdist):
    needed = {
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        ".ci/run",
    }
    assert needed <= sdist
    for folder in ("registry", "plugins", "presets", "tests", "docs"):
        files = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and not _is_cache(path)
        }
        assert files - sdist == set()


def test_nothing_generated_is_in_the_sdist(sdist):
    parts = {part for name in sdist for part in name.split("/")}
    assert not parts & {
        ".venv",
        ".git",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "atrous-demo",
    }
