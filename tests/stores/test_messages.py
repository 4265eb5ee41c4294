"""What is said of an error: a store's own words, or where a hub's client failed first."""

from itertools import pairwise

import pytest

from registry.errors import OutputPathError
from registry.stores import BusyError, Handle
from registry.stores.messages import unavailable

HANDLE = Handle.parse("hf://someone/net")


class RefusedError(Exception):
    """As a hub's client raises it."""


def chained(*errors: BaseException) -> BaseException:
    """The last error, each caused by the one before."""
    for cause, error in pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


def in_a_circle() -> BaseException:
    first = RefusedError("first")
    second = chained(first, RefusedError("second"))
    first.__cause__ = second
    return second


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RefusedError("HTTP 401"), "RefusedError: HTTP 401"),
        (
            chained(RefusedError("no such model"), RefusedError("see above"), RefusedError("failed")),
            "RefusedError: no such model",
        ),
        (chained(OSError("socket"), RefusedError("no connection")), "RefusedError: no connection"),
        (chained(BusyError("HTTP 503"), BusyError("HTTP 503; asks to wait")), "HTTP 503; asks to wait"),
        (chained(RefusedError("deep"), ConnectionError("the connection ended")), "the connection ended"),
        (ConnectionError(), "ConnectionError: "),
        (RefusedError("a  line\nand " + "x" * 1000), "RefusedError: a line and " + "x" * 289),
        (in_a_circle(), "RefusedError: first"),
    ],
)
def test_what_happened(error, said):
    assert unavailable(HANDLE, error, cache="CACHE=x").received == said


def test_an_error_of_the_disk_says_itself_what_to_do():
    error = OutputPathError("the disk must have room", received="/x: full", repair="free some space")
    told = unavailable(HANDLE, error, cache="CACHE=x")
    assert told.received == "the disk must have room (/x: full)"
    assert told.repair.startswith("free some space; or")
