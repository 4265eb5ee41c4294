import struct
import subprocess
import sys

import pytest

from registry.errors import ModelFileError
from registry.runtime import Segmenter, child, modelfile
from registry.runtime.modelfile import check_structure, probe_in_child


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must not be empty"),
        (b"TFL3", "identifier"),
        (b"PK\3\4" + bytes(60), "identifier"),
        (b"version https://git-lfs.github.com/spec/v1\n", "identifier"),
        (struct.pack("<I", 0) + b"TFL3" + bytes(40), "root table"),
        (struct.pack("<I", 4_000_000_000) + b"TFL3" + bytes(40), "root table"),
        (struct.pack("<I", 16) + b"TFL3" + bytes(8) + struct.pack("<i", 2**31 - 1) + bytes(20), "root table"),
        (struct.pack("<I", 16) + b"TFL3" + bytes(8) + struct.pack("<i", -(2**31)) + bytes(20), "root table"),
        (struct.pack("<I", 46) + b"TFL3" + bytes(40), "root table"),
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_what_is_no_flatbuffer_is_refused_without_running_it(
    content, message, trusted, tmp_path, monkeypatch
):
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: pytest.fail("a child was started"))
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        Segmenter(path, trusted=trusted)
    assert "model.tflite" in str(caught.value)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ModelFileError, match="must exist"):
        check_structure(tmp_path / "absent.tflite")
    with pytest.raises(ModelFileError, match="regular file"):
        check_structure(tmp_path)


def child_that(code, monkeypatch):
    """Let the child process run `code` instead of the probe."""
    start = subprocess.Popen

    def replaced(command, **options):
        return start([sys.executable, "-c", code], **options)

    monkeypatch.setattr(child.subprocess, "Popen", replaced)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "ended by SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("import sys; sys.exit('out of luck')", r"ended with code 1 \(out of luck\)"),
        ("print('{}')", "ended with code 0"),
        ("print('no verdict')", "ended with code 0"),
        ("print('[]')", "ended with code 0"),
    ],
)
def test_a_crash_in_the_child_is_an_error_here(code, message, models, monkeypatch):
    child_that(code, monkeypatch)
    with pytest.raises(ModelFileError, match=message):
        Segmenter(models["float"])


def test_a_child_that_never_ends_is_ended(models, monkeypatch):
    monkeypatch.setattr(modelfile, "PROBE_TIMEOUT", 0.2)
    child_that("import time; time.sleep(60)", monkeypatch)
    with pytest.raises(ModelFileError, match="within 0 seconds"):
        Segmenter(models["float"])


@pytest.mark.parametrize("executable", ["", "/nonexistent/python"])
def test_without_a_python_to_start_the_repair_is_named(executable, models, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ModelFileError, match="trusted=True"):
        Segmenter(models["float"])
    assert Segmenter(models["float"], trusted=True).num_classes == 5


def test_a_frozen_application_is_not_started_again(models, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ModelFileError, match="frozen"):
        probe_in_child(models["float"], None, 1)


SWEEP = """
import sys
from pathlib import Path
import numpy as np
from registry.errors import RegistryError
from registry.runtime import Segmenter
image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        mask = Segmenter(path, num_threads=1).predict(image)
    except RegistryError:
        print(path.name, "refused", flush=True)
    else:
        assert mask.shape == (20, 30)
        print(path.name, "mask", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("float", 40),
        ("uint8", 40),
        *(pytest.param(kind, 300, marks=pytest.mark.sweep) for kind in ("float", "uint8")),
    ],
)
def test_damaged_files_are_refused_or_run_but_never_crash(models, damaged, kind, count, tmp_path):
    """In a process of its own, so that a crash fails this test instead of ending all of them."""
    original = models[kind].read_bytes()
    for seed in range(count):
        (tmp_path / f"{seed:03}.tflite").write_bytes(damaged(original, seed))
    options = {"env": {"PYTHONPATH": child.search_path()}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", SWEEP, str(tmp_path)], check=False, **options)
    outcomes = done.stdout.split()[1::2]
    assert done.returncode == 0, f"{done.returncode} after {outcomes[-1:]}: {done.stderr[-2000:]}"
    assert len(outcomes) == count
    assert outcomes.count("refused") > count // 3
