"""A 1×1 convolution of a concatenation is a sum: W·[a; b] = Wₐ·a + W_b·b.

Split where a block of the concatenation was made large by resizing: its share of the sum is computed small.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from registry.backend import keras
from registry.models.layers import ResizeLike
from registry.rewrites.graph import Graph, Node, Ref

__all__ = ["split_image_pooling", "split_upsampled_blocks"]


def split_image_pooling(graph: Graph) -> int:
    """Add the image-pooling branch as a bias: W·[a; resize(p)] + b = W_a·a + (W_p·p + b), p of one pixel.

    The bilinear resize of one pixel repeats it, so neither the resize nor its share of the concatenation is
    needed; the addition broadcasts.

    Returns:
        How many branches were split off.
    """
    return _split(graph, _single_pixel)


def split_upsampled_blocks(graph: Graph) -> int:
    """Convolve before bilinear upsampling: W·[up(a); b] + β = up(W_a·a) + (W_b·b + β).

    Exact, since a 1×1 convolution mixes channels and upsampling mixes pixels. Pays where the block has at least
    as many channels as the result, or else more would be upsampled than before.

    Returns:
        How many blocks were split off.
    """
    return _split(graph, _upsampled)


def _single_pixel(graph: Graph, block: Node, filters: int) -> tuple[str, Node | None] | None:
    """The pixel behind a block that repeats one, and nothing to resize its share with."""
    if not block.is_a(ResizeLike, keras.layers.UpSampling2D):
        return None
    source = graph[block.inputs[0]]
    return (source.name, None) if source.shape[1:3] == (1, 1) else None


def _upsampled(graph: Graph, block: Node, filters: int) -> tuple[str, Node | None] | None:
    """The map behind an upsampled block, and the upsampling that its share goes through."""
    if not block.is_a(keras.layers.UpSampling2D) or (block.shape[-1] or 0) < filters:
        return None
    return block.inputs[0], block


def _split(graph: Graph, source_of: Any) -> int:
    count = 0
    for node in graph:
        if not node.is_pointwise:
            continue
        concatenation = graph[node.inputs[0]]
        if (
            not concatenation.is_a(keras.layers.Concatenate)
            or graph.only_consumer(concatenation.name) is not node
        ):
            continue
        blocks = [graph[name] for name in concatenation.inputs]
        found = [source_of(graph, block, node.config["filters"]) for block in blocks]
        # Something must remain that has the full size.
        if not any(found) or all(found):
            continue
        _rewrite(graph, node, concatenation, blocks, found)
        count += sum(item is not None for item in found)
    return count


def _rewrite(
    graph: Graph,
    node: Node,
    concatenation: Node,
    blocks: list[Node],
    found: list[tuple[str, Node | None] | None],
) -> None:
    edges = np.cumsum([0, *(block.shape[-1] for block in blocks)])
    shares = [node.weights[0][:, :, low:high] for low, high in itertools.pairwise(edges)]
    kept = [index for index, item in enumerate(found) if item is None]
    bias = node.weights[1] if node.config["use_bias"] else None

    # The bias goes with the smallest summand.
    summands: list[str] = []
    sizes = [math.inf if item is None else _pixels(graph[item[0]]) for item in found]
    biased = int(np.argmin(sizes))
    for index, item in enumerate(found):
        if item is None:
            continue
        source, resize = item
        share = _convolution(
            graph,
            f"{node.name}_{blocks[index].name}",
            node,
            source,
            shares[index],
            bias if index == biased else None,
        )
        if resize is not None:
            share = graph.add(
                Node(
                    name=f"{share.name}_upsampling",
                    layer=resize.layer,
                    config=resize.config,
                    arguments=(Ref(share.name),),
                    shape=(*resize.shape[:3], node.config["filters"]),
                )
            )
        summands.append(share.name)

    rest = (
        blocks[kept[0]].name if len(kept) == 1 else _joined(graph, concatenation, [blocks[i] for i in kept])
    )
    kernel = np.concatenate([shares[index] for index in kept], axis=2)
    main = _convolution(graph, f"{node.name}_main", node, rest, kernel, None)
    total = _sum(graph, node, [main.name, *summands])
    graph.redirect(node.name, total)
    del graph.nodes[node.name]


def _joined(graph: Graph, concatenation: Node, blocks: list[Node]) -> str:
    joined = graph.add(
        Node(
            name=concatenation.name,
            layer=concatenation.layer,
            config=concatenation.config,
            arguments=([Ref(block.name) for block in blocks],),
            shape=(*concatenation.shape[:3], sum(block.shape[-1] or 0 for block in blocks)),
        )
    )
    return joined.name


def _convolution(
    graph: Graph, name: str, like: Node, source: str, kernel: np.ndarray, bias: np.ndarray | None
) -> Node:
    config: dict[str, Any] = {**like.config, "use_bias": bias is not None, "activation": "linear"}
    return graph.add(
        Node(
            name=name,
            layer=like.layer,
            config=config,
            weights=[kernel] if bias is None else [kernel, bias],
            arguments=(Ref(source),),
            shape=(*graph[source].shape[:3], like.config["filters"]),
        )
    )


def _sum(graph: Graph, node: Node, names: list[str]) -> str:
    """Add the summands two by two, then apply the convolution's activation."""
    total = names[0]
    for name in names[1:]:
        layer = keras.layers.Add()
        total = graph.add(
            Node(
                name=f"{node.name}_sum",
                layer=type(layer),
                config=layer.get_config(),
                arguments=([Ref(total), Ref(name)],),
                shape=node.shape,
            )
        ).name
    if node.config["activation"] == "linear":
        return total
    layer = keras.layers.ReLU(max_value=6.0 if node.config["activation"] == "relu6" else None)
    if node.config["activation"] not in ("relu", "relu6"):
        layer = keras.layers.Activation(node.config["activation"])
    return graph.add(
        Node(
            name=f"{node.name}_activation",
            layer=type(layer),
            config=layer.get_config(),
            arguments=(Ref(total),),
            shape=node.shape,
        )
    ).name


def _pixels(node: Node) -> float:
    height, width = node.shape[1:3]
    return math.inf if height is None or width is None else height * width
