"""Handles taken apart, files of this machine, the offline switch."""

import hashlib

import pytest

from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.stores import FetchOptions, Handle
from registry.stores.digest import Digest
from registry.stores.handle import is_handle
from registry.stores.offline import is_offline
from registry.weights.handles import (
    fetch_directory,
    fetch_file,
    fetch_file_named,
    is_file_handle,
    look,
    title_of,
)

ZEROS = "0" * 64


@pytest.mark.parametrize(
    ("text", "scheme", "address", "digest"),
    [
        ("hf://a/b@main", "hf", "a/b@main", None),
        (f"https://host/f.h5?x=1#sha256={ZEROS}", "https", "host/f.h5?x=1", Digest("sha256", ZEROS)),
        ("s3+eu://bucket", "s3+eu", "bucket", None),
        ("file:///a/b.h5", "file", "/a/b.h5", None),
        ("file:/a/b.h5", "file", "/a/b.h5", None),
    ],
)
def test_a_handle_taken_apart(text, scheme, address, digest):
    handle = Handle.parse(text)
    assert (handle.text, handle.scheme, handle.address, handle.digest) == (text, scheme, address, digest)
    assert handle.place == text.partition("#")[0]


@pytest.mark.parametrize("text", ["", "a/b", "C://x", "Hf://a/b", "://x", "-x://y", "a b://c", "file", "x:y"])
def test_what_is_no_handle(text):
    assert not is_handle(text)
    with pytest.raises(WeightsUnavailableError, match="scheme://address"):
        Handle.parse(text)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights and such" / "ä.h5"
    path.parent.mkdir()
    path.write_bytes(b"content")
    return path


@pytest.mark.parametrize("start", ["file://", "file:", "file://localhost"])
def test_a_file_of_this_machine(file, start):
    handle = file.as_uri().replace("file://", start)
    assert is_handle(handle)
    assert is_file_handle(handle)
    assert fetch_file(handle) == file
    good = hashlib.sha256(b"content").hexdigest()
    assert fetch_file(f"{handle}#sha256={good}") == file
    with pytest.raises(WeightsFormatError, match="stated sha256 hash"):
        fetch_file(f"{handle}#sha256={ZEROS}")


def test_a_folder_of_this_machine(file):
    handle = file.parent.as_uri()
    assert not is_file_handle(handle)
    assert fetch_directory(handle, required=["x.json|ä.h5"]) == file.parent
    assert title_of(f"{handle}/") == "weights and such"
    (found,) = look(handle, ["ä.h5", "absent"], FetchOptions())
    assert (found.name, found.size, found.path) == ("ä.h5", 7, file)
    with pytest.raises(WeightsUnavailableError, match=r"must hold config\.json"):
        fetch_directory(handle, required=["config.json"])
    with pytest.raises(WeightsUnavailableError, match="an existing file"):
        fetch_file(handle)


@pytest.mark.parametrize(
    "handle", ["file://host/a.h5", "file:a.h5", "file:///a%00.h5", "file://", "file:///a?b"]
)
def test_files_of_other_machines_and_relative_ones(handle):
    for call in (fetch_file, is_file_handle):
        with pytest.raises(WeightsUnavailableError, match="file:///absolute/path"):
            call(handle)


def test_an_absent_file(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="nothing"):
        fetch_file((tmp_path / "absent.h5").as_uri())


def test_a_scheme_that_nobody_serves():
    with pytest.raises(WeightsUnavailableError, match="file, hf, http, https, kaggle") as caught:
        fetch_file("s3://bucket/a.h5")
    assert "pip install" in str(caught.value)
    with pytest.raises(WeightsUnavailableError, match="did you mean 'https'"):
        fetch_file("htps://host/a.h5")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), (" Yes ", True), ("on", True), ("TRUE", True)]
    + [(value, False) for value in ("", "0", "no", "off", "false", "maybe")],
)
def test_the_offline_switch(monkeypatch, value, expected):
    monkeypatch.setenv("ATROUS_OFFLINE", value)
    assert is_offline() is expected


def test_offline_the_cache_serves_and_nothing_is_asked(server, handle, content, monkeypatch):
    bare = handle.partition("#")[0]
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="ATROUS_OFFLINE is set") as caught:
        fetch_file(handle)
    message = str(caught.value)
    assert f"{handle}: no a.h5 in ATROUS_CACHE=" in message
    assert f"atrous fetch '{handle}'" in message
    with pytest.raises(WeightsUnavailableError, match=r"atrous fetch PRESET \(or PLUGIN/VARIANT"):
        fetch_file(bare, declared=True)
    assert look(handle, [], FetchOptions()) == []
    assert server.asked == []
    monkeypatch.delenv("ATROUS_OFFLINE")
    fetched = fetch_file(handle)
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    assert fetch_file(handle) == fetch_file(bare, declared=True) == fetched
    (found,) = look(handle, [], FetchOptions())
    assert (found.size, found.path) == (600_000, fetched)
    fetched.write_bytes(b"damaged")
    with pytest.raises(WeightsUnavailableError, match="ATROUS_OFFLINE"):
        fetch_file(handle)
    assert len(server.asked) == 1


def test_looking_asks_for_the_size_and_fetches_nothing(server, handle):
    (found,) = look(handle, [], FetchOptions())
    assert (found.name, found.size, found.path) == ("a.h5", 600_000, None)
    assert look(handle.replace("a.h5", "b.h5"), [], FetchOptions()) == []


def test_only_files_of_the_named_kinds_are_fetched(file, monkeypatch):
    """By what the address ends in: a query, a hash or capitals are no part of that, and a folder is no file."""
    handle = file.as_uri()
    named = f"{handle}#sha256={hashlib.sha256(b'content').hexdigest()}"
    assert fetch_file_named(named, ".keras", ".h5") == file
    (file.parent / "folder.h5").mkdir()
    folder = (file.parent / "folder.h5").as_uri()
    for other in (
        handle,
        folder,
        str(file),
        file,
        {"a": 1},
        "hf://someone/net.keras",
        "hf://someone/net/a.H6",
    ):
        assert fetch_file_named(other, ".keras" if other is handle else ".h5") is other
    fetched = []
    monkeypatch.setattr(
        "registry.weights.handles.fetch_file", lambda text, *, declared: fetched.append((text, declared))
    )
    text = f"https://host/A.H5?version=1#sha256={ZEROS}"
    fetch_file_named(text, ".h5", declared=True)
    assert fetched == [(text, True)]
