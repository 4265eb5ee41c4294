from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from fake_site import Site

from registry import discovery


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty site with only our own fake distributions visible; modules are forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    # The plugins of the environment that runs the tests would show up in every listing.
    real = importlib.metadata.distributions

    def only_the_site(**context: object):
        return real(path=[str(folder)], **context)

    monkeypatch.setattr(importlib.metadata, "distributions", only_the_site)
    monkeypatch.setattr("registry.discovery.plugins.host_is_installed", lambda: True)
    monkeypatch.delenv("ATROUS_PLUGINS", raising=False)
    monkeypatch.delenv("ATROUS_BLOCK_PLUGINS", raising=False)
    discovery.reset()
    site = Site(folder)
    yield site
    discovery.reset()
    for module in site.modules:
        sys.modules.pop(module, None)
