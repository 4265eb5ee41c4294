"""`https://host/path/file#sha256=<hex>`: a file on a server.

`http://` is for this machine alone: what is in plain text can be read and replaced by whoever stands in between, and
the hash that a plugin's handle need not state would be the only protection. Nothing leads from https:// to http://,
redirects included. Proxies, their exceptions, certificates and passwords come from where `requests` takes them:
`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`, `~/.netrc`; this machine is never asked through a proxy.
"""

from __future__ import annotations

import http
import http.client
import ipaddress
import os
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from registry.errors import WeightsUnavailableError
from registry.stores import patience
from registry.stores.digest import digest_of
from registry.stores.download_store import DownloadStore
from registry.stores.handle import Handle
from registry.stores.opened import BusyError, OpenedFile
from registry.stores.store import FetchOptions

if TYPE_CHECKING:
    from requests import Response

__all__ = ["BUSY", "WebStore", "retry_after"]

_KERAS_VARIABLE = "KERAS_HOME"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
# What a server may answer differently when it is asked again.
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class WebStore(DownloadStore):
    """Files on servers.

    Args:
        scheme: `https` or `http`.
    """

    form: ClassVar[str] = "https://host/path/file#sha256=<hex>"
    needs_sha256: ClassVar[bool] = True

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def names_file(self, handle: Handle) -> bool:
        """Always: a server lists no folders."""
        return True

    def check(self, handle: Handle) -> None:
        """Refuse what is no address of a file, holds a password, or would be fetched in plain text."""
        try:
            parts = urllib.parse.urlsplit(handle.place)
            well_formed = bool(parts.hostname) and parts.port != 0
        except ValueError:
            well_formed = False
        if not well_formed or any(character.isspace() for character in handle.address):
            raise WeightsUnavailableError(
                f"the handle of a file on a server is {self.form}", received=handle.text
            )
        if "@" in parts.netloc:
            raise WeightsUnavailableError(
                "a handle holds no password, because handles are published",
                received=f"{handle.scheme}://…@{parts.hostname}{parts.path}",
                repair="put it into ~/.netrc, where it is looked for",
            )
        if not _may_ask(handle.place):
            raise WeightsUnavailableError(
                "weights are fetched over https://; http:// is for this machine only",
                received=handle.text,
                repair="write https://, or download the file and pass its path",
            )

    def split(self, address: str) -> tuple[str, str]:
        """The folder, with what the address asks for, and the file's name."""
        parts = urllib.parse.urlsplit(f"//{address}")
        folder, _, name = parts.path.rpartition("/")
        origin = parts.netloc + folder + (f"?{parts.query}" if parts.query else "")
        return origin, urllib.parse.unquote(name)

    def fetch_directory(
        self, handle: Handle, required: Sequence[str], optional: Sequence[str], options: FetchOptions
    ) -> Path:
        """Refused: a folder on a server is not listed, and its files have no stated hashes."""
        raise WeightsUnavailableError(
            "a preset is a folder, and a server hands out single files",
            received=handle.text,
            repair="download the folder and pass its path; single files hold weights: weights=… or encoder_weights=…",
        )

    def elsewhere(self, handle: Handle, name: str) -> Path | None:
        """What tf-keras has downloaded, if its hash is the stated one; without one nothing tells which file it is."""
        home = os.environ.get(_KERAS_VARIABLE) or Path.home() / ".keras"
        path = Path(home) / "models" / name
        try:
            stated = handle.digest
            found = stated is not None and digest_of(path, stated.algorithm) == stated.value
        except OSError:
            return None
        return path if found else None

    def open(self, address: str, *, start: int, version: str | None) -> OpenedFile:
        """Ask for a file by GET, from some byte on if the server can do that; see `DownloadStore`."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "atrous"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if version is not None:
                headers["If-Range"] = version
        response = _ask(f"{self._scheme}://{address}", headers)
        try:
            if response.status_code == 416 and start:
                response.close()
                return self.open(address, start=0, version=None)
            return _opened(response, start)
        except BaseException:
            response.close()
            raise


def _ask(url: str, headers: dict[str, str]) -> Response:
    """GET, redirects followed where a handle could have pointed."""
    import requests

    limits = (patience.DEFAULT.connect, patience.DEFAULT.read)
    with _translated():
        session = requests.Session()
        for _ in range(_MOST_REDIRECTS + 1):
            session.trust_env = not _is_loopback(url)
            response = session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=limits)
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            url = _followed(url, response.headers.get("Location", ""))
    raise OSError(f"the server redirects more than {_MOST_REDIRECTS} times")


def _opened(response: Response, start: int) -> OpenedFile:
    status = response.status_code
    if status not in (200, 206):
        raise _refusal(response)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        # The hash is that of the file as it is.
        raise OSError(
            f"the server sends the file as {response.headers['Content-Encoding']}, though it was not asked to"
        )
    version = response.headers.get("ETag", "")
    if not version or version.startswith("W/"):
        version = response.headers.get("Last-Modified", "")
    if status == 200:
        length = response.headers.get("Content-Length")
        if length is not None and not re.fullmatch(r"\d{1,18}", length):
            raise OSError(f"the server states no length, but {length!r}")
        return OpenedFile(_Body(response), 0, None if length is None else int(length), version or None)
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        raise ConnectionError("the server sends a part of the file and does not say which")
    size = None if match[3] == "*" else int(match[3])
    return OpenedFile(_Body(response), int(match[1]), size, version or None)


def _refusal(response: Response) -> OSError:
    status = response.status_code
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = response.reason or ""
    message = f"HTTP {status} {phrase}".rstrip()
    if status in (404, 410):
        return FileNotFoundError(message)
    if status in (401, 403, 407):
        return PermissionError(f"{message}: ~/.netrc is where a password is looked for")
    if status in BUSY:
        return BusyError(message, retry_after=retry_after(response.headers))
    return OSError(message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for, as a number or as a date; None if nothing does."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


class _Body:
    """The body of an answer, as it comes in."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def read(self, size: int) -> bytes:
        with _translated():
            # One read of the socket: what is there already is not held back until there is more.
            return self._response.raw.read1(size, decode_content=False)

    def close(self) -> None:
        self._response.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Around calls into the client: its errors as those of a store."""
    import requests
    import urllib3

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise OSError(f"the server's certificate is not accepted: {error}") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise TimeoutError(f"nothing came for too long: {error}") from error
    except (
        requests.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
    ) as error:
        raise ConnectionError(str(error)) from error
    except ValueError as error:  # an address that a redirect leads to, or a header
        raise OSError(f"the server's answer makes no sense: {error}") from error


def _may_ask(url: str) -> bool:
    """Whether a handle may name an address: https://, or this machine."""
    return urllib.parse.urlsplit(url).scheme == "https" or _is_loopback(url)


def _followed(url: str, location: str) -> str:
    """Where a server leads: only over https://, and within this machine from this machine."""
    try:
        target = urllib.parse.urljoin(url, location)
        parts = urllib.parse.urlsplit(target)
        allowed = parts.scheme == "https" or (_is_loopback(url) and _is_loopback(target))
        allowed = allowed and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        target, allowed = location, False
    if not allowed:
        raise OSError(f"the server redirects to {target}, which is not https://")
    return target


def _is_loopback(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
