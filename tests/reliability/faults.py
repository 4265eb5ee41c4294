"""Faults that a machine has, injected for real: a disk that is full, a folder that is closed, two writers, odd names.

`FAULTS` maps what fails to a function of an empty folder that injects it, and gives how often; it raises `AssertionError`
where anything but a `RegistryError` came out, or where something half-written stayed. None needs TensorFlow.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from registry.atomic import atomic_folder, atomic_path
from registry.drawing import save_mask, save_overlay
from registry.errors import OutputPathError, RegistryError
from registry.locking.lockfile import LockFile, write_lock

LOCK = LockFile(version=1, plugins=(), distributions={}, presets={})
MASK = np.random.default_rng(0).integers(0, 5, (300, 300), np.uint8)
PIXELS = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)


def _folder(path):
    with atomic_folder(path, replace=True) as temporary:
        (temporary / "preset.yaml").write_bytes(b"x" * 5000)
        (temporary / "model.safetensors").write_bytes(b"y" * 50_000)


def _hdf5(path):
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file["a"] = np.ones(20_000, np.float32)


def _copied(path):
    with atomic_path(path) as temporary:
        temporary.write_bytes(bytes(100_000))


WRITERS = {
    "mask.png": lambda path: save_mask(MASK, path),
    "overlay.png": lambda path: save_overlay(PIXELS, MASK, path),
    "atrous.lock": lambda path: write_lock(LOCK, path),
    "x.weights.h5": _hdf5,
    "model.tflite": _copied,
    "saved preset": _folder,
}


def scratch_folder():
    """A folder in memory where there is one: every file is flushed to its disk, which other programs may keep busy."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@contextmanager
def disk_with(size):
    """Let no file grow beyond so many bytes: the kernel refuses, whichever library writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)


def full_disk(folder):
    """Every writer, on disks that take 0, 1, 100 and 4,096 bytes, with and without a file that was there before."""
    injected = 0
    for name, write in WRITERS.items():
        for size in (0, 1, 100, 4096):
            for before in (False, True):
                place = folder / f"{name} {size} {before}"
                place.mkdir()
                target = place / name
                if before:
                    write(target)
                held = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
                try:
                    with disk_with(size):
                        write(target)
                    assert name == "atrous.lock", f"{name} fits into {size} bytes"
                except (RegistryError, OSError) as error:
                    injected += 1
                    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == held, (
                        error
                    )
    return injected


@contextmanager
def as_nobody():
    """Give up the rights of the superuser, whom permissions do not stop."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def closed_folder(folder):
    """Every writer, into a folder that may be entered and not written."""
    folder.chmod(0o755)
    for above in folder.parents:
        if above.stat().st_uid == os.getuid() and not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for name, write in WRITERS.items():
        try:
            with as_nobody():
                write(closed / name)
        except OutputPathError as error:
            assert "writable" in str(error), error
            continue
        raise AssertionError(f"{name} was written into a closed folder")
    assert names(closed) == []
    closed.chmod(0o755)
    return len(WRITERS)


def two_writers(folder):
    """Two threads that write one file again and again: whoever looks sees the whole of one of them."""
    target, rounds = folder / "x.bin", 40
    contents = [bytes([number]) * 200_000 for number in (1, 2)]

    def write(content):
        for _ in range(rounds):
            with atomic_path(target) as temporary:
                temporary.write_bytes(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not target.exists() or target.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert names(folder) == ["x.bin"]
    return 2 * rounds


def odd_names(folder):
    """Names that scripts, shells and file systems trip over: they work, or are refused in words."""
    deep = folder
    while len(os.fsencode(deep)) < 1500:
        deep = deep / ("d" * 120)
    deep.mkdir(parents=True)
    odd = [
        *(
            "größe",
            "道路",
            "🚜",
            "a b  c",
            "a'b\"c",
            "$HOME",
            "-rf",
            "a\tb",
            "a\\b",
            "%s",
            "con",
            "é",
            "e\u0301",
        ),
        *("x" * 240, "ä" * 115),
    ]
    for place in (folder, deep):
        for name in odd:
            save_mask(MASK[:8, :8], place / f"{name}.png")
            _folder(place / f"{name} preset")
            assert (place / f"{name}.png").is_file()
            assert names(place / f"{name} preset") == ["model.safetensors", "preset.yaml"]
    refused = 0
    for name in ("x" * 300, "a\0b", "", ".", ".."):
        try:
            _copied(folder / name)
        except OutputPathError:
            refused += 1
    assert refused == 5
    return 4 * len(odd) + refused


def killed_writers(folder, kills=12):
    """A process that writes everything again and again, killed at some moment: what has a name is whole."""
    # In a process of its own, which can fork: that of the tests has threads.
    arguments = [sys.executable, __file__, str(folder), str(kills)]
    return int(subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _kill_writers(folder, kills):
    chance = random.Random(0)
    (folder / "whole").mkdir()
    for name, write in WRITERS.items():
        write(folder / "whole" / name)
    whole = {name: _content(folder / "whole" / name) for name in WRITERS}
    for kill in range(kills):
        place = folder / str(kill)
        place.mkdir()
        child = os.fork()
        while not child:
            for name, write in WRITERS.items():
                write(place / name)
        while kill % 2 and not (place / "atrous.lock").exists():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        for name in WRITERS:
            assert not (place / name).exists() or _content(place / name) == whole[name], name
    return kills


def _content(path):
    if path.is_dir():
        return {item.name: item.read_bytes() for item in sorted(path.iterdir())}
    return path.stat().st_size if path.suffix == ".h5" else path.read_bytes()


FAULTS = {
    "disk full": full_disk,
    "permission denied": closed_folder,
    "two writers": two_writers,
    "unicode, spaces, very long paths": odd_names,
    "killed at some moment of writing": killed_writers,
}


if __name__ == "__main__":
    print(_kill_writers(Path(sys.argv[1]), int(sys.argv[2])))
