"""Stores that plugins bring: found by the scheme of a handle, imported when one is used, contained when broken."""

from __future__ import annotations

import hashlib
import sys
import textwrap
from pathlib import Path

import pytest
from fake_site import Site

from registry import discovery
from registry.errors import (
    BlockedPluginError,
    BrokenPluginError,
    DuplicatePluginError,
    WeightsFormatError,
    WeightsUnavailableError,
)
from registry.stores import FetchOptions, patience
from registry.stores.cache import cache_folder
from registry.weights.handles import fetch_directory, fetch_file, is_file_handle, is_handle, look, title_of

# A shelf is a folder of this machine that hands out bytes as a server would.
SHELF = """
    import os
    from pathlib import Path
    from registry.hookspecs import hookimpl
    from registry.stores import BusyError, DownloadStore, OpenedFile

    class Shelf(DownloadStore):
        form = "shelf://board/file"
        opened = []
        busy = 0

        def open(self, address, *, start, version):
            self.opened.append((address, start))
            if self.busy:
                Shelf.busy -= 1
                raise BusyError("not now", retry_after=0)
            path = Path(os.environ["SHELF"]) / address
            if address.endswith("locked.h5"):
                raise PermissionError("locked")
            stream = path.open("rb")
            stream.seek(start)
            return OpenedFile(stream, start, path.stat().st_size, str(path.stat().st_mtime_ns))

    @hookimpl
    def registry_store(scheme):
        return Shelf()
"""
PREFIX = (
    "from registry.hookspecs import hookimpl\nfrom registry.stores import DownloadStore, OpenedFile, Store\n"
)


def install(site: Site, source: str, *, scheme: str = "shelf", distribution: str = "registry-shelf") -> None:
    module = distribution.replace("-", "_")
    site.install(distribution, f"[registry.stores]\n{scheme} = {module}\n", modules={module: source})


def broken(site: Site, body: str) -> None:
    install(site, PREFIX + textwrap.dedent(body))


