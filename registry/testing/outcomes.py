"""What a check says: findings, notes, and the outcome as a whole. Nothing here imports TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from registry.errors import RegistryError

__all__ = ["Finding", "Inapplicable", "Note", "Outcome", "Status", "describe_error"]

Status = Literal["passed", "failed", "excluded", "inapplicable"]


@dataclass(frozen=True)
class Finding:
    """A promise that is not kept.

    Args:
        promise: what must hold, as one sentence.
        seen: what was found instead.
        repair: what to do about it.
    """

    promise: str
    seen: str
    repair: str

    def __str__(self) -> str:
        return f"{self.promise}\n  seen:   {self.seen}\n  repair: {self.repair}"


@dataclass(frozen=True)
class Note:
    """Something that an author should know and that breaks no promise.

    Args:
        text: one sentence.
    """

    text: str


class Inapplicable(Exception):  # noqa: N818 - not an error: it ends a check that has nothing to look at
    """Raised by a check that does not concern the variant; its text says why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One check of one variant.

    Args:
        plugin: name of the plugin.
        variant: name of the encoder variant.
        check: name of the check, a key of `registry.testing.CHECKS`.
        status: `passed`; `failed`; `excluded` (it fails, and the variant's `EncoderSpec.exclusions` says why);
            `inapplicable` (the promise does not concern this variant).
        findings: what is not as promised; also of an excluded check.
        notes: what else an author should know.
        reason: why it is excluded or inapplicable.
    """

    plugin: str
    variant: str
    check: str
    status: Status
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The outcome as JSON-ready values."""
        return asdict(self)

    def __str__(self) -> str:
        head = f"{self.plugin}/{self.variant}, check {self.check!r}: {self.status}"
        reason = f" ({self.reason})" if self.reason else ""
        return "\n".join([f"{head}{reason}", *map(str, self.findings), *self.notes])


def describe_error(error: Exception, promise: str) -> Finding:
    """Turn what a check or the code under it raised into a finding.

    Args:
        error: what was raised.
        promise: what must hold; an error of atrous states its own rule.
    """
    if isinstance(error, RegistryError):
        return Finding(
            error.rule,
            "nothing more is known" if error.received is None else str(error.received),
            error.repair or "see the rule",
        )
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = "" if where is None else f" ({where.tb_frame.f_code.co_filename}:{where.tb_lineno})"
    text = " ".join(str(error).split())
    return Finding(
        promise,
        f"{type(error).__name__}: {text[:1000]}{place}",
        "correct the plugin; if the place is not in it, report this as a defect of atrous",
    )
