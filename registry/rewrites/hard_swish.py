"""Hard-swish in the operations that integer delegates have."""

from __future__ import annotations

from registry.backend import keras
from registry.models.activations import HardGate, HardSwish, Scale
from registry.rewrites.graph import Graph, Node, Ref

__all__ = ["factor_hard_swish"]

_SIXTH = 1.0 / 6.0

_WITH_KERNEL = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)

# f(x·s) = f(x)·s for a factor s that is the same everywhere.
_HOMOGENEOUS = (
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.ZeroPadding2D,
)


def factor_hard_swish(graph: Graph) -> int:
    """Write x · relu6(x + 3) / 6 as a sum, a product, and a sixth that moves into the next kernels.

    XNNPACK has no integer HARD_SWISH: each one leaves the delegate, runs in a kernel that computes element by element,
    and cuts the network in two. Sum and product it has. The sixth is free where everyone who reads the result is
    linear in it: w ∗ (y/6) = (w/6) ∗ y. Means, zero padding and products with a tensor that does not carry the sixth
    (the gate of squeeze-excite) pass it on to the convolutions behind them. Where someone is not linear, or the result
    is an output, x is multiplied by it: (x/6) · relu6(x + 3), an order that the converter does not turn back.

    Returns:
        How many activations were rewritten.
    """
    count = 0
    for node in graph:
        if not node.is_a(HardSwish):
            continue
        (x,) = node.inputs
        kernels = _readers_with_kernel(graph, node)
        gate = _append(graph, node, x, HardGate(), "gate")
        if kernels is None:
            x = _append(graph, node, x, Scale(_SIXTH), "sixth").name
        else:
            for reader in kernels:
                reader.weights = [
                    reader.weights[0] * reader.weights[0].dtype.type(_SIXTH),
                    *reader.weights[1:],
                ]
        product = keras.layers.Multiply(name=node.name)
        node.layer, node.config = type(product), product.get_config()
        node.arguments, node.keywords = ([Ref(x), Ref(gate.name)],), {}
        count += 1
    return count


def _append(graph: Graph, node: Node, x: str, layer: object, suffix: str) -> Node:
    return graph.add(
        Node(
            name=f"{node.name}_{suffix}",
            layer=type(layer),
            config=layer.get_config(),  # type: ignore[attr-defined]  # every Keras layer has it
            arguments=(Ref(x),),
            shape=node.shape,
        )
    )


def _readers_with_kernel(graph: Graph, node: Node) -> list[Node] | None:
    """Convolutions that together take up a factor on the node's tensor; None if not all of it ends in them."""
    scaled, kernels, products = {node.name}, {}, []
    waiting = [node.name]
    while waiting:
        name = waiting.pop()
        readers = graph.consumers(name)
        if name in graph.outputs or not readers:
            return None
        for reader in readers:
            if reader.is_a(*_WITH_KERNEL):
                kernels[reader.name] = reader
            elif reader.is_a(keras.layers.Multiply) or reader.is_a(*_HOMOGENEOUS):
                if reader.is_a(keras.layers.Multiply):
                    products.append(reader)
                if reader.name not in scaled:
                    scaled.add(reader.name)
                    waiting.append(reader.name)
            else:
                return None
    if any(sum(name in scaled for name in product.inputs) != 1 for product in products):
        return None  # the factor would count twice
    return list(kernels.values())