@pytest.fixture
def shelf(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed store, and the folder that it serves; the cache is another one."""
    folder = tmp_path / "shelf"
    (folder / "net" / "weights").mkdir(parents=True)
    (folder / "net" / "config.json").write_text("{}")
    (folder / "net" / "weights" / "a.h5").write_bytes(b"content")
    monkeypatch.setenv("SHELF", str(folder))
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ATROUS_OFFLINE", raising=False)
    monkeypatch.setattr(patience, "DEFAULT", patience.Patience(pause=0.001))
    install(site, SHELF)
    return folder


HANDLE = "shelf://net/weights/a.h5"
SHA256 = hashlib.sha256(b"content").hexdigest()


def opened() -> list[tuple[str, int]]:
    return sys.modules["registry_shelf"].Shelf.opened


def test_a_store_is_not_imported_before_its_handle_is_used(shelf: Path):
    assert discovery.store_schemes()[-1] == "shelf"
    (record,) = discovery.list_plugins()
    assert (record.kind, record.name, record.status) == ("store", "shelf", "available")
    assert is_handle(HANDLE)
    assert "registry_shelf" not in sys.modules
    assert is_file_handle(HANDLE)
    assert "registry_shelf" in sys.modules
    assert discovery.list_plugins()[0].status == "loaded"


def test_hook_registry_store_serves_files(shelf: Path):
    """All that a store writes is `open`; caching, checking and trying again are done for it."""
    path = fetch_file(HANDLE)
    assert path.read_bytes() == b"content"
    assert path.is_relative_to(cache_folder())
    assert fetch_file(f"{HANDLE}#sha256={SHA256}") == path
    assert opened() == [("net/weights/a.h5", 0)]
    with pytest.raises(WeightsFormatError, match="stated sha256"):
        fetch_file(f"{HANDLE}#sha256={'0' * 64}")
    (found,) = look(HANDLE, [], FetchOptions())
    assert (found.size, found.path) == (7, path)


def test_hook_registry_store_serves_folders(shelf: Path):
    folder = fetch_directory(
        "shelf://net", required=["preset.yaml|config.json", "weights/a.h5"], optional=["absent"]
    )
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "weights/a.h5").read_bytes() == b"content"
    assert not is_file_handle("shelf://net")
    assert title_of("shelf://some/net/") == "net"
    assert [found.name for found in look("shelf://net", ["config.json", "x"], FetchOptions())] == [
        "config.json"
    ]
    before = len(opened())
    assert fetch_directory("shelf://net/", required=["preset.yaml|config.json"]) == folder
    assert len(opened()) == before, "what the cache has of several alternatives serves"
    for handle in ("shelf://net#sha256=" + SHA256, "shelf://absent"):
        with pytest.raises(WeightsUnavailableError, match=r"a hash is that of a single file|no config\.json"):
            fetch_directory(handle, required=["config.json"])
    with pytest.raises(WeightsUnavailableError, match="ends with the file's name"):
        fetch_directory("shelf://net", required=["../secret"])


def test_a_store_that_refuses_or_is_busy(shelf: Path):
    with pytest.raises(WeightsUnavailableError, match="locked"):
        fetch_file("shelf://net/locked.h5")
    with pytest.raises(WeightsUnavailableError, match="could not be fetched"):
        fetch_file("shelf://net/absent.h5")
    sys.modules["registry_shelf"].Shelf.busy = 3
    assert fetch_file(HANDLE).read_bytes() == b"content"


def test_offline_a_store_is_not_asked(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match=r"no a\.h5 in ATROUS_CACHE="):
        fetch_file(HANDLE)
    with pytest.raises(WeightsUnavailableError, match=r"no config\.json or preset\.yaml"):
        fetch_directory("shelf://net", required=["config.json|preset.yaml"])
    assert opened() == []
    monkeypatch.delenv("ATROUS_OFFLINE")
    fetch_directory("shelf://net", required=["config.json"])
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    fetch_directory("shelf://net", required=["config.json"], optional=["task.json"])


def test_hook_registry_store_with_a_client_of_its_own(site: Site, tmp_path: Path):
    (tmp_path / "a.h5").write_bytes(b"content")
    broken(
        site,
        f"""
        from pathlib import Path
        class Own(Store):
            def names_file(self, handle):
                return handle.address.endswith(".h5")
            def fetch_file(self, handle, options):
                return {str(tmp_path)!r} + "/" + handle.address
            def fetch_directory(self, handle, required, optional, options):
                return Path({str(tmp_path)!r})
        @hookimpl
        def registry_store():
            return Own()
        """,
    )
    assert fetch_file("shelf://a.h5") == tmp_path / "a.h5"
    assert fetch_directory("shelf://x", required=["a.h5"]) == tmp_path
    assert look("shelf://x", ["a.h5"], FetchOptions()) == []
    # What was stated is checked, whatever the store does.
    assert fetch_file(f"shelf://a.h5#sha256={SHA256}")
    with pytest.raises(WeightsFormatError, match="stated sha256"):
        fetch_file(f"shelf://a.h5#sha256={'0' * 64}")
    with pytest.raises(BrokenPluginError, match="return a path that exists"):
        fetch_file("shelf://absent.h5")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('boom')", "must be importable"),
        ("raise SystemExit(3)", "must be importable"),
        ("@hookimpl\ndef registry_store(): raise ValueError('boom')", "must give its store without raising"),
        ("@hookimpl\ndef registry_store(): return None", "must give an instance of registry.stores.Store"),
        (
            "@hookimpl\ndef registry_store(): return DownloadStore",
            "must give an instance of registry.stores.Store",
        ),
        ("@hookimpl\ndef registry_store(): return DownloadStore()", "must give its store without raising"),
        ("@hookimpl\ndef registry_stores(): return None", "must implement only hooks that exist"),
        ("def registry_store(): return None", "must mark its hooks"),
        ("@hookimpl\ndef registry_store(sceme): return None", "must implement hooks with the arguments"),
        ("@hookimpl\ndef registry_preset_roots(): return []", "must give its store"),
        ("REGISTRY_API_VERSION = 2\n@hookimpl\ndef registry_store(): return None", "API version"),
    ],
)
def test_a_broken_store_is_blamed_and_harms_nobody(site: Site, shelf: Path, body: str, said: str):
    install(site, PREFIX + body, scheme="bad", distribution="registry-bad")
    for _ in range(2):
        with pytest.raises(BrokenPluginError, match=said) as caught:
            fetch_file("bad://x/a.h5")
        assert "store 'bad' (registry-bad 1.0)" in str(caught.value)
    assert fetch_file(HANDLE).read_bytes() == b"content"
    assert {record.name: record.status for record in discovery.list_plugins()}["shelf"] == "loaded"


@pytest.mark.parametrize(
    ("opening", "error", "said"),
    [
        ("raise KeyError('boom')", BrokenPluginError, "must fetch a file without raising"),
        ("return None", BrokenPluginError, "must fetch a file without raising"),
        ("raise OSError('boom')", WeightsUnavailableError, "boom"),
        (
            "return OpenedFile(io.BytesIO(b'too long'), size=3)",
            WeightsUnavailableError,
            "more than the 3 bytes",
        ),
        ("return OpenedFile(io.BytesIO(b'short'), size=9)", WeightsUnavailableError, "5 of 9 bytes"),
        (
            "return OpenedFile(io.BytesIO(b'late'), start=5)",
            WeightsUnavailableError,
            "changed while it was fetched",
        ),
        ("return OpenedFile(io.BytesIO(b''), size=-1)", WeightsUnavailableError, "-1 bytes are announced"),
    ],
)
def test_a_store_that_opens_wrongly(shelf: Path, site: Site, opening: str, error: type[Exception], said: str):
    body = f"""
        import io
        class Bad(DownloadStore):
            def open(self, address, *, start, version):
                {opening}
        @hookimpl
        def registry_store():
            return Bad()
    """
    install(site, PREFIX + textwrap.dedent(body), scheme="bad", distribution="registry-bad")
    with pytest.raises(error, match=said):
        fetch_file("bad://x/a.h5")
    assert not list(cache_folder().rglob("*a.h5*"))


@pytest.mark.parametrize("scheme", ["https", "http", "hf", "kaggle", "file", "S3", "s", "3d", "a_b", "a b"])
def test_schemes_that_no_plugin_may_have(site: Site, scheme: str):
    install(site, SHELF, scheme=scheme)
    (record,) = discovery.list_plugins()
    assert record.status == "broken"
    assert "scheme" in record.error
    assert discovery.store_schemes() == ["file", "hf", "http", "https", "kaggle"]
    assert "registry_shelf" not in sys.modules


def test_two_stores_of_one_scheme(shelf: Path, site: Site, monkeypatch: pytest.MonkeyPatch):
    install(site, SHELF, distribution="registry-other")
    with pytest.raises(DuplicatePluginError, match=r"registry-other 1\.0"):
        fetch_file(HANDLE)
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "registry-other")
    assert fetch_file(HANDLE).read_bytes() == b"content"


def test_a_blocked_store(shelf: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATROUS_PLUGINS", "")
    with pytest.raises(BlockedPluginError, match="ATROUS_PLUGINS"):
        fetch_file(HANDLE)
    assert "registry_shelf" not in sys.modules
