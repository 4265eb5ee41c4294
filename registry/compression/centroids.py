"""Which values a kernel consists of: k-means in one dimension, started as tensorflow-model-optimization does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tensorflow_model_optimization.python.core.clustering.keras.cluster_config import CentroidInitialization
from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import (
    CentroidsInitializerFactory,
)

from registry.backend import tf

__all__ = ["shared_values"]

_INITIALIZATIONS = {
    "kmeans_plus_plus": CentroidInitialization.KMEANS_PLUS_PLUS,
    "linear": CentroidInitialization.LINEAR,
    "density": CentroidInitialization.DENSITY_BASED,
    "random": CentroidInitialization.RANDOM,
}
_MOST_ROUNDS = 100


def shared_values(values: NDArray[np.float32], clusters: int, initialization: str) -> NDArray[np.float32]:
    """Replace each value by the mean of its cluster.

    Zeros of a pruned kernel stay zeros: they are a cluster of their own, one of those that there are.

    Args:
        values: of any shape.
        clusters: number of different values, at most.
        initialization: where k-means starts: `kmeans_plus_plus`, `linear`, `density` or `random`.

    Returns:
        Values of the same shape.
    """
    is_zero = values == 0
    others = values[~is_zero]
    left = clusters - int(is_zero.any())
    if np.unique(others).size <= left:
        return values
    started = CentroidsInitializerFactory.get_centroid_initializer(_INITIALIZATIONS[initialization])
    centroids = started(tf.constant(others), left).get_cluster_centroids().numpy().astype(np.float64)
    result = values.copy()
    result[~is_zero] = _means(others.astype(np.float64), centroids)
    return result


def _means(values: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.float32]:
    """Lloyd's algorithm: values to their nearest centroid, centroids to the mean of their values, until all stay."""
    belongs = None
    for _ in range(_MOST_ROUNDS):
        centroids = np.sort(centroids)
        nearest = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
        if belongs is not None and np.array_equal(nearest, belongs):
            break
        belongs = nearest
        counts = np.bincount(belongs, minlength=len(centroids))
        sums = np.bincount(belongs, values, minlength=len(centroids))
        centroids = np.where(counts > 0, sums / np.maximum(counts, 1), centroids)
    return centroids.astype(np.float32)[nearest]
