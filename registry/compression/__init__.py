"""Models whose kernels compress: zeros, or few different values, that stay through training, quantization and export.

::

    kernels      which kernels there are, and along which axes
    patterns     which values of a kernel become zero
    schedules    when, and how many
    centroids    which values a kernel consists of
    holding      `Compression`: what kernels are held to in every step of training
    pruning      `prune`
    clustering   `cluster`, and `ClusteredSegmenter`
"""

from registry.compression.clustering import ClusteredSegmenter, cluster, clustered
from registry.compression.holding import Compression
from registry.compression.kernels import KernelFacts, kernel_attribute, kernel_facts
from registry.compression.pruning import prune, pruned
from registry.compression.restoring import compressed, hold_alike

__all__ = [
    "ClusteredSegmenter",
    "Compression",
    "KernelFacts",
    "cluster",
    "clustered",
    "compressed",
    "hold_alike",
    "kernel_attribute",
    "kernel_facts",
    "prune",
    "pruned",
]
