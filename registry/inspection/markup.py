"""HTML from small functions. Every text is escaped, unless it was made here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from registry.inspection.style import STYLE

__all__ = ["Markup", "bar", "document", "element", "figure", "section", "stacked", "table", "tile"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An element; strings among its children are escaped, a trailing `_` of an attribute is dropped."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    inside = "".join(child if isinstance(child, Markup) else html.escape(str(child)) for child in children)
    return Markup(f"<{name}{shown}>{inside}</{name}>")


def document(title: str, *children: object) -> str:
    """A whole page that needs nothing beside it: no script, no font, no picture from elsewhere."""
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        # Names in files are escaped; should one slip through, the browser still runs and loads nothing.
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("title", f"{title} · atrous"),
        element("style", Markup(STYLE)),
    )
    body = element("body", element("main", *children))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def tile(value: object, label: str, kind: str = "") -> Markup:
    """A number in large, with what it is below."""
    return element("div", element("b", value), element("span", label), class_=f"tile {kind}".strip())


def figure(url: str, caption: str, kind: str = "mask") -> Markup:
    """A picture that was made here, with its caption; `photo` or `mask`, whose pixels stay sharp."""
    return element(
        "figure", Markup(f'<img alt="" src="{url}" class="{kind}">'), element("figcaption", caption)
    )


def section(title: str, *children: object, note: str = "") -> Markup:
    """A part of the page, with a line below the heading."""
    lead = (element("p", note, class_="note"),) if note else ()
    return element("section", element("h2", title), *lead, *children)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> Markup:
    """A table.

    Args:
        columns: headings.
        rows: cells, escaped unless they are `Markup`.
        numbers: indices of the columns that are set to the right.
    """

    def cells(kind: str, row: Sequence[object]) -> Markup:
        made = (
            element(kind, cell, class_="number") if place in numbers else element(kind, cell)
            for place, cell in enumerate(row)
        )
        return element("tr", *made)

    head = element("thead", cells("th", columns))
    body = element("tbody", *(cells("td", row) for row in rows))
    return element("div", element("table", head, body), class_="scroll")


def bar(share: float, kind: str = "plain") -> Markup:
    """A horizontal bar for 0…1."""
    width = f"width:{100 * min(1.0, max(0.0, share)):.1f}%"
    return element("div", element("div", class_=f"fill {kind}", style=width), class_="bar")


def stacked(title: str, shares: Sequence[tuple[str, float]]) -> Markup:
    """A bar of several parts, with a legend."""
    parts = (
        element("div", class_=f"fill {name}", style=f"width:{100 * share:.2f}%", title=f"{name} {share:.1%}")
        for name, share in shares
    )
    legend = (
        element("span", element("i", class_=f"dot {name}"), f"{name} {share:.1%}", class_="key")
        for name, share in shares
    )
    return element(
        "div",
        element("div", title, class_="label"),
        element("div", *parts, class_="stack"),
        element("div", *legend, class_="legend"),
        class_="stacked",
    )
