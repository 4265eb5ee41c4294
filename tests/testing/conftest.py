"""Plugins made for these tests, installed as far as their metadata goes."""

import os
from pathlib import Path

import pytest

from registry import discovery

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def flawed_site(tmp_path_factory):
    """A folder with the metadata of `registry_flawed` and `registry_heavy`; their modules lie beside this file."""
    site = tmp_path_factory.mktemp("site")
    for name in ("flawed", "heavy"):
        info = site / f"registry_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: registry-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[registry.encoders]\n{name} = registry_{name}\n")
    return site


@pytest.fixture
def flawed(flawed_site, monkeypatch):
    """Put them on the path of this process."""
    monkeypatch.syspath_prepend(str(flawed_site))
    monkeypatch.syspath_prepend(str(HERE))
    yield "flawed"
    discovery.reset()


@pytest.fixture
def flawed_environment(flawed_site):
    """Variables that put them on the path of another process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(flawed_site)])}
