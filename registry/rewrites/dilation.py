"""Taps of dilated kernels that see only padding do no work."""

from __future__ import annotations

import numpy as np

from registry.models.layers import AtrousConv2D
from registry.rewrites.graph import Graph, Node

__all__ = ["drop_padding_taps"]


def drop_padding_taps(graph: Graph) -> int:
    """Cut a dilated `same` kernel to the taps that reach the map at its fixed size.

    A tap of a 3×3 kernel at rate r reads r pixels beside the output pixel; on a map of at most r pixels it always
    reads padding. At rate 18 on a 16×16 map only the centre is left, and the 3×3 convolution is a 1×1.

    Returns:
        How many kernels were cut.
    """
    return sum(_cut(node, graph[node.inputs[0]].shape[1:3]) for node in graph if _is_dilated(node))


def _is_dilated(node: Node) -> bool:
    return (
        node.is_a(AtrousConv2D)
        and node.config["padding"] == "same"
        and tuple(node.config["strides"]) == (1, 1)
        and all(size % 2 for size in node.config["kernel_size"])
    )


def _cut(node: Node, size: tuple[int | None, ...]) -> bool:
    kernel = node.weights[0]
    keep = [
        _reaching_taps(taps, rate, extent)
        for taps, rate, extent in zip(kernel.shape[:2], node.config["dilation_rate"], size, strict=True)
    ]
    if all(len(taps) == full for taps, full in zip(keep, kernel.shape[:2], strict=True)):
        return False
    kernel = kernel[np.ix_(*keep)]
    node.weights = [kernel, *node.weights[1:]]
    rates = [
        rate if taps > 1 else 1
        for taps, rate in zip(kernel.shape[:2], node.config["dilation_rate"], strict=True)
    ]
    node.config = {**node.config, "kernel_size": kernel.shape[:2], "dilation_rate": tuple(rates)}
    if max(rates) == 1:
        node.layer = AtrousConv2D.__mro__[1]
    return True


def _reaching_taps(taps: int, rate: int, extent: int | None) -> list[int]:
    centre = taps // 2
    if extent is None:
        return list(range(taps))
    return [tap for tap in range(taps) if abs(tap - centre) * rate < extent]
