"""Whose fault it is: errors that name the plugin, its distribution and what the user can do."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from registry.discovery.index import Claim
from registry.discovery.policy import BLOCK_VARIABLE
from registry.errors import BrokenPluginError

__all__ = ["blaming", "broken", "one_line"]


@contextmanager
def blaming(
    claim: Claim, rule: str, *, passing: type[Exception] | tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn whatever a plugin raises into a `BrokenPluginError` that names it."""
    try:
        yield
    except passing:
        raise
    except (Exception, SystemExit) as error:
        raise broken(claim, rule, _summary(error)) from error


def broken(claim: Claim, rule: str, received: str, *, repair: str | None = None) -> BrokenPluginError:
    """The error of a plugin that broke a rule."""
    return BrokenPluginError(f"{claim.origin} {rule}", received=received, repair=repair or _remedy(claim))


def _remedy(claim: Claim) -> str:
    if claim.builtin:
        return "reinstall atrous; if that does not help, report it as a defect of atrous"
    return (
        f"update or uninstall {claim.distribution}, or switch it off: {BLOCK_VARIABLE}={claim.distribution}"
    )


def _summary(error: BaseException) -> str:
    # format_exception_only survives a raising __str__; the source of a SyntaxError comes first, indented.
    lines = [line for line in traceback.format_exception_only(error) if not line.startswith(" ")]
    return one_line(lines[0]) if lines else type(error).__name__


def one_line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())
