"""Results of many tensors, two by two: what a file computes in between becomes a layer that can be rounded."""

from __future__ import annotations

from typing import Any

from registry.backend import keras, tf
from registry.models.activations import Scale
from registry.rewrites.graph import Graph, Node, Ref

__all__ = ["combine_in_pairs"]

_PAIRS = {layer: layer for layer in (keras.layers.Add, keras.layers.Multiply)} | {
    keras.layers.Average: keras.layers.Add
}


def combine_in_pairs(graph: Graph) -> int:
    """Add or multiply more than two tensors one after the other, and average by a sum: a + b + c = (a + b) + c.

    Exact, and in the order of Keras's own layers. TFLite's ADD and MUL take two tensors, so that these are the file's
    operations anyway; as layers of their own, their results have ranges.

    Returns:
        How many layers were taken apart.
    """
    count = 0
    for node in graph:
        pair, averages = _PAIRS.get(node.layer), node.layer is keras.layers.Average
        if pair is None or len(node.inputs) < (2 if averages else 3):
            continue
        names = list(node.inputs)
        last = len(names) - (1 if averages else 2)  # of the pairs that become new layers
        total = names[0]
        for name in names[1 : last + 1]:
            total = _paired(graph, node, pair, total, name)
        if averages:
            scale = Scale(1.0 / len(names))
            node.layer, node.config = Scale, {**scale.get_config(), "name": node.name}
            node.arguments = (Ref(total),)
        else:
            node.arguments = ([Ref(total), Ref(names[-1])],)
        count += 1
    return count


def _paired(graph: Graph, node: Node, pair: Any, first: str, second: str) -> str:
    layer = pair()
    shapes = (tf.TensorShape(graph[name].shape) for name in (first, second))
    return graph.add(
        Node(
            name=f"{node.name}_pair",
            layer=pair,
            config=layer.get_config(),
            arguments=([Ref(first), Ref(second)],),
            shape=tuple(tf.broadcast_static_shape(*shapes)),
        )
    ).name
