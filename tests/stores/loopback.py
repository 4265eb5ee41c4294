"""A server on this machine that knows ranges and ETags, and fails as it is told to."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's next fault says; without one, as a good server does."""

    server: Loopback

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        content = self.server.files.get(self.path.partition("?")[0])
        fault = self.server.faults.popleft() if self.server.faults else None
        if fault is not None:
            fault(self, content or b"")
        elif content is None:
            self.send_error(404)
        else:
            self.give(content)

    def headers_of(self, content: bytes) -> dict[str, str]:
        """More headers for a file."""
        return {}

    def give(
        self,
        content: bytes,
        *,
        ranges: bool = True,
        tag: str | None = "",
        length: int | None = -1,
        most: int | None = None,
        pause: float = 0.0,
    ) -> None:
        """Send a file, or the part of it that is asked for.

        Args:
            content: the file.
            ranges: whether parts are known of.
            tag: ETag; empty for that of the content.
            length: Content-Length, if not the true one; None sends none.
            most: bytes after which the connection is closed.
            pause: seconds between pieces of 8 KiB.
        """
        tag = f'"{hashlib.md5(content).hexdigest()}"' if tag == "" else tag
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match[1]) if match and ranges else 0
        if start and self.headers.get("If-Range") not in (None, tag):
            start = 0
        if start >= len(content) and start:
            self.send_error(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        if tag is not None:
            self.send_header("ETag", tag)
        for name, value in self.headers_of(content).items():
            self.send_header(name, value)
        self.end_headers()
        body = body[:most]
        for place in range(0, len(body), 8192 if pause else max(1, len(body))):
            self.wfile.write(body[place : place + 8192] if pause else body)
            if pause:
                time.sleep(pause)

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # the client was killed


class Loopback(ThreadingHTTPServer):
    """The server; `files` by path, `faults` for the next requests, and what was `asked`: path, Range, If-Range."""

    daemon_threads = True

    def __init__(self, handler: type[Handler] = Handler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.files: dict[str, bytes] = {}
        self.faults: deque[Answer | None] = deque()
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


def cut(most: int, **how: object) -> Answer:
    """The connection ends in the middle of the body."""
    return lambda handler, content: handler.give(content, most=most, **how)


def giving(**how: object) -> Answer:
    """The file, in some way."""
    return lambda handler, content: handler.give(content, **how)


def status(code: int, **headers: str) -> Answer:
    """No file but a status."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def stalled(most: int, until: threading.Event) -> Answer:
    """Some bytes, then none; the connection stays open."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        handler.end_headers()
        handler.wfile.write(content[:most])
        handler.wfile.flush()
        until.wait(60)

    return answer
