"""Weights by order, where names fail and the graph leaves no other order.

Keras loads its own `.h5` files by the order of layers, and some that tf_keras.applications publishes still carry the
names of an older Keras. Order alone is ambiguous between parallel layers. In a network whose layers with variables lie
on one path, each computes before the next, so every file of that network has them in this very order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.weights.arrays import Arrays

__all__ = ["renamed_by_order"]


def renamed_by_order(layers: Sequence[Any], arrays: Arrays, *, spare: int) -> dict[str, str] | None:
    """Which layer each name in a file means, told by order and shapes.

    Args:
        layers: the model's layers in topological order, as `model.layers` has them.
        arrays: file's layer name → arrays, in the file's order.
        spare: how many layers the file may have before the model's first and after its last one.

    Returns:
        File's name → layer's name, for a run of the file's layers that equals the model's by shapes. None if a name is
        known, layers of the model are parallel, or there is no such run or several.
    """
    targets = [layer for layer in layers if layer.weights]
    if any(layer.name in arrays for layer in targets) or not _lie_on_one_path(layers):
        return None
    expected = [[tuple(variable.shape) for variable in layer.weights] for layer in targets]
    received = [[tuple(array.shape) for array in held] for held in arrays.values()]
    surplus = len(received) - len(expected)
    if not 0 <= surplus <= spare:
        return None
    starts = [start for start in range(surplus + 1) if received[start : start + len(expected)] == expected]
    if len(starts) != 1:
        return None
    names = list(arrays)[starts[0] : starts[0] + len(expected)]
    return {name: layer.name for name, layer in zip(names, targets, strict=True)}


def _lie_on_one_path(layers: Sequence[Any]) -> bool:
    """Whether each layer with variables computes from the one before it, directly or not."""
    reached: dict[
        int, int
    ] = {}  # layer → number of the last layer with variables that it computes from or is
    count = 0
    for layer in layers:
        parents = layer.inbound_nodes[0].parent_nodes
        before = max((reached[id(node.layer)] for node in parents), default=0)
        if layer.weights:
            if before != count:
                return False
            count += 1
            before = count
        reached[id(layer)] = before
    return True
