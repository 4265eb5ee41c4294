"""Every file of a plugin's distribution, held against the RECORD of its wheel."""

import hashlib
import json
import sys

import pytest
from fake_site import GOOD

from registry.discovery import verify_plugins


@pytest.fixture
def installed(site):
    """`registry-tiny` 1.0: a package of two modules and a table, with a RECORD."""
    site.install("registry-tiny", {"tiny": "registry_tiny"}, modules={})
    package = site.folder / "registry_tiny"
    (package / "tables").mkdir(parents=True)
    (package / "__init__.py").write_text(GOOD)
    (package / "graph.py").write_text("LAYERS = 3\n")
    (package / "tables" / "variants.csv").write_text("name\ntiny_s\n")
    site.record("registry-tiny", "1.0")
    return package


def only():
    (result,) = verify_plugins()
    return result


def test_what_is_as_installed_is_intact_and_not_imported(installed):
    result = only()
    assert (result.status, result.findings) == ("intact", ())
    assert (result.distribution, result.version, result.plugins) == (
        "registry-tiny",
        "1.0",
        ("encoder tiny",),
    )
    assert "registry_tiny" not in sys.modules


def test_the_hash_of_the_code_is_that_of_every_file_by_name_and_content(installed):
    whole = hashlib.sha256()
    for path in sorted(path for path in installed.rglob("*") if path.is_file()):
        name = path.relative_to(installed.parent).as_posix()
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    assert only().code == whole.hexdigest()


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        (lambda p: (p / "graph.py").write_text("LAYERS = 4\n"), "changed: registry_tiny/graph.py"),
        (lambda p: (p / "tables/variants.csv").unlink(), "missing: registry_tiny/tables/variants.csv"),
        (lambda p: (p / "extra.py").write_text("import os\n"), "unlisted: registry_tiny/extra.py"),
        (
            lambda p: (p / "tables/native.so").write_bytes(b"\x7fELF"),
            "unlisted: registry_tiny/tables/native.so",
        ),
    ],
)
def test_each_kind_of_harm_is_listed(installed, harm, finding):
    before = only().code
    harm(installed)
    result = only()
    assert (result.status, result.findings) == ("changed", (finding,))
    assert (result.code == before) == finding.startswith("unlisted")


def test_a_hash_that_proves_nothing_counts_as_changed(installed, site):
    record = site.folder / "registry_tiny-1.0.dist-info" / "RECORD"
    md5 = hashlib.md5((installed / "graph.py").read_bytes()).hexdigest()
    lines = [
        f"registry_tiny/graph.py,md5={md5}," if line.startswith("registry_tiny/graph.py") else line
        for line in record.read_text().splitlines()
    ]
    record.write_text("\n".join([*lines, "registry_tiny/unhashed.py,,", ""]))
    (installed / "unhashed.py").write_text("")
    assert only().findings == ("changed: registry_tiny/graph.py", "changed: registry_tiny/unhashed.py")


def test_what_python_and_the_installer_write_is_no_finding_and_not_part_of_the_code(installed, site):
    before = only().code
    (installed / "__pycache__").mkdir()
    (installed / "__pycache__" / "graph.cpython-311.pyc").write_bytes(b"\0")
    info = site.folder / "registry_tiny-1.0.dist-info"
    (info / "INSTALLER").write_text("somebody\n")
    record = site.record(
        "registry-tiny", "1.0", "registry_tiny/__init__.py", "registry_tiny/graph.py", "registry_tiny/tables"
    )
    record.write_text(record.read_text() + "registry_tiny/__pycache__/graph.cpython-311.pyc,,\n")
    result = only()
    assert (result.status, result.code) == ("intact", before)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("RECORD", None, "unrecorded"),
        ("RECORD", "a,b,c,d,e\n\0", "unrecorded"),
        ("direct_url.json", json.dumps({"url": "file:///x", "dir_info": {"editable": True}}), "editable"),
        ("direct_url.json", "[", "intact"),
        ("direct_url.json", "[]", "intact"),
    ],
)
def test_notes_of_the_installer_that_say_nothing_of_the_code(installed, site, name, content, status):
    path = site.folder / "registry_tiny-1.0.dist-info" / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    result = only()
    assert result.status == status
    assert (result.code is None) == (status != "intact")


def test_the_first_copy_on_the_path_counts_and_blocked_ones_are_verified_too(installed, site, monkeypatch):
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "tiny")
    site.install("Registry_Other", {"other": "registry_other"}, version="2.0")
    results = {result.distribution: result for result in verify_plugins()}
    assert list(results) == ["Registry_Other", "registry-tiny"]
    assert results["registry-tiny"].status == "intact"
    assert results["Registry_Other"].status == "unrecorded"
    assert json.loads(json.dumps(results["registry-tiny"].to_dict()))["plugins"] == ["encoder tiny"]
