"""The models that a server has: files that it was started with, uploaded and exported ones."""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from registry.errors import ModelFileError, RegistryError
from registry.inspection import inspect_model
from registry.playground.settings import Settings
from registry.runtime.child import Child

__all__ = ["Entry", "Shelf"]

Kind = Literal["file", "upload", "export"]

_MODULE = "registry.playground.worker"
_OPEN_SECONDS, _RUN_SECONDS = 120.0, 120.0
# `street_int8.tflite` and `street_float32.tflite` are one model, which the page toggles between.
_PRECISION = re.compile(
    r"[-_.]?(float32|float16|fp32|fp16|float|dynamic|int8|int16x8|uint8|quantized|quant)$", re.I
)


@dataclass(eq=False)
class Entry:
    """A model file.

    Args:
        id: what requests call it.
        name: what people call it.
        kind: where it comes from.
        path: the file.
        facts: what it says of itself, JSON-ready.
        family: what it shares with its other precisions.
        lock: of its process, which answers one request after the other.
        child: that process, while it stands ready.
        used: when it was last used, as a count.
    """

    id: str
    name: str
    kind: Kind
    path: Path
    facts: dict[str, Any]
    family: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    child: Child | None = None
    used: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What requests are told of it."""
        return {"id": self.id, "name": self.name, "kind": self.kind, "family": self.family, **self.facts}


class Shelf:
    """All models of a server, safe for threads.

    Args:
        settings: what is offered from the start, and how much is kept.
        folder: where uploaded and exported files lie; it is emptied by whoever made it.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._count = 0
        for path in settings.models:
            self._enter(path, path.name, "file")

    def __iter__(self) -> Any:
        with self._lock:
            return iter(list(self._entries.values()))

    def __getitem__(self, identity: str) -> Entry:
        """A model by its id.

        Raises:
            KeyError: there is none, or no longer.
        """
        with self._lock:
            return self._entries[identity]

    def new_path(self, name: str = "model") -> Path:
        """Where a file that is to be added may be written: in a folder of its own, under the name that it came with."""
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir()
        letters = re.sub(r"[^\w.-]", "_", Path(name).name.removesuffix(".tflite"))[-80:].lstrip(".")
        return folder / f"{letters or 'model'}.tflite"

    def add(self, path: Path, name: str, kind: Kind, family: str | None = None) -> Entry:
        """Take a file up, after it ran in a process of its own. The oldest of its kind may leave.

        Args:
            path: the file, from `new_path`.
            name: what people call it.
            kind: `upload` or `export`.
            family: what it shares with its other precisions; by default the name without the precision.

        Raises:
            ModelFileError, ModelError: the file cannot be run; it is removed.
        """
        try:
            entry = self._enter(path, name, kind, family)
        except RegistryError:
            shutil.rmtree(path.parent)
            raise
        with self._lock:
            kept = [one for one in self._entries.values() if one.kind != "file" and one is not entry]
            leaving = sorted(kept, key=lambda one: one.used)[
                : max(0, len(kept) + 1 - self._settings.kept_models)
            ]
        for one in leaving:
            self.remove(one.id)
        return entry

    def remove(self, identity: str) -> None:
        """Drop an uploaded or exported file.

        Raises:
            KeyError: there is none.
            ModelFileError: the server was started with it.
        """
        with self._lock:
            entry = self._entries[identity]
            if entry.kind == "file":
                raise ModelFileError(
                    "only uploaded and exported models can be removed",
                    received=entry.name,
                    repair="start the server without it",
                )
            del self._entries[identity]
        with entry.lock:
            _close(entry)
            shutil.rmtree(entry.path.parent, ignore_errors=True)

    def segment(self, entry: Entry, image: Path, name: str, mask: Path) -> float:
        """Run a model on an image file; the mask is written as `.npy`.

        Returns:
            Milliseconds that the model took, resizing included.

        Raises:
            ImageError: the image cannot be decoded.
            ModelFileError: the model failed, or ended its process; the next request starts another one.
        """
        with entry.lock:
            if entry.child is None:
                self._open(entry)
            assert entry.child is not None
            try:
                answer = entry.child.ask(
                    "segment", seconds=_RUN_SECONDS, image=str(image), name=name, mask=str(mask)
                )
            except ModelFileError:
                _close(entry)
                raise
        self._make_room(entry)
        return float(answer["ms"])

    def close(self) -> None:
        """End all processes."""
        for entry in self:
            with entry.lock:
                _close(entry)

    def _enter(self, path: Path, name: str, kind: Kind, family: str | None = None) -> Entry:
        inspection = inspect_model(path)
        stem = name.removesuffix(".tflite")
        entry = Entry(
            id=secrets.token_urlsafe(6),
            name=name,
            kind=kind,
            path=path,
            facts={},
            family=family or _PRECISION.sub("", stem) or stem,
        )
        facts = self._open(entry)
        entry.facts = {
            **facts,
            "quantization": inspection.quantization,
            "size_bytes": inspection.size_bytes,
            "parameters": inspection.parameters,
            "macs": inspection.macs,
        }
        with self._lock:
            self._entries[entry.id] = entry
        self._make_room(entry)
        return entry

    def _open(self, entry: Entry) -> dict[str, Any]:
        child = Child(_MODULE, Path(entry.name))
        try:
            facts: dict[str, Any] = child.ask(
                "open",
                seconds=_OPEN_SECONDS,
                path=str(entry.path.absolute()),
                size=None,
                threads=self._settings.threads,
            )
        except BaseException:
            child.close()
            raise
        entry.child = child
        return facts

    def _make_room(self, used: Entry) -> None:
        """Close the processes that were not used for longest, but for those that are at work."""
        with self._lock:
            self._count += 1
            used.used = self._count
            ready = sorted(
                (one for one in self._entries.values() if one.child is not None), key=lambda one: one.used
            )
        for entry in ready[: max(0, len(ready) - self._settings.open_models)]:
            if entry.lock.acquire(blocking=False):
                try:
                    _close(entry)
                finally:
                    entry.lock.release()


def _close(entry: Entry) -> None:
    child, entry.child = entry.child, None
    if child is not None:
        child.close()
