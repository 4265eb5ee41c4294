"""Output stride by surgery on a graph: late strides become atrous rates, every branch in step.

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

from collections.abc import Collection, Mapping
from typing import Any

from registry.backend import keras, require_keras_model
from registry.errors import ModelError
from registry.models.graph import Graph, Node
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D
from registry.models.padded import AtrousSeparableConv2D, PaddedAtrousConv2D, PaddedAtrousDepthwiseConv2D
from registry.models.pooling import AtrousAveragePooling2D, AtrousMaxPooling2D
from registry.models.sampling import Samplings, Window, refusal, sample, stage_ends, window_of

__all__ = ["dilate", "pyramid_of_graph", "with_output_stride"]

layers = keras.layers
Pair = tuple[int, int]

# (as it is, with an atrous rate, with padding of its own)
_FORMS = (
    (layers.Conv2D, AtrousConv2D, PaddedAtrousConv2D),
    (layers.DepthwiseConv2D, AtrousDepthwiseConv2D, PaddedAtrousDepthwiseConv2D),
    (layers.SeparableConv2D, AtrousSeparableConv2D, AtrousSeparableConv2D),
)


def with_output_stride(
    model: Any,
    output_stride: int,
    *,
    levels: Mapping[str, str] | None = None,
    pixelwise: Collection[Any] = (),
) -> Any:
    """Turn the late strides of a network into atrous rates (arXiv:1706.05587, section 3.1).

    Subsampled, the features of the result equal those of `model` wherever no padding is seen. Layers keep their
    names, and weights their shapes, order and values, so that files of weights load as before.

    Args:
        model: functional `tf_keras.Model` of one image input, a classifier or an encoder.
        output_stride: 8, 16 or 32, the stride of the deepest map.
        levels: layers at which the stages end, `{"P2": "conv2_block3_out", …}`; None finds them in the graph.
        pixelwise: classes of layers, not known here, that treat every pixel alike.

    Returns:
        A `tf_keras.Model` with weights of its own. Models nested in `model` are flattened. Its `pyramid_outputs`,
        level → tensor, make it an `image_encoder`; it has none where `levels` is None and the graph does not tell.

    Raises:
        ModelError: a layer cannot be dilated; all such are named.
    """
    require_keras_model(model, "model")
    if output_stride not in (8, 16, 32):
        raise ModelError(
            "an output stride is 8, 16 or 32", received=output_stride, repair="choose one of them"
        )
    graph = Graph.of(_functional(model), flatten=True)
    shared = sorted({node.name for node in graph if node.weights} - _layer_names(model))
    if shared:
        raise ModelError(
            "a layer with weights must be applied once: at two places it could need two atrous rates",
            received=f"{shared[0]}, a second application of a layer of {model.name!r}",
            repair="build the model with a layer for each place",
        )
    before = sample(graph, pixelwise=pixelwise)
    deepest = max((grid.stride for grid in before.grids.values() if grid), default=1)
    if deepest < output_stride:
        raise ModelError(
            "an output stride is at most that of the network",
            received=f"{output_stride} for {model.name!r}, whose maps reach stride {deepest}",
            repair=f"ask for {deepest} or less",
        )
    if levels is None:
        try:
            levels = stage_ends(graph, before)
        except ModelError:
            levels = {}
    dilate(graph, output_stride, pixelwise=pixelwise)
    result = graph.to_keras()
    if levels:
        pyramid = {level: _layer(result, name).output for level, name in levels.items()}
        # Keras must not track the mapping as a part to save.
        object.__setattr__(result, "pyramid_outputs", pyramid)
    return result


def pyramid_of_graph(model: Any) -> dict[str, Any]:
    """Find the pyramid of an undilated network: the tensor at which each stage ends.

    A level is the last tensor of its stride that everything after it is computed from. Global pooling, dense layers
    and what else follows the last map do not count.

    Args:
        model: functional `tf_keras.Model` of one image input, flat.

    Returns:
        Level → `KerasTensor` (batch, height, width, channels), for those of P1 … P5 that exist.

    Raises:
        ModelError: the model is not flat, or branches lead past every tensor of a stride.
    """
    require_keras_model(model, "model")
    graph = Graph.of(_functional(model), with_weights=False)
    return {level: _layer(model, name).output for level, name in stage_ends(graph, sample(graph)).items()}


def dilate(graph: Graph, output_stride: int, *, pixelwise: Collection[Any] = ()) -> None:
    """Turn late strides of a graph into atrous rates, in place and node by node: none is added or taken out.

    Args:
        graph: of one image input, flat.
        output_stride: stride of the deepest map.
        pixelwise: further classes of layers that treat every pixel alike.

    Raises:
        ModelError: a layer cannot be dilated; all such are named.
    """
    found = sample(graph, output_stride, pixelwise=pixelwise)
    if not found.held:
        return
    if found.refused:
        raise refusal(graph, found.refused)
    offsets = _Offsets(graph, found)
    for node in graph.sorted():
        grid = found.grids[node.name]
        window = window_of(node)
        if grid is None or grid.rate == 1:
            continue
        if window is not None:
            _dilate_window(graph, node, window, found, offsets)
        elif node.is_a(layers.ZeroPadding2D, layers.Cropping2D) and node.name not in offsets.absorbed:
            key = "padding" if node.is_a(layers.ZeroPadding2D) else "cropping"
            scaled = tuple(tuple(extent * grid.rate for extent in axis) for axis in node.config[key])
            node.config = {**node.config, key: scaled}


class _Offsets:
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


def _dilate_window(graph: Graph, node: Node, window: Window, found: Samplings, offsets: _Offsets) -> None:
    source = found.grids[node.inputs[0]]
    assert source is not None
    rate = source.rate
    if node.name not in found.held:
        before = (window.before[0] * rate, window.before[1] * rate)
        after = (window.after[0] * rate, window.after[1] * rate)
        _replace(node, window, rate, before, after)
        return
    before, after = offsets.padding(node.name)
    pad = graph[node.inputs[0]]
    if pad.name not in offsets.absorbed:
        _replace(node, window, rate, before, after)
        return
    if window.pools or not _is_same(window, rate, before, after):
        # By hand, as in the strided network: what is pooled there are zeros, too.
        _replace(node, window, rate, (0, 0), (0, 0))
        edges = tuple(zip(before, after, strict=True))
        if pad.is_a(layers.ZeroPadding2D):
            pad.config = {**pad.config, "padding": edges}
        return
    _replace(node, window, rate, before, after)
    pad.layer = layers.Activation
    pad.config = {"name": pad.name, "dtype": pad.config["dtype"], "activation": "linear"}


def _replace(node: Node, window: Window, rate: int, before: Pair, after: Pair) -> None:
    """Give a node stride 1, the atrous rate and that padding."""
    dilation = (window.dilation[0] * rate, window.dilation[1] * rate)
    if window.taps == (1, 1):
        if window.pools:
            node.layer = layers.Activation
            node.config = {"name": node.name, "dtype": node.config["dtype"], "activation": "linear"}
        else:
            node.config = {**node.config, "strides": (1, 1)}
        return
    if _is_same(window, rate, before, after):
        padding, edges = "same", None
    elif before == after == (0, 0):
        padding, edges = "valid", None
    else:
        padding, edges = "valid", tuple(zip(before, after, strict=True))
    if window.pools:
        _replace_pooling(node, window, dilation[0], padding, edges)
        return
    plain, atrous, padded = next(forms for forms in _FORMS if node.is_a(forms[0]))
    config = {key: value for key, value in node.config.items() if key != "edges"}
    node.config = {**config, "strides": (1, 1), "dilation_rate": dilation, "padding": padding}
    node.layer = atrous if max(dilation) > 1 or node.config.get("groups", 1) > 1 else plain
    if edges is not None:
        node.layer = padded
        node.config["edges"] = edges


def _replace_pooling(node: Node, window: Window, rate: int, padding: str, edges: Any) -> None:
    if rate == 1 and edges is None:
        node.config = {**node.config, "strides": (1, 1), "padding": padding}
        return
    maximum = node.is_a(layers.MaxPooling2D, AtrousMaxPooling2D)
    node.layer = AtrousMaxPooling2D if maximum else AtrousAveragePooling2D
    node.config = {
        "name": node.name,
        "dtype": node.config["dtype"],
        "rate": rate,
        "pool_size": window.taps,
        "taps_before": tuple(first // rate for first, _ in edges) if edges else None,
        "padding": "valid" if padding == "valid" and edges is None else "same",
    }


def _is_same(window: Window, rate: int, before: Pair, after: Pair) -> bool:
    """Whether TensorFlow's `same` padding of the dilated window, centred for pooling, is this one."""
    totals = [reach * rate for reach in window.reach]
    if any(first + last != total for first, last, total in zip(before, after, totals, strict=True)):
        return False
    if window.pools:
        steps = [step * rate for step in window.dilation]
        centred = [(taps - 1) // 2 * step for taps, step in zip(window.taps, steps, strict=True)]
    else:
        centred = [total // 2 for total in totals]
    return list(before) == centred


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
    return (
        Window(window.taps, window.stride, window.dilation, (top, left), (bottom, right), window.pools),
        pad,
    )


def _shared_padding(pad: str, readers: list[str]) -> ModelError:
    return ModelError(
        "padding before a stride that becomes a rate must belong to windows that need the same",
        received=f"{pad}, read by {', '.join(readers)}",
        repair="give each of them a padding layer of its own",
    )


def _functional(model: Any) -> Any:
    if not getattr(model, "_is_graph_network", False):
        raise ModelError(
            "`model` must be a functional model: its graph is rebuilt layer by layer",
            received=f"{type(model).__name__} {model.name!r} without a functional graph",
            repair="build it with tf_keras.Model(inputs, outputs)",
        )
    return model


def _layer_names(model: Any) -> set[str]:
    return {layer.name for layer in model._flatten_layers()}


def _layer(model: Any, name: str) -> Any:
    try:
        return model.get_layer(name)
    except ValueError as error:
        raise ModelError(
            "a pyramid level is named by a layer of the model",
            received=name,
            repair=f"choose one of the {len(model.layers)} layers of {model.name!r}",
        ) from error
