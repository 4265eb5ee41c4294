"""Make the server, and run it."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable
from typing import Any

from registry.errors import EnvironmentUnsupportedError, OutputPathError
from registry.playground.settings import Settings
from registry.runtime.modelfile import check_structure, probe_in_child

__all__ = ["make_app", "serve"]


def make_app(settings: Settings | None = None) -> Any:
    """The server as an ASGI application, for any server of those and for tests.

    Args:
        settings: what it offers, and how much it accepts.

    Returns:
        A `fastapi.FastAPI`; its models are tried when it starts up, and its processes end when it shuts down.

    Raises:
        EnvironmentUnsupportedError: FastAPI is not installed.
        ModelFileError: a model of the settings cannot be run.
    """
    _require("fastapi", "python_multipart")
    from registry.playground.app import application

    return application(settings or Settings())


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until the process is interrupted.

    Args:
        settings: what it offers, and how much it accepts.
        host: address to listen at; the default can be reached from this machine only.
        port: 0 takes a free one.
        started: called with the address as soon as requests are accepted.

    Raises:
        EnvironmentUnsupportedError: FastAPI or uvicorn is not installed.
        ModelFileError: a model of the settings cannot be run.
        OutputPathError: the address is taken, or not this machine's.
    """
    _require("uvicorn")
    import uvicorn

    for path in settings.models:  # what is wrong with them is told before anything is listened to
        check_structure(path)
        probe_in_child(path, None, settings.threads)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise OutputPathError(
            "a server needs an address of this machine that nobody else listens at",
            received=f"{host}, port {port}: {error.strerror}",
            repair="--port 0 takes a free one",
        ) from error
    with listening:
        config = uvicorn.Config(make_app(settings), log_level="warning", server_header=False)
        if started is not None:
            name = f"[{host}]" if ":" in host else host
            started(f"http://{name}:{listening.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[listening])


def _require(*modules: str) -> None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise EnvironmentUnsupportedError(
                "the playground needs FastAPI, uvicorn and python-multipart, which are an extra",
                received=str(error),
                repair="pip install 'atrous[serve]'",
            ) from error
