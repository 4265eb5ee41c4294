"""The first convolution reads three channels, which wastes most of an integer kernel's lanes."""

from __future__ import annotations

from typing import Any

import numpy as np

from registry.backend import keras
from registry.models.layers import SpaceToDepth
from registry.rewrites.graph import Graph, Node, Ref

__all__ = ["fold_stem_into_depth"]

# Kernels for integers work on 4 or 8 channels at a time; from there on nothing is gained.
_FEW_CHANNELS = 4


def fold_stem_into_depth(graph: Graph) -> int:
    """Let a stride-2 convolution of few channels read 2×2 squares: w ∗₂ x = w' ∗ space_to_depth(x).

    Output pixel i reads the input pixels 2i + a for the taps a of its kernel. In space-to-depth's map, input pixel
    2j + d is channel block d of pixel j, so tap a = 2·m + d becomes tap m of block d; where no tap falls, w' is 0.
    A padded 7×7 kernel on 3 channels becomes a 4×4 kernel on 12: 192 multiplications per output for 147, but of
    full lanes.

    Returns:
        How many convolutions were rewritten.
    """
    count = 0
    for node in graph:
        if not _qualifies(node):
            continue
        source = graph[node.inputs[0]]
        padding = _own_padding(node, source.shape)
        padded = (
            source if source.is_a(keras.layers.ZeroPadding2D) and node.config["padding"] == "valid" else None
        )
        if padded is not None and graph.only_consumer(padded.name) is not node:
            padded = None
        if padded is not None:
            padding = padded.config["padding"]
            source = graph[padded.inputs[0]]
        height, width, channels = (side or 1 for side in source.shape[1:])
        sides = (height, width)  # an open side counts as odd
        if height % 2 or width % 2 or channels > _FEW_CHANNELS:
            continue
        if not _keeps_size(node, sides, padding):
            continue
        _rewrite(graph, node, source, padding)
        count += 1
    return count


def _qualifies(node: Node) -> bool:
    return (
        node.is_a(keras.layers.Conv2D)
        and not node.is_a(keras.layers.DepthwiseConv2D)
        and tuple(node.config["strides"]) == (2, 2)
        and tuple(node.config["dilation_rate"]) == (1, 1)
        and node.config["groups"] == 1
    )


def _own_padding(node: Node, shape: Any) -> tuple[tuple[int, int], ...]:
    """Rows and columns that the convolution itself adds before and after."""
    if node.config["padding"] == "valid" or None in shape[1:3]:
        return ((0, 0), (0, 0))
    totals = [
        max(size - 2 + side % 2, 0) for size, side in zip(node.config["kernel_size"], shape[1:3], strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


def _keeps_size(node: Node, sides: Any, padding: Any) -> bool:
    """Whether there is one output pixel for each 2×2 square."""
    return all(
        (side + sum(pads) - size) // 2 + 1 == side // 2
        for side, size, pads in zip(sides, node.config["kernel_size"], padding, strict=True)
    )


def _rewrite(graph: Graph, node: Node, source: Node, padding: Any) -> None:
    kernel, reach = _deep_kernel(node.weights[0], [before for before, _ in padding])
    height, width, channels = (
        side or 0 for side in source.shape[1:]
    )  # fixed, or it would not have qualified
    squares = SpaceToDepth(2)
    x = graph.add(
        Node(
            name=f"{node.name}_squares",
            layer=SpaceToDepth,
            config=squares.get_config(),
            arguments=(Ref(source.name),),
            shape=(source.shape[0], height // 2, width // 2, channels * 4),
        )
    )
    pads = tuple((-low, high) for low, high in reach)
    if any(any(pair) for pair in pads):
        layer = keras.layers.ZeroPadding2D(pads)
        x = graph.add(
            Node(
                name=f"{node.name}_squares_pad",
                layer=type(layer),
                config=layer.get_config(),
                arguments=(Ref(x.name),),
                shape=(x.shape[0], height // 2 + sum(pads[0]), width // 2 + sum(pads[1]), channels * 4),
            )
        )
    node.weights = [kernel, *node.weights[1:]]
    node.config = {**node.config, "kernel_size": kernel.shape[:2], "strides": (1, 1), "padding": "valid"}
    node.arguments = (Ref(x.name),)


def _deep_kernel(kernel: np.ndarray, before: list[int]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The kernel on space-to-depth's map, and per axis the first and last square that it reads."""
    rows, columns, channels, filters = kernel.shape
    reach = [((-pad) // 2, (size - 1 - pad) // 2) for size, pad in zip((rows, columns), before, strict=True)]
    deep = np.zeros((*(high - low + 1 for low, high in reach), 2, 2, channels, filters), kernel.dtype)
    for row in range(rows):
        for column in range(columns):
            (m, d), (n, e) = divmod(row - before[0], 2), divmod(column - before[1], 2)
            deep[m - reach[0][0], n - reach[1][0], d, e] = kernel[row, column]
    return deep.reshape(*deep.shape[:2], 4 * channels, filters), reach
