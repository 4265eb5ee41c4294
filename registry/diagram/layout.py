"""Places for boxes: stages below each other on the left, blocks in columns to their right.

A column is left of another if something flows from it into the other. An edge that passes columns takes a place in each
of them, as a box would, so that it crosses no box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Layout", "Node", "arrange"]

COLUMN_GAP = 44
ROW_GAP = 16
_WIRE = 12
_SWEEPS = 8


@dataclass(frozen=True)
class Node:
    """A box to be placed.

    Args:
        name: unique.
        height: in pixels.
        inputs: names of stages and nodes that it reads.
    """

    name: str
    height: float
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Where everything lies.

    Args:
        columns: node → its column, the first one right of the stages being 0.
        centres: node → y of its centre.
        wires: (from, to) → y in each column that lies between them, from left to right.
        count: number of columns.
    """

    columns: Mapping[str, int]
    centres: Mapping[str, float]
    wires: Mapping[tuple[str, str], tuple[float, ...]]
    count: int


def arrange(stages: Mapping[str, float], nodes: Sequence[Node]) -> Layout:
    """Place nodes so that edges are short and cross no box.

    Args:
        stages: name → y of the centre, of what already has a place.
        nodes: in an order in which each reads only stages and nodes before it.
    """
    columns = _columns(nodes)
    count = max(columns.values()) + 1
    heights = {node.name: node.height for node in nodes}
    # What stands in each column, wires included, and what each reads in the column before.
    standing: list[list[str]] = [[] for _ in range(count)]
    reads: dict[str, list[str]] = {}
    chains: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        standing[columns[node.name]].append(node.name)
        for source in node.inputs:
            chains[source, node.name] = chain = [
                f"{source}→{node.name}@{column}"
                for column in range(columns.get(source, -1) + 1, columns[node.name])
            ]
            before = source
            for wire in chain:
                standing[int(wire.rpartition("@")[2])].append(wire)
                heights[wire] = _WIRE
                reads[wire] = [before]
                before = wire
            reads.setdefault(node.name, []).append(before)
    centres = _heights(stages, standing, reads, heights)
    return Layout(
        columns=columns,
        centres={node.name: centres[node.name] for node in nodes},
        wires={edge: tuple(centres[wire] for wire in chain) for edge, chain in chains.items()},
        count=count,
    )


def _columns(nodes: Sequence[Node]) -> dict[str, int]:
    """As far left as inputs allow, then as far right as readers do, where there is more than one place."""
    readers: dict[str, list[str]] = {}
    columns: dict[str, int] = {}
    for node in nodes:
        columns[node.name] = max(
            (columns[source] + 1 for source in node.inputs if source in columns), default=0
        )
        for source in node.inputs:
            readers.setdefault(source, []).append(node.name)
    for node in reversed(nodes):
        if node.name in readers and not any(source in columns for source in node.inputs):
            columns[node.name] = min(columns[reader] for reader in readers[node.name]) - 1
    return columns


def _heights(
    stages: Mapping[str, float],
    standing: Sequence[Sequence[str]],
    reads: Mapping[str, Sequence[str]],
    heights: Mapping[str, float],
) -> dict[str, float]:
    """Centres: the mean of what is read, or of the readers, then apart until nothing overlaps."""
    readers: dict[str, list[str]] = {}
    for name, sources in reads.items():
        for source in sources:
            readers.setdefault(source, []).append(name)
    centres = dict(stages)
    for column in standing:
        _spread(column, {name: _mean(reads[name], centres) for name in column}, heights, centres)
    for _ in range(_SWEEPS):
        for column in reversed(standing[:-1]):
            wanted = {
                name: (_mean(readers[name], centres) + _mean(reads[name], centres)) / 2
                if name in readers
                else centres[name]
                for name in column
            }
            _spread(column, wanted, heights, centres)
        for column in standing:
            _spread(column, {name: _mean(reads[name], centres) for name in column}, heights, centres)
    return centres


def _mean(names: Sequence[str], centres: Mapping[str, float]) -> float:
    return sum(centres[name] for name in names) / len(names)


def _spread(
    column: Sequence[str],
    wanted: Mapping[str, float],
    heights: Mapping[str, float],
    centres: dict[str, float],
) -> None:
    """Least squares under an order and least distances: neighbours that would overlap become one block."""
    order = sorted(column, key=lambda name: (wanted[name], column.index(name)))
    # Each block: its members' wanted places less their offsets in it, and the offsets.
    blocks: list[tuple[list[float], list[tuple[str, float]]]] = []
    for name in order:
        blocks.append(([wanted[name]], [(name, 0.0)]))
        while len(blocks) > 1:
            (first, members), (second, others) = blocks[-2:]
            (above, offset), below = members[-1], others[0][0]
            step = offset + (heights[above] + heights[below]) / 2 + ROW_GAP
            if _start(first) + step <= _start(second):
                break
            blocks[-2:] = [
                (
                    first + [place - step for place in second],
                    members + [(other, place + step) for other, place in others],
                )
            ]
    for places, members in blocks:
        for name, offset in members:
            centres[name] = _start(places) + offset


def _start(places: Sequence[float]) -> float:
    return sum(places) / len(places)
