"""The rewrites for inference in a few words each, in the order in which they run.

`registry.rewrites` has them as functions on a graph, which need TensorFlow; a test holds the names equal.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["INTEGER_ONLY", "REWRITES"]

REWRITES: Mapping[str, str] = {
    "drop_identities": "dropout and other identities go",
    "fold_batch_normalization": "batch normalization becomes part of the convolution before it",
    "fuse_activations": "the activation becomes part of the convolution before it",
    "normalization_to_depthwise": "a normalization that stands alone becomes a depthwise 1×1 convolution",
    "split_image_pooling": "the pooled pixel is added as a bias instead of being resized and concatenated",
    "split_upsampled_blocks": "the 1×1 convolution runs on the small map, before it is upsampled and joined",
    "convolve_before_upsampling": "the 1×1 convolution and the upsampling before it change places",
    "merge_nearest_upsampling": "two nearest upsamplings become one",
    "drop_padding_taps": "taps of the dilated kernel that only see padding are cut",
    "fold_stem_into_depth": "the first convolution reads 2×2 squares of pixels",
    "factor_hard_swish": "hard-swish becomes a sum and a product",
    "combine_in_pairs": "a sum of many is added two by two, each result with a range",
    "average_by_convolution": "an average becomes a depthwise convolution by a constant",
}
INTEGER_ONLY = ("fold_stem_into_depth", "factor_hard_swish", "combine_in_pairs", "average_by_convolution")
"""Those that act where the file computes with integers."""
