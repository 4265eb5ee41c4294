"""A single file over HTTPS: into a cache, checked before anyone parses it, complete or not at all.

The cache is the folder `ATROUS_CACHE`, or the platform's own for caches. A file that tf-keras has downloaded already
(`~/.keras/models`, or `models` under `KERAS_HOME`) serves too if its hash is the stated one. Nothing here imports
TensorFlow.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from registry.atomic import atomic_path
from registry.errors import WeightsError, WeightsFormatError, WeightsUnavailableError

__all__ = ["Digest", "cache_folder", "download", "require_digest", "split_digest", "unavailable"]

CACHE_VARIABLE = "ATROUS_CACHE"
_KERAS_VARIABLE = "KERAS_HOME"
# Seconds without a byte.
_TIMEOUT = 30
_CHUNK = 1 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LENGTHS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Digest:
    """What the content of a file must hash to.

    Args:
        algorithm: `sha256` or `md5`.
        value: the hash in hexadecimal, lower case.
    """

    algorithm: str
    value: str


def cache_folder() -> Path:
    """Where downloads are kept: `ATROUS_CACHE`, or the platform's own folder for caches."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("atrous", appauthor=False)


def split_digest(handle: str) -> tuple[str, Digest | None]:
    """Take the hash off a handle: `…#sha256=<hex>` or `…#md5=<hex>`.

    Raises:
        WeightsUnavailableError: what follows the `#` is neither.
    """
    address, mark, fragment = handle.partition("#")
    if not mark:
        return address, None
    algorithm, _, value = fragment.partition("=")
    if len(value) != _LENGTHS.get(algorithm) or not re.fullmatch("[0-9a-fA-F]+", value):
        raise WeightsUnavailableError(
            "a handle states the file's hash as #sha256=<64 hexadecimal digits> or #md5=<32 hexadecimal digits>",
            received=handle,
            repair="copy the hash from where the file is published, or compute it from a file that you trust",
        )
    return address, Digest(algorithm, value.lower())


def require_digest(path: Path, digest: Digest, handle: str) -> None:
    """Refuse a file whose content does not hash to `digest`.

    Raises:
        WeightsFormatError: it does not.
    """
    actual = _digest_of(path, digest.algorithm)
    if actual != digest.value:
        raise _another_file(handle, digest, actual)


def download(handle: str, address: str, digest: Digest | None, *, declared: bool) -> Path:
    """Bring a file onto this machine, from a cache where one has it.

    Args:
        handle: as it was written, for messages.
        address: the handle without its hash.
        digest: what the content must hash to.
        declared: whether a plugin names it, which may then state an MD5 or no hash. Without one, the hash of the
            first download is kept beside the file, and a file that no longer has it is fetched again.

    Returns:
        The file; its content has been checked.

    Raises:
        WeightsUnavailableError: the handle is malformed, or states no SHA-256 and is not declared; the file cannot be
            fetched, or not completely.
        WeightsFormatError: what was fetched is not the file whose hash is stated.
        OutputPathError: the cache cannot be written.
    """
    _check_address(address, handle)
    if not declared and (digest is None or digest.algorithm != "sha256"):
        raise WeightsUnavailableError(
            "an https:// handle must state the SHA-256 of its file, unless a plugin names it",
            received=handle,
            repair="append #sha256=<hex>; `sha256sum FILE` prints it for a file that you trust. Or pass a local path",
        )
    name = _file_name(address, handle)
    cached = cache_folder() / "weights" / hashlib.sha256(address.encode()).hexdigest()[:16] / name
    if _is_intact(cached, digest or _recorded(cached)):
        return cached
    keras_home = os.environ.get(_KERAS_VARIABLE) or Path.home() / ".keras"
    of_keras = Path(keras_home) / "models" / name
    if _is_intact(of_keras, digest):
        return of_keras
    _fetch(handle, address, digest, cached)
    return cached


def unavailable(
    handle: str,
    error: BaseException,
    *,
    cache: str,
    instead: str = "pass weights='path/to/preset_directory'",
) -> WeightsUnavailableError:
    """The error for whatever a hub or server answered."""
    cause = " ".join(str(error).split())
    return WeightsUnavailableError(
        f"the weights at {handle} could not be fetched",
        received=f"{type(error).__name__}: {cause[:300]}",
        repair=(
            f"check the network and the handle; or {instead}; or fill the cache "
            f"({cache}) on a machine with network; or build with weights=None for fresh weights"
        ),
    )


