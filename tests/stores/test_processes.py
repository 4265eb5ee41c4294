"""What only processes can show: ten of them at once, killed ones, full disks, protected caches. None imports TensorFlow."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from loopback import giving

PROGRAM = Path(__file__).with_name("fetcher.py")


@pytest.fixture
def run(folders):
    def start(task, *arguments):
        command = [sys.executable, str(PROGRAM), task, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return start


def test_ten_processes_fetch_once(run, server, handle, sha256):
    server.faults += [None, giving(pause=0.005)]
    answers = run("together", handle, 10)
    assert len(set(answers)) == 1
    assert answers[0].endswith("a.h5")
    assert [path for path, _, _ in server.asked] == ["/models/a.h5?first", "/models/a.h5"]


def test_killed_at_random_moments(run, server, handle, sha256, content):
    """Slow enough to be hit in the middle, with a cache that is as the processes before have left it."""
    server.faults += [None, *[giving(pause=0.002)] * 1000]
    result = run("killed", handle, 40, 7)
    assert all(hashes in ([], [sha256]) for _, hashes in result["seen"])
    assert any(hashes for _, hashes in result["seen"]), "some got through"
    assert sum(not done for done, _ in result["seen"]) > 5, "some were killed"
    assert any(byte_range for _, byte_range, _ in server.asked), "what was cut off was taken up"
    assert result["named"] == [sha256]
    assert Path(result["last"]).read_bytes() == content


def test_killed_at_every_call_that_touches_the_disk(run, server, handle, sha256):
    seen = run("killed_at_every_call", handle)
    assert seen[-1] == [True, [sha256]]
    assert all(hashes in ([], [sha256]) for _, hashes in seen)
    assert len(seen) > 10


@pytest.mark.parametrize("limit", [100, 300_000])
def test_a_disk_that_is_full(run, folders, handle, limit):
    message = run("limited", handle, limit)
    assert "WeightsUnavailableError" in message
    assert "room" in message or "written" in message
    assert "ATROUS_CACHE" in message
    held = {path.name: path.stat().st_size for path in (folders / "cache/files").rglob("*") if path.is_file()}
    assert sum(held.values()) < 1000, "what cannot become whole takes no room"
    assert "a.h5" not in held


def test_a_cache_that_can_only_be_read(run, server, handle, content, monkeypatch):
    # pytest's own folders cannot be entered by another user.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        monkeypatch.setenv("ATROUS_CACHE", str(folder / "cache"))
        server.files["/b.h5"] = content
        first, again, other = run("sealed", handle, handle.replace("/models/a.h5", "/b.h5"))
        assert again == first
        assert first.endswith("a.h5"), first
        assert "the cache must be a folder that can be written" in other
        assert "Permission denied" in other
    finally:
        shutil.rmtree(folder)
