"""One thing that was looked at, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Diagnosis", "Finding", "Status"]

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Args:
        area: which part of the environment, for instance `packages`.
        subject: what was looked at.
        status: `ok`; `note`, worth knowing; or `problem`, which keeps atrous, or a part of it, from working.
        detail: what was found.
        repair: what to do about it.
    """

    area: str
    subject: str
    status: Status
    detail: str
    repair: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that was found.

    Args:
        findings: in the order of examination; those of an area follow each other.
        versions: version of each package that matters, where it is installed.
    """

    findings: tuple[Finding, ...]
    versions: Mapping[str, str]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What keeps atrous from working."""
        return tuple(finding for finding in self.findings if finding.status == "problem")

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "healthy": self.healthy,
            "versions": dict(self.versions),
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def __str__(self) -> str:
        """For a terminal: by area, what is wrong marked, repairs below it."""
        width = max((len(finding.subject) for finding in self.findings), default=0)
        lines: list[str] = []
        area = ""
        for finding in self.findings:
            if finding.area != area:
                area = finding.area
                lines += ["", area] if lines else [area]
            mark = {"ok": " ", "note": "·", "problem": "!"}[finding.status]
            lines.append(f"{mark} {finding.subject:<{width}}  {finding.detail}")
            if finding.repair:
                lines.append(f"  {'':<{width}}  repair: {finding.repair}")
        count = len(self.problems)
        lines += ["", "no problem found" if not count else f"{count} problem{'s' * (count > 1)} found"]
        return "\n".join(lines)
