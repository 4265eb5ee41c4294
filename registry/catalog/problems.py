"""What is wrong with a preset or a recipe, collected and raised as one `ConfigError`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from registry.catalog.origin import Origin
from registry.errors import ConfigError

__all__ = ["Problem", "config_error", "shown"]

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Args:
        origin: where the offending value stands.
        rule: what must hold.
        received: the offending value, ready for display.
        repair: what to do about it.
    """

    origin: Origin
    rule: str
    received: str
    repair: str

    def error(self) -> ConfigError:
        """The error of this problem alone."""
        return ConfigError(f"{self.origin}: {self.rule}", received=self.received, repair=self.repair)


def config_error(problems: Sequence[Problem], document: str) -> ConfigError:
    """One error for all problems of a document; each keeps its own file, line and column.

    Args:
        problems: one or more.
        document: what it is, for the headline: `preset 'my_preset'`.
    """
    if len(problems) == 1:
        return problems[0].error()
    listed = [str(problem.error()) for problem in problems[:_LISTED]]
    if len(problems) > _LISTED:
        listed.append(f"… and {len(problems) - _LISTED} more")
    headline = f"{document} breaks {len(problems)} rules"
    return ConfigError("\n".join([f"{headline}:", *listed]))


def shown(value: object) -> str:
    """Write a value as YAML would have it, so that `"16"` and `16` look different."""
    return json.dumps(value, ensure_ascii=False, default=repr)
