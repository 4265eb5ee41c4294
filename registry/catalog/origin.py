"""Where a value of a preset came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["DEFAULT", "Origin", "dotted", "shown_path"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The place that set a value.

    Args:
        kind: a line of a file, the schema's default, an override of the caller, or an inline mapping.
        file: the file, for kind `file`.
        line: line in the file, from 1.
        column: column in the line, from 1.
        name: the key as the caller wrote it, for kind `override`; what the mapping is, for kind `inline`.
        label: the file as shown where space is short.
    """

    kind: Literal["file", "default", "override", "inline"]
    file: Path | None = None
    line: int = 0
    column: int = 0
    name: str = ""
    label: str = ""

    def __str__(self) -> str:
        if self.file is not None:
            return f"{shown_path(self.file)}:{self.line}:{self.column}"
        if self.kind == "override":
            return f"override {self.name}"
        return f"inline {self.name or 'preset'}" if self.kind == "inline" else self.kind

    @property
    def note(self) -> str:
        """Short form for the margin of a listing."""
        if self.kind == "file":
            return f"{self.label}:{self.line}"
        return self.kind


DEFAULT = Origin("default")


def shown_path(path: Path) -> str:
    """A path as messages show it: relative to the working directory when it lies beneath, else whole."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # OSError: the working directory was removed
        return str(path)


def dotted(path: tuple[str | int, ...]) -> str:
    """Write a path of keys and indices as `labels[0].color`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
