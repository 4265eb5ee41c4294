"""Sections that a caller writes as arguments."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from registry.architecture import Section
from registry.errors import ModelError

__all__ = ["checked_section"]

SomeSection = TypeVar("SomeSection", bound=Section)


def checked_section(section: type[SomeSection], **values: object) -> SomeSection:
    """A section made of arguments, whose error speaks of these and not of a file.

    Args:
        section: its class.
        values: by key.

    Raises:
        ModelError: one of them is wrong.
    """
    try:
        return section(**values)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        # A rule about several keys names the one that it blames.
        key = str(detail["loc"][0] if detail["loc"] else detail.get("ctx", {}).get("at", ""))
        raise ModelError(
            f"`{key}`: {detail['msg']}",
            received=values.get(key, detail["input"]),
            repair=f"see {section.__name__} in {section.__module__}",
        ) from None
