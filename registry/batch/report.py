"""What a run over many images did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["BatchReport", "Outcome"]

_LISTED = 20


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Args:
        key: names its results.
        source: where it comes from.
        summary: `mask`, `overlay`, `height`, `width` and `classes`; None if it failed.
        error: why it failed; None if it did not.
    """

    key: str
    source: str
    summary: dict[str, Any] | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """A line of `predictions.jsonl`."""
        if self.summary is None:
            return {"key": self.key, "source": self.source, "error": self.error}
        return {"key": self.key, "source": self.source, **self.summary}


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """A run over many images.

    Args:
        output: folder of the results.
        images: how many there are.
        segmented: how many this run segmented.
        skipped: how many were finished before.
        failed: those that could not be segmented; a later run tries them again.
        seconds: how long it took.
    """

    output: Path
    images: int
    segmented: int
    skipped: int
    failed: tuple[Outcome, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "output": str(self.output),
            "images": self.images,
            "segmented": self.segmented,
            "skipped": self.skipped,
            "failed": [{"source": one.source, "error": one.error} for one in self.failed],
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """A few lines for a terminal."""
        rate = f", {self.segmented / self.seconds:.1f} a second" if self.segmented and self.seconds else ""
        lines = [
            f"{self.images} images: {self.segmented} segmented in {self.seconds:.1f} s{rate}, "
            f"{self.skipped} finished before, {len(self.failed)} failed"
        ]
        lines += [
            f"failed   {one.source}: {' '.join((one.error or '').split())}" for one in self.failed[:_LISTED]
        ]
        if len(self.failed) > _LISTED:
            lines.append(f"         and {len(self.failed) - _LISTED} more")
        return "\n".join([*lines, f"results  {self.output / 'predictions.jsonl'}"])
