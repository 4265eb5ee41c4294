"""Fenced blocks of Markdown pages, for the tests that hold pages to what they show."""

import re
from dataclasses import dataclass

_BLOCK = re.compile(r"^(?:<!-- file: (\S+) -->\n)?( *)```(\w*)\n(.*?)^\2```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One of them, without the indentation of a list that it stands in.

    Args:
        language: the word after the fence.
        text: what is in it.
        file: the file that a comment before the fence says it is; or None.
    """

    language: str
    text: str
    file: str | None

    @property
    def named(self):
        """The file that its first line says it is to be saved as: `# my_preset.yaml`."""
        return re.match(r"# (\S+)\n", self.text)[1]


def fenced(page):
    """All blocks of a page, in their order."""
    return [
        Block(language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE), file or None)
        for file, indent, language, text in _BLOCK.findall(page)
    ]


def texts(page, language):
    """What blocks of one language hold, but for those that a comment names as files."""
    return [block.text for block in fenced(page) if block.language == language and block.file is None]


def unfenced(page):
    """A page without its blocks."""
    return _BLOCK.sub("", page)


def printed_as(shown):
    """What output must match that a page shows with ellipses: `…` for anything in a line, or for lines."""
    lines = ["(?:.*\n)*?" if line == "…" else f"{_line(line)}\n" for line in shown.splitlines()]
    return re.compile("".join(lines))


def _line(shown):
    return ".*?".join(map(re.escape, shown.split("…")))