def _check_address(address: str, handle: str) -> None:
    try:
        parts = urllib.parse.urlsplit(address)
        well_formed = bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed or any(character.isspace() for character in address):
        raise WeightsUnavailableError(
            "the handle of a file on a server is https://host/path/file#sha256=<hex>", received=handle
        )
    if not _is_secure(address) and not _is_loopback(address):
        raise WeightsUnavailableError(
            "weights are fetched over https://; http:// is for this machine only",
            received=handle,
            repair="write https://, or download the file and pass its path",
        )


def _is_secure(address: str) -> bool:
    return urllib.parse.urlsplit(address).scheme == "https"


def _is_loopback(address: str) -> bool:
    return urllib.parse.urlsplit(address).hostname in _LOOPBACK


def _file_name(address: str, handle: str) -> str:
    """Last part of the path, as tf-keras names its cached files too; nothing in it can leave the folder."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
    if not re.fullmatch(r"\w[\w.+-]{0,199}", name):
        raise WeightsUnavailableError(
            "the handle of a file on a server ends with the file's name",
            received=handle,
            repair="use letters, digits, '.', '_', '+' and '-' in it, or download the file and pass its path",
        )
    return name


def _is_intact(path: Path, digest: Digest | None) -> bool:
    return digest is not None and path.is_file() and _digest_of(path, digest.algorithm) == digest.value


def _digest_of(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> Digest | None:
    with suppress(OSError, WeightsUnavailableError):
        return split_digest(f"#sha256={_record_of(path).read_text(encoding='ascii', errors='replace')}")[1]
    return None


def _fetch(handle: str, address: str, digest: Digest | None, target: Path) -> None:
    """Download to the target; a stated hash is checked before the file gets its name, another one is recorded."""
    hasher = hashlib.new(digest.algorithm if digest else "sha256", usedforsecurity=False)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            _transfer(address, temporary, hasher, target.name)
            if digest is not None and hasher.hexdigest() != digest.value:
                raise _another_file(handle, digest, hasher.hexdigest())
        if digest is None:
            with atomic_path(_record_of(target)) as record:
                record.write_text(hasher.hexdigest(), encoding="ascii")
    except WeightsError:
        raise
    # A full or protected disk is an OutputPathError, an OSError too, and reads well as the cause.
    except (OSError, EOFError, ValueError, http.client.HTTPException) as error:
        raise unavailable(
            handle,
            error,
            cache=f"{CACHE_VARIABLE}={cache_folder()}",
            instead="download it by other means and pass its path",
        ) from error


def _transfer(address: str, path: Path, hasher: Any, name: str) -> None:
    with _response(address) as response, path.open("wb") as file:
        stated = response.headers.get("Content-Length")
        length = int(stated) if stated else None
        received = 0
        with _progress(name, length) as advance:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                hasher.update(chunk)
                received += len(chunk)
                advance(len(chunk))
    if length is not None and received != length:
        raise EOFError(f"the connection ended after {received:,} of {length:,} bytes")


def _response(address: str) -> Any:
    request = urllib.request.Request(address, headers={"User-Agent": "atrous"})
    return urllib.request.build_opener(_Redirects(address)).open(request, timeout=_TIMEOUT)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server only over HTTPS, and to this machine only from this machine."""

    def __init__(self, address: str) -> None:
        self._local = _is_loopback(address)

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Refuse an address that the handle itself could not have named."""
        if not _is_secure(newurl) and not (self._local and _is_loopback(newurl)):
            raise urllib.error.URLError(f"the server redirects to {newurl}, which is not https://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a waiting person how far it is; silent where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda size: bar.advance(task, size)


def _another_file(handle: str, digest: Digest, actual: str) -> WeightsFormatError:
    return WeightsFormatError(
        f"the file at {handle} must have the stated {digest.algorithm} hash",
        received=f"{actual}; nothing was read from it",
        repair="the file was damaged or replaced: fetch it again, or state the hash of the file that you trust",
    )
