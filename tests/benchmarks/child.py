"""The parent's side of a measured child process; `tests.benchmarks.worker` is the other."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Child", "ChildError", "Run"]

ROOT = Path(__file__).resolve().parents[2]
_MODULE = "tests.benchmarks.worker"
# What a caller configured for his own use of a library must not enter its figures.
# The last one because imports are measured, and none shall compile what the one before has compiled.
_UNSET = (
    *("ATROUS_PLUGINS", "ATROUS_BLOCK_PLUGINS", "ATROUS_PRESET_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"),
)


class ChildError(Exception):
    """A child ended, or took too long, before it answered."""


@dataclass(frozen=True)
class Run:
    """One run: elapsed time, time of all threads on the processor, and what the task returned."""

    wall_ms: float
    cpu_ms: float
    result: Any = None


class Child:
    """A process that does a task of a library as often as it is asked; a context manager that ends it.

    Args:
        python: interpreter of the library's environment.
        library: module of `tests.benchmarks.libraries`.
        task: function in it.
        options: its arguments, JSON-ready.
        seconds: how long preparation or a run may take.

    Raises:
        ChildError: the task cannot be prepared.
    """

    def __init__(
        self,
        python: Path | str,
        library: str,
        task: str,
        options: Mapping[str, Any] | None = None,
        *,
        seconds: float = 1800.0,
    ) -> None:
        self.seconds = seconds
        self._name = f"{library}.{task}"
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the child
        environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
        self._process = subprocess.Popen(
            [str(python), "-m", _MODULE, library, task, json.dumps(dict(options or {}))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
        )
        try:
            self.facts: dict[str, Any] = self._answer()["facts"]
        except ChildError:
            self.close()
            raise

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self) -> Run:
        """Have the task done once."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended; the missing answer says why
        answer = self._answer()
        return Run(answer["wall_ms"], answer["cpu_ms"], answer["result"])

    def finish(self) -> float:
        """End the process; MiB of peak resident memory above the library's import."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return float(self._answer()["peak_mebibytes"])

    def close(self) -> None:
        """End the process whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                pass  # what was still to be written has no reader
        self._words.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(self.seconds, self._process.kill)
        timer.start()
        try:
            for line in self._process.stdout:
                if line.startswith('{"worker"'):
                    return json.loads(line)
        finally:
            timer.cancel()
        code = self._process.wait()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip().splitlines()
        # The last line of a traceback names the error; what native code writes is seldom the reason.
        raise ChildError(f"{self._name} ended with {code}: {words[-1][:400] if words else 'no word'}")
