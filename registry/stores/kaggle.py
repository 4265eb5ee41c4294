"""`kaggle://owner/model/framework/variation[/version][/file]`: Kaggle's models, through kagglehub and its cache.

The client holds no lock, asks the network even for what it has if no version is named, and does not ask again when the
server is busy; that is done here. What its cache has of a named version serves without the client.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from registry.errors import EnvironmentUnsupportedError, WeightsError, WeightsUnavailableError
from registry.stores import patience
from registry.stores.cache import locked
from registry.stores.clients import client
from registry.stores.digest import require_digest
from registry.stores.downloading import AbsentError
from registry.stores.handle import Handle
from registry.stores.messages import missing_offline, unavailable
from registry.stores.opened import BusyError
from registry.stores.remembering import require_unchanged
from registry.stores.store import FetchOptions, ForeignCache, Found, Store
from registry.stores.web import BUSY, retry_after

__all__ = ["KaggleStore"]

_VARIABLE = "KAGGLEHUB_CACHE"
_COMPLETE = ".complete"


@dataclass(frozen=True)
class _Model:
    """A model on Kaggle.

    Args:
        address: `owner/model/framework/variation`.
        version: a number; None for the newest.
        file: a file in it.
    """

    address: str
    version: str | None
    file: str | None

    @classmethod
    def of(cls, handle: Handle) -> _Model:
        parts = handle.address.split("/")
        version = parts[4] if len(parts) > 4 else None
        if (
            len(parts) < 4
            or not all(parts)
            or ".." in parts
            or (version is not None and not version.isdecimal())
        ):
            raise WeightsUnavailableError(
                "a Kaggle handle is kaggle://owner/model/framework/variation[/version][/file]",
                received=handle.text,
                repair="copy it from the model's page; with the version, the cache serves without network",
            )
        return cls("/".join(parts[:4]), version, "/".join(parts[5:]) or None)

    @property
    def name(self) -> str:
        return self.address if self.version is None else f"{self.address}/{self.version}"

    @property
    def folder(self) -> Path:
        return _root() / "models" / self.address

    def at(self, version: str) -> _Model:
        return _Model(self.address, version, self.file)

    def cached(self, name: str) -> Path | None:
        """A file of the named version that the client's cache has, complete."""
        if self.version is None:
            return None
        path = self.folder / self.version / name
        # One mark for the file, or one for all that the version holds.
        marks = (
            self.folder / _COMPLETE / self.version / f"{name}.complete",
            self.folder / f"{self.version}.complete",
        )
        return path if path.is_file() and any(mark.is_file() for mark in marks) else None

    def cached_versions(self) -> list[str]:
        """Versions of which the cache has something, the newest first."""
        try:
            names = [path.name for path in self.folder.iterdir() if path.is_dir() and path.name.isdecimal()]
        except OSError:
            return []
        return sorted(names, key=int, reverse=True)


