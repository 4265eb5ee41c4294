"""`atrous fetch` and `atrous cache`."""

import json
import os
import time

import pytest

from registry.stores.cache import Entry, Record

HANDLE = "https://example.org/models/a.h5"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with a file that was last used 40 days ago, one of now, and a part."""
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "cache"))
    # It reads the whole catalog.
    monkeypatch.setattr("registry.weights.usage.usage", lambda: {HANDLE: ["a_preset", "plugin/variant"]})
    for name, value in {"KAGGLEHUB_CACHE": "kaggle", "HF_HUB_CACHE": "hf"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "blob").write_bytes(bytes(1234))
    for name, size, days in (("a.h5", 2_500_000, 40), ("b.h5", 1000, 0)):
        entry = Entry.of("https://example.org/models", name)
        with entry.writing(kept=True) as (file, path):
            file.write(bytes(size))
        entry.settle(
            path, Record(f"https://example.org/models/{name}", "ab" * 32, size, time.time() - days * 86_400)
        )
        used = time.time() - days * 86_400
        os.utime(entry.path.with_name(f".{name}.record"), (used, used))
    with Entry.of("https://example.org/models", "c.h5").writing(kept=True) as (file, _):
        file.write(bytes(77))
    return tmp_path / "cache"


def test_list(run, cache):
    text = run("cache", "list").stdout
    assert "2.5 MB" in text
    assert "40 d ago" in text
    assert "abababababab" in text
    assert HANDLE in text
    assert "77 B, partial" in text
    assert "a_preset and 1 more" in text
    assert f"3 files, 2.5 MB, in {cache}" in text
    assert "hf:// is kept by its client: 1.2 KB" in text
    document = json.loads(run("cache", "list", "--json").stdout)
    assert document["path"] == str(cache)
    assert document["size"] == 2_501_077
    files = {file["name"]: file for file in document["files"]}
    assert files["a.h5"]["handle"] == HANDLE
    assert files["a.h5"]["sha256"] == "ab" * 32
    assert files["a.h5"]["used_by"] == ["a_preset", "plugin/variant"]
    assert files["b.h5"]["used_by"] == []
    assert [files[name]["complete"] for name in ("a.h5", "b.h5", "c.h5")] == [True, True, False]
    assert [place["scheme"] for place in document["elsewhere"]] == ["hf", "kaggle"]


def test_clean(run, cache):
    text = run("cache", "clean", "--unused-for", "30d", "--larger-than", "2MB", "--dry-run").stdout
    assert "would be removed: a.h5, 2.5 MB, from https://example.org/models/a.h5" in text
    assert "would be removed: 77 B of c.h5, which never came whole" in text
    assert "1 file, 2.5 MB to be freed" in text
    document = json.loads(run("cache", "clean", "--json").stdout)
    assert [file["name"] for file in document["parts"]] == ["c.h5"]
    assert document["removed"] == document["busy"] == []
    text = run("cache", "clean", "--handle", "https://example.org/*/a.h5").stdout
    assert "removed: a.h5" in text
    text = run("cache", "clean", "--down-to", "1K").stdout
    assert "0 files, 0 B freed" in text
    run("cache", "clean", "--all")
    assert json.loads(run("cache", "list", "--json").stdout)["files"] == []


def test_what_is_being_written_is_said_to_be_left_alone(run, cache):
    with Entry.of("https://example.org/models", "a.h5").lock():
        result = run("cache", "clean", "--all")
    assert "left alone, because it is being written: a.h5" in result.stderr
    assert [file["name"] for file in json.loads(run("cache", "list", "--json").stdout)["files"]] == ["a.h5"]


@pytest.mark.parametrize(
    "option",
    [("--larger-than", "5X"), ("--down-to", "lots"), ("--unused-for", "30"), ("--unused-for", "-3d")],
)
def test_options_that_make_no_sense(run, cache, option):
    result = run("cache", "clean", *option)
    assert result.exit_code == 2
    assert option[0] in result.output
    assert len(list(cache.rglob("?.h5"))) == 2


def test_path(run, cache):
    assert run("cache", "path").stdout.strip() == str(cache)
    assert json.loads(run("cache", "path", "--json").stdout) == {"path": str(cache)}


def test_fetch(run, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    (tmp_path / "a.h5").write_bytes(bytes(1500))
    handle = (tmp_path / "a.h5").as_uri()
    result = run("fetch", handle)
    assert result.exit_code == 0, result.output
    assert "1.5 KB" in result.stdout
    document = json.loads(run("fetch", handle, "mobilenet/mobilenet_v2_100", "--dry-run", "--json").stdout)
    here, away = document["weights"]
    assert (here["size"], here["path"], here["part"]) == (1500, str(tmp_path / "a.h5"), "handle")
    assert (away["target"], away["part"], away["path"]) == ("mobilenet/mobilenet_v2_100", "encoder", None)
    assert "not known" in run("fetch", "mobilenet/mobilenet_v2_100", "--dry-run").stdout
    result = run("fetch", "mobilenet/mobilenet_v2_100")
    assert result.exit_code == 1
    assert "ATROUS_OFFLINE is set" in result.stderr
    assert run("fetch").exit_code == 2
    (tmp_path / "bare.yaml").write_text(
        "extends: deeplab_v3_plus_resnet50_pascalvoc\nweights: {segmentation: bare.h5}\n"
    )
    result = run("fetch", "bare.yaml")
    assert result.exit_code == 1
    assert "weights that a preset file names must be there" in result.stderr
