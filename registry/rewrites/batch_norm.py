"""Batch normalization disappears into the convolution before it."""

from __future__ import annotations

import numpy as np

from registry.backend import keras
from registry.rewrites.graph import Graph, Node

__all__ = ["drop_identities", "fold_batch_normalization", "fuse_activations", "normalization_to_depthwise"]

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def drop_identities(graph: Graph) -> int:
    """Remove what does nothing at inference: dropout, linear activations, padding by 0, upsampling by 1.

    Returns:
        How many layers were removed.
    """
    removed = 0
    for node in graph:
        if len(node.inputs) == 1 and _is_identity(node):
            graph.remove(node)
            removed += 1
    return removed


def _is_identity(node: Node) -> bool:
    config = node.config
    return (
        node.is_a(keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.GaussianNoise)
        or (node.is_a(keras.layers.Activation) and config["activation"] == "linear")
        or (node.is_a(keras.layers.UpSampling2D) and tuple(config["size"]) == (1, 1))
        or (node.is_a(keras.layers.ZeroPadding2D) and not np.any(config["padding"]))
    )


def fold_batch_normalization(graph: Graph) -> int:
    """Fold γ (w∗x + b - μ) / √(σ² + ε) + β into w' = w·s and b' = β + (b - μ)·s, where s = γ / √(σ² + ε).

    Applies where the normalization alone reads a linear convolution, depthwise or not.

    Returns:
        How many normalizations were folded.
    """
    folded = 0
    for node in graph:
        if not node.is_a(keras.layers.BatchNormalization):
            continue
        source = graph[node.inputs[0]]
        if (
            not source.is_a(*_CONVOLUTIONS)
            or source.config["activation"] != "linear"
            or graph.only_consumer(source.name) is not node
        ):
            continue
        scale, offset = affine_of(node)
        kernel = source.weights[0].astype(np.float64)
        bias = source.weights[1].astype(np.float64) if source.config["use_bias"] else 0.0
        if source.is_a(keras.layers.DepthwiseConv2D):
            kernel = kernel * scale.reshape(kernel.shape[2:])
        else:
            kernel = kernel * scale
        source.weights = [kernel.astype(np.float32), (offset + bias * scale).astype(np.float32)]
        source.config = {**source.config, "use_bias": True}
        graph.remove(node)
        folded += 1
    return folded


def affine_of(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset per channel (float64) that a batch normalization applies at inference."""
    values = iter(weight.astype(np.float64) for weight in node.weights)
    gamma = next(values) if node.config["scale"] else 1.0
    beta = next(values) if node.config["center"] else 0.0
    mean, variance = next(values), next(values)
    scale = gamma / np.sqrt(variance + node.config["epsilon"])
    return scale, beta - mean * scale


def normalization_to_depthwise(graph: Graph) -> int:
    """Write a normalization that follows no convolution (ResNetV2's pre-activation) as x·s + o.

    A depthwise 1×1 convolution with bias: one operation, into which an activation fuses, in place of a
    multiplication and an addition.

    Returns:
        How many were rewritten.
    """
    rewritten = 0
    for node in graph:
        if not node.is_a(keras.layers.BatchNormalization):
            continue
        scale, offset = affine_of(node)
        layer = keras.layers.DepthwiseConv2D(1, name=node.name)
        node.layer, node.config = type(layer), layer.get_config()
        node.weights = [scale.reshape(1, 1, -1, 1).astype(np.float32), offset.astype(np.float32)]
        rewritten += 1
    return rewritten


def fuse_activations(graph: Graph) -> int:
    """Let a linear convolution apply the ReLU or ReLU6 that alone reads it.

    Returns:
        How many activations were fused.
    """
    fused = 0
    for node in graph:
        activation = _fusable_activation(node)
        if activation is None:
            continue
        source = graph[node.inputs[0]]
        if (
            source.is_a(*_CONVOLUTIONS)
            and source.config["activation"] == "linear"
            and graph.only_consumer(source.name) is node
        ):
            source.config = {**source.config, "activation": activation}
            graph.remove(node)
            fused += 1
    return fused


def _fusable_activation(node: Node) -> str | None:
    config = node.config
    if node.is_a(keras.layers.Activation) and config["activation"] in ("relu", "relu6"):
        return str(config["activation"])
    if node.is_a(keras.layers.ReLU) and not config["negative_slope"] and not config["threshold"]:
        limit = config["max_value"]
        return "relu" if limit is None else "relu6" if float(limit) == 6.0 else None
    return None
