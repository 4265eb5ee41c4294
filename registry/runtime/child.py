"""A child process that is asked to do what could end a process: one JSON object a line, in and out.

The parent's side is `Child`; the child's side is `serve`, called with what it can do.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from registry import errors
from registry.errors import ModelFileError, RegistryError

__all__ = ["Child", "contain", "search_path", "serve"]

_REPAIR = "the file is damaged or not made for this interpreter: export the model again"
_LAST_WORDS = 2000


class Child:
    """A started child process; a context manager that ends it.

    Args:
        module: what `python -m` runs; its `main` calls `serve`.
        subject: the file that the child works on, for messages.

    Raises:
        ModelFileError: there is no Python to start.
    """

    def __init__(self, module: str, subject: Path) -> None:
        self._subject = subject
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        try:
            self._process = subprocess.Popen(
                [_python(), "-P", "-m", module],
                env={**os.environ, "PYTHONPATH": search_path()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # A file, not a pipe: a pipe that nobody reads fills up and stops the child.
                stderr=self._words,
            )
        except OSError as error:
            self._words.close()
            raise ModelFileError(
                "a model file is run in a child process, which could not be started",
                received=f"{subject}: {error}",
                repair="use an ordinary Python interpreter, or Segmenter(…, trusted=True) for files that you made",
            ) from error
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # A thread, since a pipe with a time limit is not portable otherwise.
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str, *, seconds: float, **arguments: Any) -> Any:
        """Have the child do something and wait for the answer.

        Args:
            do: name of what to do.
            seconds: how long to wait.
            **arguments: passed on; JSON-ready.

        Returns:
            What the child returned.

        Raises:
            RegistryError: what the child raised.
            ModelFileError: the child crashed, or did not answer in time.
        """
        request = json.dumps({"do": do, "with": arguments}).encode() + b"\n"
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, OSError):  # it has died: the missing answer tells
            self._process.stdin.write(request)
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise ModelFileError(
                f"a model must finish this within {seconds:.0f} seconds: {do}",
                received=str(self._subject),
                repair="the file is damaged, or too large for this machine: export it for a smaller size",
            ) from None
        return self._judge(line)

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._words):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put(b"")

    def _judge(self, line: bytes) -> Any:
        try:
            answer = json.loads(line)
            error = answer["error"]
            if error is None:
                return answer["result"]
            kind = getattr(errors, error["class"])
            raised = kind(error["rule"], received=error["received"], repair=error["repair"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ModelFileError(
                "a model must load and run without crashing the interpreter",
                received=f"{self._subject}: {self._death()}",
                repair=_REPAIR,
            ) from None
        raise raised

    def _death(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.returncode
        if code is None:
            how = "no answer that could be understood"
        elif code < 0:
            with suppress(ValueError):
                code = signal.Signals(-code).name
            how = f"ended by {code}"
        else:
            how = f"ended with code {code}"
        self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - _LAST_WORDS))
        words = self._words.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"{how} ({words[0]})" if words else how


def _python() -> str:
    # In a frozen application `sys.executable` is that application: it would be started again.
    if not sys.executable or getattr(sys, "frozen", False):
        raise FileNotFoundError("this program is embedded or frozen, there is no Python to start")
    return sys.executable


def search_path() -> str:
    """What this process can import, the child can import too, however `sys.path` came about."""
    return os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)


def serve(actions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests from stdin until it ends.

    Args:
        actions: name → function, called with the request's arguments; returns something JSON-ready.
    """
    contain()
    # Answers have stdout for themselves: what libraries print goes to stderr instead.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answers.write(json.dumps(_perform(actions[request["do"]], request["with"])).encode() + b"\n")


def _perform(action: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"error": None, "result": action(**arguments)}
    except RegistryError as error:
        received = None if error.received is None else str(error.received)
        return {
            "error": {
                "class": type(error).__name__,
                "rule": error.rule,
                "received": received,
                "repair": error.repair,
            }
        }


def contain() -> None:
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
