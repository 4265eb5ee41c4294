"""`hf://user/model[@revision][/file]`: Hugging Face, through huggingface_hub and its cache.

The client locks, resumes and renames by itself. A large file is called by its SHA-256 in the client's cache, which is
held against its content before anybody reads it.
"""

from __future__ import annotations

import fnmatch
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.stores.clients import client
from registry.stores.digest import digest_of, require_digest
from registry.stores.downloading import INSTEAD
from registry.stores.handle import Handle
from registry.stores.local import require_files
from registry.stores.messages import missing_offline, unavailable
from registry.stores.offline import OFFLINE_VARIABLE
from registry.stores.store import FetchOptions, ForeignCache, Found, Store

__all__ = ["HuggingFaceStore"]

# A revision is a branch, tag or commit; only pull requests and conversions have slashes in theirs.
_ADDRESS = re.compile(
    r"(?P<repository>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|(?!refs/)[^/]+))?(?:/(?P<file>.+))?"
)
_OWN_SWITCH = "HF_HUB_OFFLINE"
# Seconds that the hub may take to answer a request for metadata.
_METADATA_TIMEOUT = 5
_switching = threading.Lock()


class HuggingFaceStore(Store):
    """Models on Hugging Face."""

    form: ClassVar[str] = "hf://user/model[@revision][/file]"

    def names_file(self, handle: Handle) -> bool:
        """Whether something follows the model."""
        match = _ADDRESS.fullmatch(handle.address)
        return match is not None and match["file"] is not None

    def fetch_file(self, handle: Handle, options: FetchOptions) -> Path:
        """Through `hf_hub_download`; see `Store`."""
        match = _ADDRESS.fullmatch(handle.address)
        if match is None or match["file"] is None or ".." in match["file"].split("/"):
            raise WeightsUnavailableError(
                "the handle of a file on Hugging Face is hf://user/model/file, optionally with @revision after the "
                "model",
                received=handle.text,
                repair="copy user/model and the file's name from the model's page",
            )
        hub = client("huggingface_hub", "hf", handle)
        try:
            with _network(handle, options):
                path = Path(
                    hub.hf_hub_download(
                        match["repository"],
                        match["file"],
                        revision=match["revision"],
                        etag_timeout=_METADATA_TIMEOUT,
                        library_name="atrous",
                        local_files_only=options.offline,
                    )
                )
        except Exception as error:
            raise _failed(handle, error, match["file"], options, instead=INSTEAD) from error
        return require_digest(_require_blob(path, handle), handle.digest, handle.text)

    def fetch_directory(
        self, handle: Handle, required: Sequence[str], optional: Sequence[str], options: FetchOptions
    ) -> Path:
        """Through `snapshot_download`; see `Store`."""
        match = _ADDRESS.fullmatch(handle.address)
        if match is None or match["file"] is not None or handle.digest is not None:
            raise WeightsUnavailableError(
                "a Hugging Face handle of a preset is hf://user/model, optionally with @revision",
                received=handle.text,
                repair="copy user/model from the model's page",
            )
        hub = client("huggingface_hub", "hf", handle)
        names = [*_alternatives(required), *optional]
        try:
            with _network(handle, options):
                directory = Path(
                    hub.snapshot_download(
                        match["repository"],
                        revision=match["revision"],
                        allow_patterns=names,
                        etag_timeout=_METADATA_TIMEOUT,
                        library_name="atrous",
                        local_files_only=options.offline,
                    )
                )
        except Exception as error:
            missing = "snapshot with " + ", ".join(required)
            raise _failed(handle, error, missing.replace("|", " or "), options) from error
        require_files(directory, required)
        for name in names:
            _require_blob(directory / name, handle)
        return directory

    def look(self, handle: Handle, names: Sequence[str], options: FetchOptions) -> list[Found]:
        """Through `HfApi.model_info`; offline, only what is in the client's cache."""
        match = _ADDRESS.fullmatch(handle.address)
        if match is None:
            return []
        hub = client("huggingface_hub", "hf", handle)
        wanted = [match["file"]] if match["file"] else _alternatives(names)
        sizes: dict[str, int | None] = {}
        if not options.offline and not _constants(handle).HF_HUB_OFFLINE:
            try:
                info = hub.HfApi(library_name="atrous").model_info(
                    match["repository"],
                    revision=match["revision"],
                    files_metadata=True,
                    timeout=_METADATA_TIMEOUT,
                )
            except Exception as error:
                raise unavailable(handle, error, cache=_cache(handle), instead=INSTEAD) from error
            sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or ()}
            wanted = [name for name in sizes if any(fnmatch.fnmatchcase(name, one) for one in wanted)]
        kept = {
            name: hub.try_to_load_from_cache(match["repository"], name, revision=match["revision"])
            for name in wanted
        }
        paths = {name: Path(path) for name, path in kept.items() if isinstance(path, str)}
        return [
            Found(name, paths[name].stat().st_size if name in paths else sizes[name], paths.get(name))
            for name in wanted
            if name in paths or name in sizes
        ]

    def title(self, handle: Handle) -> str:
        """The model's name."""
        return handle.address.split("/")[1].partition("@")[0]

    def foreign_cache(self) -> ForeignCache:
        """As the client finds it, without importing it."""
        home = (
            os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
        )
        path = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
        return ForeignCache(
            Path(os.path.expandvars(path)).expanduser(), "HF_HUB_CACHE", "hf cache prune, hf cache rm"
        )


@contextmanager
def _network(handle: Handle, options: FetchOptions) -> Iterator[None]:
    """Within this block, the client keeps off the network where it has to.

    Told that a file is wanted from its cache only, it may still ask the network for other things.
    """
    if not options.offline:
        yield
        return
    constants = _constants(handle)
    with _switching:
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def _failed(
    handle: Handle, error: Exception, missing: str, options: FetchOptions, **instead: str
) -> WeightsUnavailableError:
    if options.offline or _constants(handle).HF_HUB_OFFLINE:
        switch = OFFLINE_VARIABLE if options.offline else _OWN_SWITCH
        return missing_offline(
            handle, missing, cache=_cache(handle), declared=options.declared, switch=switch
        )
    return unavailable(handle, error, cache=_cache(handle), **instead)


def _cache(handle: Handle) -> str:
    return f"HF_HUB_CACHE={_constants(handle).HF_HUB_CACHE}"


def _constants(handle: Handle) -> Any:
    return client("huggingface_hub.constants", "hf", handle)


def _alternatives(names: Sequence[str]) -> list[str]:
    return [alternative for entry in names for alternative in entry.split("|")]


def _require_blob(path: Path, handle: Handle) -> Path:
    """Hold a large file against its name in the client's cache, `blobs/<SHA-256>`."""
    blob = Path(os.path.realpath(path))
    if blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name) and blob.is_file():
        actual = digest_of(blob)
        if actual != blob.name:
            raise WeightsFormatError(
                f"{path.name} of {handle.text} must have the hash that Hugging Face states",
                received=f"{actual} instead of {blob.name}; nothing was read from it",
                repair=f"the file was damaged in the client's cache: remove {blob}, and it will be fetched again",
            )
    return path
