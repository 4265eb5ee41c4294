"""Branches in step: which padding a window needs that loses its stride.

In the strided network let a tensor be t, in the dilated one t'. With atrous rate r and offset o (for rows and columns
each),

    t[i] = t'[r·i + o]        wherever no padding is seen.

A convolution of stride s over t with its first tap p pixels before i·s, becomes one of stride 1 and taps r pixels
apart, the first of them P pixels before. Substituting, its output has rate r·s and offset o + P − r·p. Where tensors
meet, their offsets must be equal: a strided 3×3 convolution with `same` padding (p = 0 at even sizes) next to a strided
1×1 shortcut must keep P = 0, though `same` padding of the dilated kernel would give P = r. In a network without such
branches any P will do, and `same` padding is the one that costs nothing.
"""

from __future__ import annotations

from dataclasses import replace

from registry.backend import keras
from registry.errors import ModelError
from registry.models.graph import Graph, Node
from registry.models.sampling import Samplings, Window, window_of

__all__ = ["Offsets"]

layers = keras.layers
Pair = tuple[int, int]


class Offsets:
    """The offset of every tensor, and hence the padding of every window that loses its stride.

    Tensors that are connected without passing such a window form an island: they have one offset.

    Args:
        graph: of the strided network.
        found: what `sample` says of it at the output stride.
    """

    def __init__(self, graph: Graph, found: Samplings) -> None:
        self._graph, self._found = graph, found
        self._windows = {name: _window_with_padding(graph, graph[name]) for name in found.held}
        self.absorbed = {pad.name for _, pad in self._windows.values() if pad is not None}
        for name in self.absorbed:
            self._check_readers(graph[name])
        self._island = self._islands()
        self._offset = dict.fromkeys(self._island.values(), (0, 0))
        entries: dict[str, list[str]] = {}
        for node in graph.sorted():
            if node.name in found.held:
                entries.setdefault(self._island[node.name], []).append(node.name)
        for island in sorted(entries, key=self._rate):
            rows, columns = (self._agree(entries[island], axis) for axis in (0, 1))
            self._offset[island] = (rows, columns)
        for name in self.absorbed:
            self._check_agreement(name)

    def padding(self, name: str) -> tuple[Pair, Pair]:
        """Pixels before and after that the window of a held node needs, (rows, columns) each."""
        window, _ = self._windows[name]
        rate = self._rate_in(name)
        shift = [new - old for new, old in zip(self._of(name), self._of(self._source(name)), strict=True)]
        before = [move + rate * first for move, first in zip(shift, window.before, strict=True)]
        if _keeps_size(window):
            after = [rate * reach - first for reach, first in zip(window.reach, before, strict=True)]
        else:
            after = [rate * last for last in window.after]
        return (before[0], before[1]), (after[0], after[1])

    def _agree(self, names: list[str], axis: int) -> int:
        """The offset that all windows into an island can have; among these, the one of most `same` paddings."""
        choices = [self._choices(name, axis) for name in names]
        possible = set(choices[0]).intersection(*choices[1:])
        if not possible:
            raise ModelError(
                "branches that stride side by side must be able to see the same pixels",
                received=", ".join(names),
                repair="build the network with `same` padding in all of them, or in none",
            )
        return max(sorted(possible), key=lambda offset: sum(choice[offset] for choice in choices))

    def _choices(self, name: str, axis: int) -> dict[int, bool]:
        """Offset → whether it comes of `same` padding."""
        window, pad = self._windows[name]
        start, rate = self._of(self._source(name))[axis], self._rate_in(name)
        if not _keeps_size(window):
            return {start: True}
        step = rate * window.dilation[axis]
        total = step * (window.taps[axis] - 1)
        natural = total // 2 if not window.pools else step * ((window.taps[axis] - 1) // 2)
        start -= rate * window.before[axis]
        # A window that pools over zeros has to be padded by hand in any case.
        anyway = window.pools and pad is not None
        return {
            start + before: before == natural or anyway
            for before in range(0, total + 1, step if window.pools else 1)
        }

    def _islands(self) -> dict[str, str]:
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for node in self._graph.sorted():
            if self._found.grids[node.name] is None:
                continue
            parent[node.name] = node.name
            if node.name not in self._found.held:
                for source in node.inputs:
                    if source in parent:
                        parent[root(source)] = root(node.name)
        return {name: root(name) for name in parent}

    def _check_readers(self, pad: Node) -> None:
        readers = self._graph.consumers(pad.name)
        windows = {
            self._windows[reader.name][0] if reader.name in self._windows else None for reader in readers
        }
        shapes = {(w.taps, w.dilation, w.stride) if w else None for w in windows}
        if len(shapes) > 1 or pad.name in self._graph.outputs:
            raise _shared_padding(pad.name, [reader.name for reader in readers])

    def _check_agreement(self, pad: str) -> None:
        readers = [reader.name for reader in self._graph.consumers(pad)]
        if len({self.padding(name) for name in readers}) > 1:
            raise _shared_padding(pad, readers)

    def _source(self, name: str) -> str:
        return self._graph[name].inputs[0]

    def _of(self, name: str) -> Pair:
        return self._offset[self._island[name]]

    def _rate(self, name: str) -> int:
        grid = self._found.grids[name]
        return grid.rate if grid else 1

    def _rate_in(self, name: str) -> int:
        return self._rate(self._source(name))


def _keeps_size(window: Window) -> bool:
    """Whether a map of n·stride pixels gives one of n."""
    return all(
        reach + 1 - window.stride <= first + last
        for reach, first, last in zip(window.reach, window.before, window.after, strict=True)
    )


def _window_with_padding(graph: Graph, node: Node) -> tuple[Window, Node | None]:
    """The window of a held node, and the layer of zeros before it, whose pixels it counts as its own."""
    window = window_of(node)
    assert window is not None
    pad = graph[node.inputs[0]]
    if not pad.is_a(layers.ZeroPadding2D) or window.before != (0, 0) or window.after != (0, 0):
        return window, None
    (top, bottom), (left, right) = pad.config["padding"]
    return replace(window, before=(top, left), after=(bottom, right)), pad


def _shared_padding(pad: str, readers: list[str]) -> ModelError:
    return ModelError(
        "padding before a stride that becomes a rate must belong to windows that need the same",
        received=f"{pad}, read by {', '.join(readers)}",
        repair="give each of them a padding layer of its own",
    )
