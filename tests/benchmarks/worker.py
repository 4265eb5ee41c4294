"""Do one task of one library, as the child of a comparison; runs in that library's own environment.

    python -m tests.benchmarks.worker LIBRARY TASK OPTIONS

LIBRARY is a module of `tests.benchmarks.libraries`, TASK a function in it, OPTIONS its arguments as JSON. The function
prepares and returns a `Task`; those of `STARTING` are themselves what is timed, before anything was imported. Then each
line on standard input makes one run. Answers are lines of JSON: one when the task is ready, one for each run, and one at
the end with the peak of resident memory above what the library's import took.

Nothing is imported here but the standard library: what the library's import costs must not be paid before.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

from tests.benchmarks.task import Task

STARTING = ("import_library", "list_presets")


def peak_mebibytes() -> float:
    """High-water mark of this process's own resident memory, which a parent's does not enter."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def answer(**content: object) -> None:
    """Write one line that the parent knows from a library's chatter by its first key."""
    print(json.dumps({"worker": True, **content}), flush=True)


def main() -> None:
    """Serve until standard input ends."""
    name, function, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    library = importlib.import_module(f"tests.benchmarks.libraries.{name}")
    make = getattr(library, function)
    if function not in STARTING:
        library.load()
    imported = peak_mebibytes()
    task = Task(make) if function in STARTING else make(**options)
    answer(ready=True, facts=task.facts)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        result = task.run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer(wall_ms=wall * 1e3, cpu_ms=cpu * 1e3, result=result)
    answer(peak_mebibytes=peak_mebibytes() - imported)


if __name__ == "__main__":
    main()
