"""A plan as SVG: boxes, arrows, numbered rewrites and their legend."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from registry.diagram.layout import COLUMN_GAP, Node, arrange
from registry.diagram.plan import Plan, Stage
from registry.diagram.rewrites import INTEGER_ONLY, REWRITES
from registry.sketch import Block

__all__ = ["draw"]

_WIDTH, _LINE, _PADDING, _MARGIN, _GAP = 178, 15, 8, 24, 16
_TITLE_LETTERS, _NOTE_LETTERS = 22, 29
_BADGE = 7.5
_HEADER = 62
_FRAME = 14
_RADIUS = 7
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_INK, _FAINT, _EDGE = "#1f2933", "#52606d", "#7b8794"
# kind → fill, outline
_COLORS = {
    "image": ("#ffffff", "#7b8794"),
    "stage": ("#dbeafe", "#3b82f6"),
    "convolution": ("#fef3c7", "#d97706"),
    "pooling": ("#d1fae5", "#059669"),
    "resizing": ("#ede9fe", "#7c3aed"),
    "joining": ("#e5e7eb", "#6b7280"),
    "classifier": ("#ffe4e6", "#e11d48"),
    "other": ("#ffffff", "#7b8794"),
}


@dataclass(frozen=True)
class _Box:
    """A box before it has a place."""

    name: str
    kind: str
    title: str
    lines: tuple[str, ...]
    rewrites: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    titles: list[str] = field(init=False)
    height: float = field(init=False)

    def __post_init__(self) -> None:
        titles = textwrap.wrap(self.title, _TITLE_LETTERS)
        object.__setattr__(self, "titles", titles)
        object.__setattr__(self, "height", (len(titles) + len(self.lines)) * _LINE + 2 * _PADDING)


def draw(plan: Plan) -> str:
    """Draw a plan.

    Returns:
        SVG, with the sizes and colours of a page; the same text for the same plan.
    """
    image = _image_box(plan)
    stages = [_stage_box(stage, plan) for stage in plan.stages]
    boxes = [_block_box(block, plan) for block in plan.blocks]
    levels, below = {}, 0.0
    for box in (image, *stages):
        levels[box.name] = below + box.height / 2
        below += box.height + _GAP + (_FRAME if box is image else 0)
    layout = arrange(levels, [Node(box.name, box.height, box.inputs) for box in boxes])
    centres = {**levels, **layout.centres}
    every = [image, *stages, *boxes]
    top = min(centres[box.name] - box.height / 2 for box in every)
    shift = _HEADER + _FRAME - top
    centres = {name: centre + shift for name, centre in centres.items()}
    bottom = max(centres[box.name] + box.height / 2 for box in every) + 2 * _FRAME
    lefts = dict.fromkeys((image.name, *(box.name for box in stages)), float(_MARGIN + _FRAME))
    first = _MARGIN + 2 * _FRAME + _WIDTH + COLUMN_GAP
    lefts |= {name: first + column * (_WIDTH + COLUMN_GAP) for name, column in layout.columns.items()}

    acting = [name for name in REWRITES if name in plan.rewrites]
    numbers = {name: number for number, name in enumerate(acting, 1)}
    width = first + layout.count * (_WIDTH + COLUMN_GAP) - COLUMN_GAP + _MARGIN
    picture = _Picture(width, bottom + _legend_height(numbers, plan) + _MARGIN)
    picture.text(_MARGIN, 30, plan.name, size=18, bold=True)
    picture.text(_MARGIN, 50, plan.subtitle, size=12, color=_FAINT)
    picture.frame(_MARGIN, stages, centres)
    for above, box in zip((image, *stages), stages, strict=False):
        x = lefts[box.name] + _WIDTH / 2
        picture.arrow([(x, centres[above.name] + above.height / 2), (x, centres[box.name] - box.height / 2)])
    for box in boxes:
        arrivals = {
            source: [wire + shift for wire in layout.wires[source, box.name]] for source in box.inputs
        }
        # From top to bottom, so that edges do not cross where they arrive.
        order = sorted(box.inputs, key=lambda source: [centres[source], *arrivals[source]][-1])
        for place, source in enumerate(order):
            wires = arrivals[source]
            end = centres[box.name] + (place - (len(box.inputs) - 1) / 2) * min(
                8.0, (box.height - 12) / len(box.inputs)
            )
            column = layout.columns.get(source, -1)
            lanes = [first + (column + 1 + step) * (_WIDTH + COLUMN_GAP) for step in range(len(wires))]
            picture.arrow(_route(lefts[source] + _WIDTH, centres[source], lanes, wires, lefts[box.name], end))
    for box in every:
        picture.box(box, lefts[box.name], centres[box.name], numbers)
    picture.legend(_MARGIN, bottom + 12, numbers, plan)
    return picture.xml()


def _image_box(plan: Plan) -> _Box:
    return _Box("image", "image", "image", (f"{plan.size[0]}×{plan.size[1]}, 3 channels",), ())


def _stage_box(stage: Stage, plan: Plan) -> _Box:
    facts = [f"stride {stage.stride}", _map_size(plan, stage.stride)]
    if stage.channels is not None:
        facts.insert(1, f"{stage.channels} ch")
    lines = [" · ".join(facts)]
    if stage.rate > 1:
        lines.append(f"atrous, rate {stage.rate}")
    title = stage.level + ("" if stage.channels is not None else " (not delivered)")
    return _Box(stage.level, "stage", title, tuple(lines), stage.rewrites)


def _block_box(block: Block, plan: Plan) -> _Box:
    facts = [f"stride {block.stride}"] if block.stride is not None else []
    facts += [f"{block.channels} ch"] if block.channels is not None else []
    facts += [_map_size(plan, block.stride)] if block.stride is not None else []
    lines = [*textwrap.wrap(block.note, _NOTE_LETTERS), *([" · ".join(facts)] if facts else [])]
    return _Box(block.name, block.kind, block.title, tuple(lines), block.rewrites, block.inputs)


def _map_size(plan: Plan, stride: int) -> str:
    return "×".join(str(-(-side // stride)) for side in plan.size)


def _route(
    left: float, start: float, lanes: Sequence[float], wires: Sequence[float], right: float, end: float
) -> list[tuple[float, float]]:
    """Corners of an edge that runs level through the columns and changes its height between them."""
    points = [(left, start)]
    y = start
    for lane, wire in zip((*lanes, right), (*wires, end), strict=True):
        bend = lane - COLUMN_GAP / 2
        if abs(wire - y) > 0.5:
            points += [(bend, y), (bend, wire)]
            y = wire
    return [*points, (right, y)]


def _legend_lines(numbers: dict[str, int], plan: Plan) -> Iterator[str]:
    for name in numbers:
        only = ", in files that compute with integers" if name in INTEGER_ONLY else ""
        yield f"{name}{only}: {REWRITES[name]}"
    if not plan.known:
        yield "The plugin of this architecture does not say what it consists of."


def _legend_height(numbers: dict[str, int], plan: Plan) -> float:
    return 40 + 19.0 * len(list(_legend_lines(numbers, plan))) + 19


class _Picture:
    """An SVG document to which shapes are added."""

    def __init__(self, width: float, height: float) -> None:
        self._root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {width:g} {height:g}",
                "width": f"{width:g}",
                "height": f"{height:g}",
                "font-family": _FONT,
            },
        )
        definitions = ET.SubElement(self._root, "defs")
        marker = ET.SubElement(
            definitions,
            "marker",
            {
                "id": "head",
                "viewBox": "0 0 8 8",
                "refX": "7",
                "refY": "4",
                "markerWidth": "7",
                "markerHeight": "7",
                "orient": "auto",
            },
        )
        ET.SubElement(marker, "path", {"d": "M0,0 L8,4 L0,8 z", "fill": _EDGE})
        # White of its own: the page around it may be dark.
        self._add("rect", width=width, height=height, fill="#ffffff")

    def _add(self, shape: str, **attributes: object) -> ET.Element:
        named = {
            key.replace("_", "-"): f"{value:g}" if isinstance(value, float) else str(value)
            for key, value in attributes.items()
        }
        return ET.SubElement(self._root, shape, named)

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: int = 12,
        bold: bool = False,
        color: str = _INK,
        anchor: str = "start",
    ) -> None:
        """One line of text whose baseline is at y."""
        weight = {"font_weight": "600"} if bold else {}
        line = self._add(
            "text", x=float(x), y=float(y), font_size=size, fill=color, text_anchor=anchor, **weight
        )
        line.text = content

    def frame(self, left: float, stages: Sequence[_Box], centres: dict[str, float]) -> None:
        """What encloses the encoder's stages."""
        top = centres[stages[0].name] - stages[0].height / 2 - _FRAME + 2
        bottom = centres[stages[-1].name] + stages[-1].height / 2 + _FRAME
        self._add(
            "rect",
            x=float(left),
            y=top,
            width=float(_WIDTH + 2 * _FRAME),
            height=bottom - top,
            rx=10,
            fill="#f8fafc",
            stroke="#cbd5e1",
            stroke_dasharray="5 4",
        )

    def arrow(self, points: Sequence[tuple[float, float]]) -> None:
        """A line with rounded corners and a head."""
        path = f"M{points[0][0]:g},{points[0][1]:g}"
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            for toward, letter in ((before, "L"), (after, "Q")):
                reach = min(_RADIUS, max(abs(toward[0] - corner[0]), abs(toward[1] - corner[1])) / 2)
                x = corner[0] + reach * _sign(toward[0] - corner[0])
                y = corner[1] + reach * _sign(toward[1] - corner[1])
                path += f" L{x:g},{y:g}" if letter == "L" else f" Q{corner[0]:g},{corner[1]:g} {x:g},{y:g}"
        path += f" L{points[-1][0]:g},{points[-1][1]:g}"
        self._add("path", d=path, fill="none", stroke=_EDGE, stroke_width=1.4, marker_end="url(#head)")

    def box(self, box: _Box, left: float, centre: float, numbers: dict[str, int]) -> None:
        """A box with its lines, and the numbers of what acts on it."""
        top = centre - box.height / 2
        fill, outline = _COLORS[box.kind]
        self._add(
            "rect",
            x=left,
            y=top,
            width=float(_WIDTH),
            height=box.height,
            rx=6,
            fill=fill,
            stroke=outline,
            stroke_width=1.2,
        )
        y = top + _PADDING + 11
        for lines, size, bold, color in ((box.titles, 12, True, _INK), (box.lines, 11, False, _FAINT)):
            for line in lines:
                self.text(left + 10, y, line, size=size, bold=bold, color=color)
                y += _LINE
        shown = [name for name in numbers if name in box.rewrites]
        for place, name in enumerate(reversed(shown)):
            self.badge(
                left + _WIDTH - 6 - place * (2 * _BADGE + 2), top - 2, numbers[name], name in INTEGER_ONLY
            )

    def badge(self, x: float, y: float, number: int, hollow: bool) -> None:
        """The number of a rewrite; hollow for those of integer files."""
        fill, ink = ("#ffffff", _INK) if hollow else (_INK, "#ffffff")
        self._add("circle", cx=x, cy=float(y), r=_BADGE, fill=fill, stroke=_INK, stroke_width=1)
        self.text(x, y + 3.5, str(number), size=10, bold=True, color=ink, anchor="middle")

    def legend(self, left: float, top: float, numbers: dict[str, int], plan: Plan) -> None:
        """What the numbers stand for."""
        self.text(left, top + 12, "Rewrites for inference, exact, where they act", size=12, bold=True)
        y = top + 34
        shown = list(numbers.items())
        for place, line in enumerate(_legend_lines(numbers, plan)):
            if place < len(shown):
                name, number = shown[place]
                self.badge(left + _BADGE, y - 4, number, name in INTEGER_ONLY)
            self.text(left + 24, y, line, size=11)
            y += 19
        note = f"Encoder {plan.encoder}{f', {plan.encoder_note}' if plan.encoder_note else ''}: "
        note += (
            "its stages as the pyramid contract has them; what acted in it, the report of an export lists."
        )
        self.text(left, y + 2, note, size=11, color=_FAINT)

    def xml(self) -> str:
        """The document."""
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
