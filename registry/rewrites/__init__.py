"""Exact rewrites: from a trained model to an equal one that does less work at inference.

Each rewrite is a function on a `Graph` with its algebra in the docstring; it returns how often it applied. Equal
means up to float rounding. The inference form is what the exporter converts and what quantization trains on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from registry.rewrites.batch_norm import (
    drop_identities,
    fold_batch_normalization,
    fuse_activations,
    normalization_to_depthwise,
)
from registry.rewrites.concatenation import split_image_pooling, split_upsampled_blocks
from registry.rewrites.dilation import drop_padding_taps
from registry.rewrites.graph import Graph, Node, Ref
from registry.rewrites.hard_swish import factor_hard_swish
from registry.rewrites.pooling import average_by_convolution
from registry.rewrites.resizing import convolve_before_upsampling, merge_nearest_upsampling
from registry.rewrites.segmenter import FoldedSegmenter, drop_final_activation
from registry.rewrites.stem import fold_stem_into_depth
from registry.rewrites.sums import combine_in_pairs

__all__ = [
    "INTEGER_REWRITES",
    "REWRITES",
    "Activations",
    "FoldedSegmenter",
    "Graph",
    "Node",
    "Ref",
    "average_by_convolution",
    "drop_final_activation",
    "drop_padding_taps",
    "fold_stem_into_depth",
    "inference_form",
]

# In order: each finds what the ones before it have left.
REWRITES: tuple[Callable[[Graph], int], ...] = (
    drop_identities,
    fold_batch_normalization,
    fuse_activations,
    normalization_to_depthwise,
    fuse_activations,
    split_image_pooling,
    split_upsampled_blocks,
    convolve_before_upsampling,
    merge_nearest_upsampling,
    drop_padding_taps,
)


Activations = Literal["float32", "int8", "int16"]

# Exact as well, and a gain for integer kernels only: in float32 some cost time. Of 16 bits there is no HARD_SWISH.
INTEGER_REWRITES: Mapping[Activations, tuple[Callable[[Graph], int], ...]] = {
    "float32": (),
    "int8": (fold_stem_into_depth, factor_hard_swish, combine_in_pairs, average_by_convolution),
    "int16": (factor_hard_swish, combine_in_pairs),
}


def inference_form(
    model: Any, size: tuple[int, int] | None = None, *, activations: Activations = "float32"
) -> tuple[Any, dict[str, int]]:
    """Rewrite a model for inference.

    Args:
        model: flat functional `tf_keras.Model`.
        size: input height and width in pixels, where they will stay the same; some rewrites need them.
        activations: what activations will be quantized to; for integers, other rewrites pay.

    Returns:
        A model without batch normalization that gives the same outputs, with weights of its own, and how often
        each rewrite applied.

    Raises:
        ModelError: the model is not flat.
    """
    graph = Graph.of(model, size)
    applied: dict[str, int] = {}
    for rewrite in (*REWRITES, *INTEGER_REWRITES[activations]):
        count = rewrite(graph)
        applied[rewrite.__name__] = applied.get(rewrite.__name__, 0) + count
    return graph.to_keras(), applied
