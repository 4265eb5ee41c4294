"""What takes longer than a request: exports of presets and batches of images, one after the other."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from registry.batch.items import find_items
from registry.batch.results import Results
from registry.errors import ExportError, RegistryError
from registry.playground.shelf import Entry, Shelf
from registry.runtime.child import search_path

__all__ = ["Job", "Jobs", "Precision"]

Precision = Literal["float32", "float16", "dynamic", "int8"]

_SECONDS = 6 * 3600
_LOOK_SECONDS = 2.0
_KEPT = 64
_LAST_WORDS = 1500
_ERROR = "atrous: error:"


@dataclass
class Job:
    """One of them.

    Args:
        id: what requests call it.
        what: in a few words.
        status: how it stands.
        done: how much of it is done.
        total: how much there is; 0 while that is unknown.
        result: what came of it.
        error: why it failed.
    """

    id: str
    what: str
    status: Literal["waiting", "running", "done", "failed"] = "waiting"
    done: int = 0
    total: int = 0
    result: dict[str, Any] | None = None
    error: str | None = None
    work: Callable[[Job], dict[str, Any]] | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What requests are told of it."""
        return {key: value for key, value in vars(self).items() if key != "work"}


class Jobs:
    """All jobs of a server; a thread works on one at a time.

    Args:
        shelf: where exported files go, and models of batches come from.
        most_waiting: jobs that may wait.
    """

    def __init__(self, shelf: Shelf, most_waiting: int = 16) -> None:
        self._shelf = shelf
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Job | None] = queue.Queue(most_waiting)
        self._process: subprocess.Popen[str] | None = None
        self._closing = False
        threading.Thread(target=self._work, daemon=True, name="jobs").start()

    def __getitem__(self, identity: str) -> Job:
        """A job by its id.

        Raises:
            KeyError: there is none, or no longer.
        """
        with self._lock:
            return self._jobs[identity]

    def __iter__(self) -> Any:
        with self._lock:
            return iter(list(self._jobs.values()))

    def export(self, preset: str, precision: Precision, weights: str, calibration: Path | None) -> Job:
        """Export a preset into the shelf, in a process of its own: TensorFlow stays out of the server.

        Raises:
            queue.Full: too many jobs wait.
        """

        def work(job: Job) -> dict[str, Any]:
            path = self._shelf.new_path(f"{preset}_{precision}")
            command = [
                *(sys.executable, "-P", "-m", "registry", "export", preset, str(path)),
                *("--weights", weights, "--quantization", precision),
            ]
            if calibration is not None:
                command += ["--calibration", str(calibration)]
            self._run(command)
            name = f"{preset}_{precision}{'' if weights == 'default' else ', random weights'}"
            entry = self._shelf.add(path, name, "export", family=f"{preset} {weights}")
            return {"model": entry.to_dict()}

        return self._add(f"export {preset} as {precision}", work)

    def batch(self, entry: Entry, folder: Path, output: Path, overlays: bool) -> Job:
        """Segment a folder of images.

        Raises:
            queue.Full: too many jobs wait.
        """

        def work(job: Job) -> dict[str, Any]:
            items = find_items([folder], leaving_out=output)
            results = Results(output, overlays)
            job.total = len(items)

            def look() -> None:
                job.done = sum(results.finished(item, 0) for item in items)

            command = [
                *(sys.executable, "-P", "-m", "registry", "predict", str(entry.path.absolute()), str(folder)),
                *("--output", str(output), "--overlays" if overlays else "--no-overlays", "--json"),
            ]
            # Its exit code is 1 where an image failed, and the answer says which.
            answer = self._run(command, look)
            look()
            return answer

        return self._add(f"segment {folder.name} with {entry.name}", work)

    def close(self) -> None:
        """End what is running; batches go on when they are asked for again."""
        self._closing = True
        process = self._process
        if process is not None:
            process.kill()

    def _add(self, what: str, work: Callable[[Job], dict[str, Any]]) -> Job:
        job = Job(secrets.token_urlsafe(6), what, work=work)
        self._waiting.put_nowait(job)
        with self._lock:
            self._jobs[job.id] = job
            ended = [one for one in self._jobs.values() if one.status in ("done", "failed")]
            for one in ended[: max(0, len(self._jobs) - _KEPT)]:
                del self._jobs[one.id]
        return job

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None and not self._closing:
            job.status = "running"
            try:
                assert job.work is not None
                job.result = job.work(job)
                job.status = "done"
            except RegistryError as error:
                job.error, job.status = str(error), "failed"
            except Exception as error:  # a defect of one job must not stop the next
                job.error, job.status = f"{type(error).__name__}: {error}", "failed"

    def _run(self, command: list[str], look: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Run a command of ours in a process of its own, and look after it from time to time.

        Returns:
            The JSON object that it printed; empty if it printed none and succeeded.

        Raises:
            ExportError: it failed.
        """
        environment = {**os.environ, "PYTHONPATH": search_path(), "TF_CPP_MIN_LOG_LEVEL": "2"}
        deadline = time.monotonic() + _SECONDS
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            self._process = process
            printed = said = ""
            try:
                while True:
                    try:
                        printed, said = process.communicate(timeout=_LOOK_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        look()
                        if time.monotonic() > deadline:
                            process.kill()
            finally:
                self._process = None
        if printed.startswith("{"):
            answer: dict[str, Any] = json.loads(printed)
            return answer
        if process.returncode:
            said = said[said.rfind(_ERROR) :] if _ERROR in said else said[-_LAST_WORDS:]
            raise ExportError(
                "what the server starts for a job must succeed",
                received=said.removeprefix(_ERROR).strip() or f"code {process.returncode}",
            )
        return {}
