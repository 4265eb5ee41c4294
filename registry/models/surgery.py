"""Output stride by surgery on a graph: late strides become atrous rates, layer by layer.

`registry.models.sampling` says which; `registry.models.alignment` keeps branches in step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from registry.backend import keras, require_keras_model
from registry.errors import ModelError
from registry.models.alignment import Offsets
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
    for node in graph.sorted():
        _make_native(node)
    if not found.held:
        return
    if found.refused:
        raise refusal(graph, found.refused)
    offsets = Offsets(graph, found)
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


def _make_native(node: Node) -> None:
    """Let a convolution that has an atrous rate of its own compute it in one operation."""
    forms = next((forms for forms in _FORMS if node.layer is forms[0]), None)
    window = window_of(node)
    if forms and window is not None and max(window.dilation) > 1:
        node.layer = forms[1]


def _dilate_window(graph: Graph, node: Node, window: Window, found: Samplings, offsets: Offsets) -> None:
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
