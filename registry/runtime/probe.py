"""The child process of `modelfile.probe_in_child`: load a model, run it once, say how that went.

    python -P -m registry.runtime.probe '{"path": "/abs/m.tflite", "size": null, "num_threads": 2}'

The last line on stdout is `{"error": null}`, or the fields of the `RegistryError`. No such line: it crashed.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from registry.errors import RegistryError
from registry.runtime.interpreter import open_interpreter, run_on_zeros

__all__ = ["main"]


def main(request: str) -> None:
    """Do what `request` (JSON: path, size, num_threads) says and print the verdict."""
    _contain()
    print(json.dumps({"error": _try_model(**json.loads(request))}), flush=True)


def _try_model(path: str, size: list[int] | None, num_threads: int) -> dict[str, Any] | None:
    try:
        model = open_interpreter(Path(path), (size[0], size[1]) if size else None, num_threads)
        run_on_zeros(model, Path(path))
    except RegistryError as error:
        return {
            "class": type(error).__name__,
            "rule": error.rule,
            "received": str(error.received),
            "repair": error.repair,
        }
    return None


def _contain() -> None:
    """Leave no core dump, and let a damaged shape fail to allocate instead of exhausting the machine."""
    with suppress(ImportError, OSError, ValueError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        # Address space, not memory: thread stacks and the file's mapping count too.
        bound = physical + (8 << 30)
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY or soft > bound:
            resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


if __name__ == "__main__":
    main(sys.argv[1])
