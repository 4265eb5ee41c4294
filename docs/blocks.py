"""Blocks of Markdown, for docs/generate.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def fenced(text: str, language: str = "python") -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; vertical bars in cells are escaped."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def page(*blocks: str) -> str:
    """Blocks with an empty line between them; empty ones are left out."""
    return "\n\n".join(block.strip("\n") for block in blocks if block)