class KaggleStore(Store):
    """Models on Kaggle."""

    form: ClassVar[str] = "kaggle://owner/model/framework/variation/version[/file]"

    def names_file(self, handle: Handle) -> bool:
        """Whether something follows the version."""
        return handle.address.count("/") > 4

    def fetch_file(self, handle: Handle, options: FetchOptions) -> Path:
        """Through `model_download`; see `Store`."""
        model = _Model.of(handle)
        if model.file is None:
            raise WeightsUnavailableError(
                f"the handle of a file on Kaggle is {self.form}",
                received=handle.text,
                repair="add the file's name",
            )
        path = self._first(handle, model, [model.file], options)
        return require_digest(path, handle.digest, handle.text)

    def fetch_directory(
        self, handle: Handle, required: Sequence[str], optional: Sequence[str], options: FetchOptions
    ) -> Path:
        """Through `model_download`, file by file; see `Store`."""
        model = _Model.of(handle)
        if model.file is not None or handle.digest is not None:
            raise WeightsUnavailableError(
                "a Kaggle handle of a preset is kaggle://owner/model/framework/variation[/version]",
                received=handle.text,
                repair="copy it from the model's page; a hash is that of a single file",
            )
        if model.version is None and options.offline:
            model = self._newest(model, required)
        directory, complete = Path(), True
        for names in required:
            alternatives = names.split("|")
            complete &= any(model.cached(name) for name in alternatives)
            path = self._first(handle, model, alternatives, options)
            directory = path.parents[alternatives[0].count("/")]
            # All files are of one version, whatever is published in the meantime.
            model = model.at(directory.name) if directory.name.isdecimal() else model
        for name in optional:
            self._optional(handle, model, name, options, complete=complete)
        return directory

    def look(self, handle: Handle, names: Sequence[str], options: FetchOptions) -> list[Found]:
        """Files in the client's cache; the client has no way to ask for sizes."""
        model = _Model.of(handle)
        wanted = [model.file] if model.file else [name for entry in names for name in entry.split("|")]
        if model.version is None and options.offline:
            model = self._newest(model, names)
        paths = {name: model.cached(name) for name in wanted}
        return [Found(name, path.stat().st_size, path) for name, path in paths.items() if path is not None]

    def title(self, handle: Handle) -> str:
        """The model's name."""
        return handle.address.split("/")[1]

    def foreign_cache(self) -> ForeignCache:
        """Where kagglehub keeps its files."""
        return ForeignCache(_root(), _VARIABLE, "removing folders of models in it")

    def _newest(self, model: _Model, required: Sequence[str]) -> _Model:
        """The newest version of which the cache has all that is required; without network, that is what is meant."""
        for version in model.cached_versions():
            candidate = model.at(version)
            if all(any(candidate.cached(name) for name in names.split("|")) for names in required):
                return candidate
        return model

    def _first(self, handle: Handle, model: _Model, names: Sequence[str], options: FetchOptions) -> Path:
        """The first file of several that exists; if the cache has one, that one, and the network is not asked."""
        absent: OSError | None = None
        for name in [name for name in names if model.cached(name)][:1] or names:
            try:
                path = self._one(handle, model, name, options, attempts=patience.DEFAULT.attempts)
            except AbsentError as error:
                absent = absent or error
                continue
            except (WeightsError, EnvironmentUnsupportedError):
                raise
            except Exception as error:
                raise unavailable(handle, error, cache=_cache()) from error
            if path is not None:
                return path
        if absent is None:
            raise missing_offline(handle, " or ".join(names), cache=_cache(), declared=options.declared)
        raise unavailable(handle, absent, cache=_cache()) from absent

    def _optional(
        self, handle: Handle, model: _Model, name: str, options: FetchOptions, *, complete: bool
    ) -> None:
        """A file that may be absent on the hub; or in the cache, if that had all that is required.

        What it would have brought is accounted for when the weights are assigned.
        """
        try:
            self._one(handle, model, name, options, attempts=1 if complete else patience.DEFAULT.attempts)
        except AbsentError:
            pass
        except WeightsError:
            raise
        except Exception as error:
            if not complete or isinstance(error, MemoryError):
                raise unavailable(handle, error, cache=_cache()) from error

    def _one(
        self, handle: Handle, model: _Model, name: str, options: FetchOptions, *, attempts: int
    ) -> Path | None:
        """One file; None if it is not in the cache, and nothing else may be asked."""
        path = model.cached(name)
        if path is None:
            if options.offline:
                return None
            hub = client("kagglehub", "kaggle", handle)
            with locked(f"kaggle {_root()} {model.name}"):
                path = model.cached(name) or _downloaded(hub, model.name, name, attempts)
        version = path.parents[name.count("/")].name
        return require_unchanged(path, f"kaggle://{model.address}/{version}/{name}")


def _downloaded(hub: ModuleType, model: str, name: str, attempts: int) -> Path:
    row = patience.Attempts(patience.DEFAULT, most=attempts)
    while True:
        try:
            return Path(hub.model_download(model, path=name))
        except Exception as error:
            failure = _as_of_a_store(error)
            if failure is error:
                raise
            if not isinstance(failure, patience.TRANSIENT):
                raise failure from error
            row.failed(failure)


def _as_of_a_store(error: Exception) -> Exception:
    """What the client raised, as a store would have."""
    import requests

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if status == 404:
        return AbsentError(message)
    if status in BUSY:
        return BusyError(message, retry_after=retry_after(response.headers) if response is not None else None)
    if isinstance(error, requests.Timeout):
        return TimeoutError(message)
    if status is None and isinstance(error, requests.RequestException):
        return ConnectionError(message)
    return error


def _root() -> Path:
    return Path(os.environ.get(_VARIABLE) or Path.home() / ".cache" / "kagglehub")


def _cache() -> str:
    return f"{_VARIABLE}={_root()}"
