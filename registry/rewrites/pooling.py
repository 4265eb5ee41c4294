"""Averages in the operation that integer delegates have."""

from __future__ import annotations

import math

from registry.backend import keras
from registry.models.pooling import ConvolvedAveragePooling2D
from registry.rewrites.graph import Graph, Node

__all__ = ["average_by_convolution"]

_MOST_TAPS = 25
"""The kernel holds a byte for each tap and channel: of a 49×49 window, megabytes."""


def average_by_convolution(graph: Graph) -> int:
    """Average a window of n pixels by a depthwise convolution whose weights are all 1/n.

    XNNPACK has no integer AVERAGE_POOL_2D: each one leaves the delegate and cuts the network in two. Its depthwise
    convolution it has, and one value in a kernel is exact in any number of bits. Only where every window lies inside of
    the map: at a border, `same` padding divides by the pixels that are there, and a kernel by n. Large windows stay:
    their kernels would be most of the file.

    Returns:
        How many poolings were rewritten.
    """
    poolings = [node for node in graph if _has_whole_windows(graph, node)]
    for node in poolings:
        node.layer = ConvolvedAveragePooling2D
    return len(poolings)


def _has_whole_windows(graph: Graph, node: Node) -> bool:
    if node.layer is not keras.layers.AveragePooling2D or node.config["data_format"] == "channels_first":
        return False
    # TensorFlow's depthwise convolution has one stride for both axes.
    if math.prod(node.config["pool_size"]) > _MOST_TAPS or len(set(node.config["strides"])) > 1:
        return False
    if node.config["padding"] == "valid":
        return True
    sides = graph[node.inputs[0]].shape[1:3]
    return all(
        side is not None and (-(-side // stride) - 1) * stride + taps <= side
        for side, taps, stride in zip(sides, node.config["pool_size"], node.config["strides"], strict=True)
    )
