import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from registry import atomic
from registry.atomic import atomic_folder, atomic_path, check_output_folder, check_output_path
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


class TestFolders:
    """A folder of files that belong together: whole, or not there."""

    def test_it_appears_complete_and_alone(self, tmp_path):
        target = tmp_path / "größe und mehr"
        with atomic_folder(target) as temporary:
            assert temporary.parent == tmp_path
            (temporary / "a").write_bytes(b"a")
            (temporary / "sub").mkdir()
            (temporary / "sub" / "b").write_bytes(b"b")
            assert not target.exists()
        assert (target / "sub" / "b").read_bytes() == b"b"
        assert names(tmp_path) == ["größe und mehr"]

    def test_every_file_and_folder_is_flushed_before_it_gets_its_name(self, tmp_path, monkeypatch):
        target, flushed = tmp_path / "a", []

        def fsync(descriptor):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            assert not target.exists() or path == tmp_path
            flushed.append(path.name)

        monkeypatch.setattr(os, "fsync", fsync)
        with atomic_folder(target) as temporary:
            (temporary / "file").write_bytes(b"x")
            (temporary / "sub").mkdir()
        assert {"file", "sub", temporary.name, tmp_path.name} == set(flushed)
        assert flushed[-1] == tmp_path.name

    @pytest.mark.parametrize("failure", [ValueError("boom"), KeyboardInterrupt()])
    @pytest.mark.parametrize("replace", [False, True])
    def test_any_failure_leaves_what_was_there(self, tmp_path, failure, replace):
        target = tmp_path / "a"
        target.mkdir()
        if replace:
            (target / "old").write_bytes(b"old")

        def interrupted():
            with atomic_folder(target, replace=replace) as temporary:
                (temporary / "new").write_bytes(b"half")
                raise failure

        with pytest.raises(type(failure)):
            interrupted()
        assert names(tmp_path) == ["a"]
        assert names(target) == (["old"] if replace else [])

    @pytest.mark.parametrize("in_one_step", [True, False])
    def test_a_folder_is_replaced_if_that_is_asked_for(self, tmp_path, monkeypatch, in_one_step):
        if not in_one_step:
            monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
        target = tmp_path / "a"
        target.mkdir()
        (target / "old").write_bytes(b"old")
        with pytest.raises(OutputPathError, match="not exist yet, or be empty"), atomic_folder(target):
            raise AssertionError("not reached")
        with atomic_folder(target, replace=True) as temporary:
            (temporary / "new").write_bytes(b"new")
        assert names(target) == ["new"]
        assert names(tmp_path) == ["a"]

    def test_a_replacement_that_fails_puts_the_old_one_back(self, tmp_path, monkeypatch):
        target = tmp_path / "a"
        target.mkdir()
        (target / "old").write_bytes(b"old")
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
        rename = atomic.Path.rename

        def fail(path, new):
            if not path.name.endswith("-replaced") and path != target:
                raise OSError(errno.EIO, "Input/output error")
            return rename(path, new)

        monkeypatch.setattr(atomic.Path, "rename", fail)
        with pytest.raises(OutputPathError, match="must be replaceable"), atomic_folder(target, replace=True):
            pass
        assert names(target) == ["old"]
        assert names(tmp_path) == ["a"]

    def test_an_empty_folder_counts_as_nothing(self, tmp_path):
        (tmp_path / "a").mkdir()
        with atomic_folder(tmp_path / "a") as temporary:
            (temporary / "new").write_bytes(b"new")
        assert names(tmp_path / "a") == ["new"]

    def test_targets_that_cannot_be_written_are_refused_with_a_reason(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        targets = broken_targets(tmp_path) | {"file": "a folder, not a file", "pipe": "a folder, not a file"}
        (tmp_path / "folder" / "kept").write_bytes(b"kept")
        targets["folder"] = "folder with kept"
        before = names(tmp_path)
        for name, message in [*targets.items(), (".", "name of its own"), ("..", "name of its own")]:
            target = name if name in (".", "..") else tmp_path / name
            for entry in (atomic_folder, check_output_folder):
                with pytest.raises(OutputPathError, match=message):
                    write_folder(entry, target)
        assert names(tmp_path) == before

    def test_a_full_disk_is_said_clearly(self, tmp_path):
        def fill():
            with atomic_folder(tmp_path / "a") as temporary:
                (temporary / "b").write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OutputPathError, match="must have room"):
            fill()
        assert names(tmp_path) == []

    def test_a_folder_above_without_write_permission_is_refused(self, tmp_path, monkeypatch):
        def refuse(*arguments, **options):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(atomic.Path, "mkdir", refuse)
        with pytest.raises(OutputPathError, match="must be writable"):
            check_output_folder(tmp_path / "a")

    def test_permissions_follow_the_umask(self, tmp_path):
        previous = os.umask(0o027)
        try:
            with atomic_folder(tmp_path / "a"):
                pass
        finally:
            os.umask(previous)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750

    # Kills itself, without a chance to clean up, at the n-th call that touches the disk.
    KILLED = """
import os, signal, sys
from pathlib import Path
from registry import atomic

calls, last = 0, int(sys.argv[2])

def killing(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

os.fsync, Path.rename, Path.write_bytes = map(killing, (os.fsync, Path.rename, Path.write_bytes))
atomic._exchange, atomic.shutil.rmtree = killing(atomic._exchange), killing(atomic.shutil.rmtree)
with atomic.atomic_folder(sys.argv[1], replace=True) as folder:
    for name in ("a", "b"):
        (folder / name).write_bytes(b"new")
print("done")
"""

    @pytest.mark.parametrize("replaced", [False, True])
    def test_a_killed_process_leaves_a_whole_folder_or_what_was_there(self, tmp_path, replaced):
        seen = set()
        for last in range(1, 20):
            target = tmp_path / f"{last}"
            if replaced:
                target.mkdir()
                for name in ("a", "b"):
                    (target / name).write_bytes(b"old")
            program = [sys.executable, "-c", self.KILLED, str(target), str(last)]
            done = "done" in subprocess.run(program, capture_output=True, text=True, check=False).stdout
            held = {path.name: path.read_bytes() for path in target.iterdir()} if target.exists() else {}
            assert held in ({}, dict.fromkeys("ab", b"old"), dict.fromkeys("ab", b"new"))
            assert held or not replaced
            seen.add(held.get("a", b"nothing"))
            if done:
                break
        assert done
        assert seen == {b"old" if replaced else b"nothing", b"new"}


def write_folder(entry, target):
    manager = entry(target)
    if manager is not None:
        with manager:
            pass
