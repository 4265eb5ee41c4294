"""A process that fetches in processes of its own: started once, it forks, which costs milliseconds and no imports.

    python fetcher.py TASK HANDLE [ARGUMENT...]

Each task prints one JSON value.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from registry.errors import RegistryError
from registry.stores import FetchOptions, Handle, cache, downloading, patience
from registry.stores.cache import files_folder
from registry.stores.web import WebStore


def fetch(text: str) -> str:
    """Fetch; the path, or the error's message."""
    try:
        return str(WebStore("http").fetch_file(Handle.parse(text), FetchOptions(progress=False)))
    except RegistryError as error:
        return f"{type(error).__name__}: {error}"


def forked(task: Callable[[], object]) -> tuple[int, int]:
    """Start a process; its id, and where its answer can be read."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    code = 1
    try:
        os.close(reading)
        os.write(writing, json.dumps(task()).encode())
        code = 0
    finally:
        os._exit(code)


def answer(process: int, reading: int) -> object:
    """What a process has answered; None if it was killed first."""
    with os.fdopen(reading, "rb") as file:
        text = file.read()
    os.waitpid(process, 0)
    return json.loads(text) if text else None


def named() -> list[str]:
    """Hashes of the files that have a name which is not hidden."""
    paths = [path for path in files_folder().rglob("*") if path.is_file() and not path.name.startswith(".")]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def together(handle: str, count: str) -> object:
    """Several processes fetch one file at the same time."""
    started = [forked(lambda: fetch(handle)) for _ in range(int(count))]
    return [answer(*one) for one in started]


def killed(handle: str, rounds: str, seed: str) -> object:
    """Processes that are killed at random moments, one after the other, in a cache that stays; what was seen in it."""
    source = random.Random(int(seed))
    began = time.monotonic()
    answer(*forked(lambda: fetch(handle)))
    longest = 1.2 * (time.monotonic() - began)
    forget(source, share=1.0)
    seen = []
    while len(seen) < int(rounds) or not any(hashes for _, hashes in seen):
        process, reading = forked(lambda: fetch(handle))
        time.sleep(source.uniform(0, longest))
        os.kill(process, signal.SIGKILL)
        done = answer(process, reading) is not None
        hashes = named()
        seen.append([done, hashes])
        if hashes:
            # From the beginning: a file that is there is not fetched.
            forget(source, share=0.8)
    return {"seen": seen, "last": fetch(handle), "named": named()}


def forget(source: random.Random, share: float) -> None:
    """Remove some of the cache's files, records and parts."""
    for path in list(files_folder().rglob("*")):
        if path.is_file() and source.random() < share:
            path.unlink()


def killed_at_every_call(handle: str) -> object:
    """The same at each call that touches the disk, in order, until one process gets through."""
    seen = []
    for last in range(1, 60):
        process, reading = forked(lambda last=last: kill_at(last) and fetch(handle))
        done = answer(process, reading) is not None
        seen.append([done, named()])
        if done:
            break
    return seen


def kill_at(last: int) -> bool:
    """End this process at a call that touches the disk."""
    calls = 0

    def killing(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    os.fsync = killing(os.fsync)
    os.utime = killing(os.utime)
    downloading._write_all = killing(downloading._write_all)
    cache._remove = killing(cache._remove)
    for name in ("replace", "unlink", "mkdir", "write_text", "open"):
        setattr(Path, name, killing(getattr(Path, name)))
    return True


def limited(handle: str, limit: str) -> object:
    """Files of this process may not become larger than that, as on a disk that is full."""

    def task() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        return fetch(handle)

    return answer(*forked(task))


def sealed(handle: str, other: str) -> object:
    """A cache that can be read and not written: what it has, and what it has not."""
    first = fetch(handle)
    folders = [files_folder().parent, *files_folder().parent.rglob("*")]
    for path in folders:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def task() -> list[str]:
        if os.getuid() == 0:  # whom no permission stops
            os.setgid(65534)
            os.setuid(65534)
        return [fetch(handle), fetch(other)]

    try:
        return [first, *answer(*forked(task))]
    finally:
        for path in folders:
            path.chmod(0o755)


if __name__ == "__main__":
    patience.DEFAULT = patience.Patience(pause=0.001, longest_pause=0.002)
    # All that is imported when it is used.
    fetch(sys.argv[2].partition("#")[0] + "?first#sha256=" + "0" * 64)
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
