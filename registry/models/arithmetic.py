"""How much arithmetic a network does: multiply-accumulate operations, counted in its TensorFlow graph."""

from __future__ import annotations

import math
from typing import Any

from registry.backend import tf
from registry.errors import ModelError
from registry.models.native import traced_for_others

__all__ = ["count_macs"]


def count_macs(model: Any, size: tuple[int, int]) -> int:
    """Count the multiply-accumulates of one image: those of convolutions and matrix products.

    As in the tables of the papers, additions of biases, normalization, activations and resizes do not count. Taps of
    a kernel that fall on padding do.

    Args:
        model: `tf_keras.Model` of one image input (batch, height, width, channels).
        size: height and width in pixels.

    Raises:
        ModelError: the graph leaves a shape open at that size.
    """
    signature = tf.TensorSpec((1, *size, model.inputs[0].shape[-1]), model.inputs[0].dtype)
    with traced_for_others():  # a fallback of this device would be counted with its padding
        function = tf.function(lambda images: model(images, training=False)).get_concrete_function(signature)
    return sum(_macs(operation) for operation in function.graph.get_operations())


def _macs(operation: Any) -> int:
    kind = operation.type
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        kernel = _shape(operation.inputs[1], operation)
        per_output = math.prod(kernel[:3]) if kind == "Conv2D" else math.prod(kernel[:2])
        return math.prod(_shape(operation.outputs[0], operation)) * per_output
    if kind in ("MatMul", "BatchMatMulV2", "BatchMatMul"):
        left = _shape(operation.inputs[0], operation)
        transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        inner = left[-2] if transposed else left[-1]
        return math.prod(_shape(operation.outputs[0], operation)) * inner
    if kind == "Einsum":
        return _einsum_macs(operation)
    return 0


def _einsum_macs(operation: Any) -> int:
    """The product of the sizes of all labels."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        sizes |= dict(zip(term, _shape(tensor, operation), strict=True))
    return math.prod(sizes.values()) if len(terms) > 1 else 0


def _shape(tensor: Any, operation: Any) -> tuple[int, ...]:
    shape = tensor.shape
    if not shape.is_fully_defined():
        raise ModelError(
            "counting multiply-accumulates needs every shape",
            received=f"{operation.name} with a tensor of shape {shape}",
            repair="give a size that the model fixes all shapes for",
        )
    return tuple(shape)
