import errno
import os
import stat

import pytest

from registry import atomic
from registry.atomic import atomic_path, check_output_path
from registry.errors import OutputPathError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_complete_and_alone(tmp_path):
    target = tmp_path / "model.tflite"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("model.tflite")
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert names(tmp_path) == ["model.tflite"]


def test_an_existing_file_is_replaced(tmp_path):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("failure", [ValueError("boom"), KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_any_failure_leaves_what_was_there(tmp_path, failure):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def interrupted():
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(type(failure)):
        interrupted()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_system_call_leaves_what_was_there(tmp_path, monkeypatch, step):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def fail(*arguments, **options):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail) if step == "fsync" else monkeypatch.setattr(
        atomic.Path, "replace", fail
    )
    with pytest.raises(OSError, match="Input/output error"), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.png"]


def test_a_full_disk_is_said_clearly(tmp_path):
    def fill():
        with atomic_path(tmp_path / "a.png"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputPathError, match="must have room"):
        fill()
    assert names(tmp_path) == []


def test_a_writer_that_leaves_nothing_is_an_error(tmp_path):
    with (
        pytest.raises(OutputPathError, match="leave a file behind"),
        atomic_path(tmp_path / "a") as temporary,
    ):
        temporary.unlink()
    assert names(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_bytes(b"")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_name_at_the_limit_of_the_file_system_works(tmp_path):
    target = tmp_path / ("ä" * 120 + ".weights.h5")
    with atomic_path(target) as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.write_bytes(b"x")
    assert target.read_bytes() == b"x"


def broken_targets(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    return {
        "folder": "not a folder",
        "link": "not be a symbolic link",
        "dangling": "not be a symbolic link",
        "pipe": "regular file",
        "missing/a.png": "folder of the output must exist",
        "file/a.png": "output",
        "nul\0name": "must be reachable",
        "x" * 300: "reachable|writable",
    }


@pytest.mark.parametrize("entry", [atomic_path, check_output_path])
def test_targets_that_cannot_be_written_are_refused_with_a_reason(tmp_path, entry):
    for name, message in broken_targets(tmp_path).items():
        before = names(tmp_path)
        with pytest.raises(OutputPathError, match=message):
            write(entry, tmp_path / name)
        assert names(tmp_path) == before
    assert (tmp_path / "file").read_bytes() == b"kept"


def write(entry, target):
    manager = entry(target)
    if manager is not None:
        with manager as temporary:
            temporary.write_bytes(b"x")


def test_a_folder_without_write_permission_is_refused(tmp_path, monkeypatch):
    # Injected: the tests may run as root, whom permission bits do not stop.
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputPathError, match="must be writable"):
        check_output_path(tmp_path / "a.png")


def test_checking_leaves_nothing_behind_and_knows_suffixes(tmp_path):
    check_output_path(tmp_path / "a.PNG", suffixes=(".png",))
    assert names(tmp_path) == []
    with pytest.raises(OutputPathError, match=r"end in \.png or \.jpg"):
        check_output_path(tmp_path / "a.gif", suffixes=(".png", ".jpg"))
