"""The child process that loads and runs a `.tflite` file: `python -m registry.inspection.worker`.

It may crash on a damaged file; `registry.runtime.child` says how it is talked to.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from registry.errors import ModelError, ModelFileError
from registry.inspection.profile import profile_operations
from registry.runtime.child import serve

__all__ = ["main"]

_REPAIR = "the file is damaged or needs operations that this interpreter lacks: export the model again"


class Worker:
    """What the child can do, with the one file that it has loaded."""

    def __init__(self) -> None:
        self._path = ""
        self._threads = 1
        self._interpreter: Any = None
        self._before = 0

    def load(self, path: str, size: list[int] | None, threads: int) -> dict[str, Any]:
        """Load the file, fix open sizes and fill the inputs."""
        self._path, self._threads = path, threads
        self._before = _peak_memory()
        started = time.perf_counter()
        try:
            self._interpreter = Interpreter(model_path=path, num_threads=threads)
            for details in self._interpreter.get_input_details():
                _resize(self._interpreter, details, size, path)
            self._interpreter.allocate_tensors()
            for details in self._interpreter.get_input_details():
                self._interpreter.set_tensor(details["index"], _noise(details))
        except (RuntimeError, ValueError, TypeError, IndexError, MemoryError) as error:
            if isinstance(error, ModelError):
                raise
            raise _refused(path, error) from error
        shapes = [[int(side) for side in d["shape"]] for d in self._interpreter.get_input_details()]
        return {"input_shapes": shapes, "load_ms": (time.perf_counter() - started) * 1e3}

    def run(self, times: int) -> list[float]:
        """Invoke so many times; milliseconds of each."""
        measured = []
        try:
            for _ in range(times):
                started = time.perf_counter()
                self._interpreter.invoke()
                measured.append((time.perf_counter() - started) * 1e3)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise _refused(self._path, error) from error
        return measured

    def memory(self) -> dict[str, int]:
        """Highest resident memory so far, and what of it was there before the file was loaded."""
        return {"peak": _peak_memory(), "before": self._before}

    def delegates(self) -> list[dict[str, Any]]:
        """The nodes of the first subgraph, those that delegates put there included."""
        return [
            {
                "name": str(node["op_name"]),
                "inputs": [int(index) for index in node["inputs"]],
                "outputs": [int(index) for index in node["outputs"]],
            }
            for node in self._interpreter._get_ops_details()
        ]

    def profile(self, runs: int) -> list[dict[str, Any]] | None:
        """Time of each operation; None where this runtime does not tell."""
        return profile_operations(Path(self._path), threads=self._threads, runs=runs)


def _refused(path: str, error: Exception) -> ModelFileError:
    return ModelFileError(
        "the TFLite interpreter must accept and run the model", received=f"{path}: {error}", repair=_REPAIR
    )


def _resize(interpreter: Any, details: dict[str, Any], size: list[int] | None, path: str) -> None:
    """Give an open batch the size 1 and an open height and width the size asked for."""
    signature = [int(side) for side in details.get("shape_signature", details["shape"])]
    wanted = list(signature)
    if len(signature) == 4:
        wanted[0] = 1 if signature[0] < 0 else signature[0]
        if size is not None:
            if any(side not in (-1, want) for side, want in zip(signature[1:3], size, strict=True)):
                raise ModelError(
                    f"the file is made for {signature[1]} × {signature[2]} pixels",
                    received=f"{path}: size {size[0]} × {size[1]}",
                    repair="leave the size out",
                )
            wanted[1:3] = size
    if any(side < 0 for side in wanted):
        raise ModelError(
            "the file leaves the size of an input open, so that one must be given",
            received=f"{path}: input {details['name']!r} of shape {signature}",
            repair="give a size, for instance --size 512",
        )
    if wanted != signature:
        interpreter.resize_tensor_input(details["index"], wanted)


def _noise(details: dict[str, Any]) -> Any:
    """The same noise each time: zeros would let kernels that skip them look fast."""
    random, shape, dtype = np.random.default_rng(0), tuple(details["shape"]), np.dtype(details["dtype"])
    if dtype.kind == "f":
        return random.uniform(0, 255, shape).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(np.uint8 if dtype.itemsize > 1 else dtype)
        return random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    return np.zeros(shape, dtype)


def _peak_memory() -> int:
    """Highest resident memory of this program, in bytes; 0 where the system does not say."""
    # `ru_maxrss` survives `exec`: it may still be the peak of the parent, from the moment between fork and exec.
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    with suppress(ImportError):
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 0


def main() -> None:
    """Serve until stdin ends."""
    worker = Worker()
    serve(
        {
            "load": worker.load,
            "run": worker.run,
            "memory": worker.memory,
            "delegates": worker.delegates,
            "profile": worker.profile,
        }
    )


if __name__ == "__main__":
    main()
