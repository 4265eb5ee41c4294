"""What keeps a local server from being used by others: no foreign pages, no endless bodies."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse

__all__ = ["BodyLimit", "SameOrigin"]


class SameOrigin:
    """Refuses requests that change something and come from a page of another origin.

    A page anywhere on the web can send a form to a server on this machine; a browser then says from where.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request pass, or answer it with 403."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
            origin = headers.get(b"origin")
            if origin is not None and urlsplit(origin).netloc != headers.get(b"host"):
                response = JSONResponse({"detail": f"requests from {origin} are not accepted"}, 403)
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are larger than anything that is accepted, before they are stored."""

    def __init__(self, app: Any, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request pass, or answer it with 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.most:
            await self._refuse(scope, receive, send)
            return
        received = 0

        async def limited() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most:  # sent in chunks, without a length
                raise _TooLargeError
            return message

        async def unless_too_large(message: Any) -> None:
            if received <= self.most:  # else it is what the application makes of our exception
                await send(message)

        try:
            await self.app(scope, limited, unless_too_large)
        except _TooLargeError:
            pass  # answered below
        if received > self.most:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Any, receive: Any, send: Any) -> None:
        response = JSONResponse(
            {"detail": f"a request may have at most {self.most:,} bytes"},
            413,
            headers={"Connection": "close"},
        )
        await response(scope, receive, send)


class _TooLargeError(Exception):
    """More came than is accepted."""
