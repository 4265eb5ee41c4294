"""What is said when something cannot be fetched."""

from __future__ import annotations

import shlex

from registry.errors import RegistryError, WeightsUnavailableError
from registry.stores.handle import Handle
from registry.stores.offline import OFFLINE_VARIABLE

__all__ = ["FRESH", "missing_offline", "unavailable"]

FRESH = "weights=None for fresh weights (a command: --weights none, a recipe: `weights: null`)"
_OTHERWISE = f"or build with {FRESH}"


def unavailable(
    handle: Handle,
    error: BaseException,
    *,
    cache: str,
    instead: str = "pass weights='path/to/preset_directory'",
) -> WeightsUnavailableError:
    """The error for whatever a hub, a server or the disk answered.

    Args:
        handle: what was asked for.
        error: the answer.
        cache: where the file would be kept: a variable and its value.
        instead: another way to the file.
    """
    if isinstance(error, RegistryError):
        # Of the disk: it says itself what to do.
        cause, advice = f"{error.rule} ({error.received})", error.repair or "write somewhere else"
    else:
        cause = _told(error)
        advice = f"check the network and the handle; or fill the cache ({cache}) on a machine with network"
    return WeightsUnavailableError(
        f"the weights at {handle.text} could not be fetched",
        received=cause,
        repair=f"{advice}; or {instead}; {_OTHERWISE}",
    )


def _told(error: BaseException) -> str:
    """What happened: as a store says it, or as a hub's client did where it first failed."""
    package = _package(error)
    said_by_a_store = package in ("builtins", "registry")
    seen = {id(error)}  # a chain may be a circle
    while not said_by_a_store and (cause := error.__cause__) is not None and id(cause) not in seen:
        if _package(cause) != package:
            break
        error = cause
        seen.add(id(error))
    text = " ".join(str(error).split())[:300]
    return text if said_by_a_store and text else f"{type(error).__name__}: {text}"


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def missing_offline(
    handle: Handle, missing: str, *, cache: str, declared: bool = False, switch: str = OFFLINE_VARIABLE
) -> WeightsUnavailableError:
    """The error for what no cache has while nothing may touch the network.

    Args:
        handle: what was asked for.
        missing: the file that is not there.
        cache: where it was looked for: a variable and its value.
        declared: whether a plugin names the handle, so that the user knows it by the plugin's name for it.
        switch: the variable that forbids the network.
    """
    target = "PRESET (or PLUGIN/VARIANT, an encoder)" if declared else shlex.quote(handle.text)
    return WeightsUnavailableError(
        f"offline ({switch} is set), weights must be in a cache already",
        received=f"{handle.text}: no {missing} in {cache}",
        repair=f"fetch it beforehand, with network: atrous fetch {target}; or unset {switch}; or pass a local path; "
        f"{_OTHERWISE}",
    )
