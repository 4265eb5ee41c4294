"""The hubs' own clients, which are extras: imported when a handle of theirs is used."""

from __future__ import annotations

import importlib
from types import ModuleType

from registry.errors import EnvironmentUnsupportedError
from registry.stores.handle import Handle
from registry.stores.messages import FRESH

__all__ = ["client"]


def client(module: str, extra: str, handle: Handle) -> ModuleType:
    """Import a client.

    Args:
        module: its name.
        extra: the extra of atrous that brings it.
        handle: what it is needed for.

    Raises:
        EnvironmentUnsupportedError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EnvironmentUnsupportedError(
            f"fetching {handle.text} needs the package {module}",
            received=str(error),
            repair=f"pip install 'atrous[{extra}]', or pass a local path, or {FRESH}",
        ) from error
