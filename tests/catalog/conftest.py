from pathlib import Path
from textwrap import dedent

import pytest

from registry.catalog import roots

_REAL_PLUGIN_ROOTS = roots.plugin_roots


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv(roots.ENVIRONMENT_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    """Roots that plugins contribute; counts how often the plugins were asked."""

    class Plugins(list):
        asked = 0

    contributed = Plugins()

    def plugin_roots(kind="preset"):
        contributed.asked += 1
        return list(contributed) if kind == "preset" else []

    monkeypatch.setattr(roots, "plugin_roots", plugin_roots)
    return contributed


@pytest.fixture
def real_plugin_roots():
    """The function that the fixture `plugins` replaces."""
    return _REAL_PLUGIN_ROOTS


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file below the working directory; returns its path."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def environment_root(tmp_path, monkeypatch):
    folder = tmp_path / "more_presets"
    folder.mkdir()
    monkeypatch.setenv(roots.ENVIRONMENT_VARIABLE, str(folder))
    return folder
