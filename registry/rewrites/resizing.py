"""Bilinear upsampling moves to where the fewest channels are."""

from __future__ import annotations

from registry.backend import keras
from registry.rewrites.graph import Graph, Ref

__all__ = ["convolve_before_upsampling", "merge_nearest_upsampling"]


def convolve_before_upsampling(graph: Graph) -> int:
    """Swap a linear 1×1 convolution with the upsampling before it: W·up(x) + b = up(W·x + b).

    Exact: bilinear and nearest weights of each output pixel sum to 1, so a constant passes unchanged. Pays where
    the convolution has no more filters than its input has channels.

    Returns:
        How many were swapped.
    """
    swapped = 0
    for node in graph:
        config = node.config
        if not node.is_pointwise or config["activation"] != "linear":
            continue
        upsampling = graph[node.inputs[0]]
        if (
            not upsampling.is_a(keras.layers.UpSampling2D)
            or graph.only_consumer(upsampling.name) is not node
            or upsampling.shape[-1] < config["filters"]
        ):
            continue
        source = graph[upsampling.inputs[0]]
        graph.redirect(node.name, upsampling.name, but=[node.name])
        node.arguments = (Ref(source.name),)
        upsampling.arguments = (Ref(node.name),)
        upsampling.shape = node.shape
        node.shape = (*source.shape[:3], config["filters"])
        swapped += 1
    return swapped


def merge_nearest_upsampling(graph: Graph) -> int:
    """Compose nearest upsamplings: repeating pixels m times and then n times repeats them m·n times.

    Bilinear ones do not compose: ×2 after ×2 weighs four neighbours where ×4 weighs two.

    Returns:
        How many were merged into the next one.
    """
    merged = 0
    for node in graph:
        if not node.is_a(keras.layers.UpSampling2D) or node.config["interpolation"] != "nearest":
            continue
        first = graph[node.inputs[0]]
        if (
            first.is_a(keras.layers.UpSampling2D)
            and first.config["interpolation"] == "nearest"
            and graph.only_consumer(first.name) is node
        ):
            rows, columns = (a * b for a, b in zip(first.config["size"], node.config["size"], strict=True))
            node.config = {**node.config, "size": (rows, columns)}
            graph.remove(first)
            merged += 1
    return merged
