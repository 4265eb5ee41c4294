"""A server on this machine, a cache of its own for each test, and no patience."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from loopback import Loopback

from registry.stores import patience


@pytest.fixture
def server():
    server = Loopback()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def content() -> bytes:
    """What the server has at `/models/a.h5`: 600,000 bytes, no two blocks of 4 KiB alike."""
    return b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(18_750))


@pytest.fixture(scope="session")
def sha256(content) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def handle(server, content, sha256) -> str:
    """The handle of that file."""
    server.files["/models/a.h5"] = content
    return f"{server.url}/models/a.h5#sha256={sha256}"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The cache is in `cache`, tf-keras's in `keras`; the network is not behind a proxy."""
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("ATROUS_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Pauses of milliseconds: what is tested is that there are some, and how many."""
    short = replace(patience.DEFAULT, pause=0.001, longest_pause=0.002)
    monkeypatch.setattr(patience, "DEFAULT", short)
    return short
