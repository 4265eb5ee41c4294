"""`cluster`: a trained model → one whose kernels consist of few different values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.backend import keras
from registry.compression.centroids import shared_values
from registry.compression.holding import Compression
from registry.compression.kernels import kernels_of, require_names
from registry.compression.sections import own_section, with_section
from registry.config.compression import ClusteringConfig, ClusteringTraining
from registry.config.sections import checked_section
from registry.errors import CompressionError
from registry.models.base import ImageSegmenter
from registry.models.graph import Graph
from registry.rewrites import FoldedSegmenter, drop_final_activation, inference_form

__all__ = ["ClusteredSegmenter", "cluster", "clustered"]


@keras.saving.register_keras_serializable(package="atrous")
class ClusteredSegmenter(FoldedSegmenter):
    """The inference form of a segmenter, for kernels of few different values (arXiv:1510.00149).

    Batch normalization is folded: it has a factor for each output channel, which would make as many different values
    of each shared one.

    Args:
        model: the segmenter whose weights it starts with.

    Input and output are those of the model, without its final softmax or sigmoid.
    """

    def __init__(self, model: ImageSegmenter, **kwargs: Any) -> None:
        form, _ = inference_form(model)
        graph = Graph.of(form)
        drop_final_activation(graph)
        folded = graph.to_keras()
        super().__init__(model, folded.inputs, folded.outputs, {}, **kwargs)


def cluster(
    model: ImageSegmenter,
    clusters: int = 16,
    *,
    initialization: str = "kmeans_plus_plus",
    exclude: Sequence[str] = (),
) -> ClusteredSegmenter:
    """Make a model whose kernels have few different values each, to be trained on (arXiv:1510.00149).

    It is the model's inference form: batch normalizations are folded into convolutions. Each kernel's values are
    grouped by k-means; in training, the values of a group move together. Zeros of a pruned model are a group of their
    own, and stay zeros. `registry.quantize` keeps the groups: it gives a clustered kernel one scale instead of one for
    each output channel, so that the integers of the file have as few different values.

    Args:
        model: a segmenter of atrous with trained weights, pruned or not, which stays as it is.
        clusters: different values in each kernel, 2 … 256. Kernels of fewer values stay as they are.
        initialization: where k-means starts: `kmeans_plus_plus`, at distant values; `linear`, evenly spaced; `density`,
            evenly filled; `random`.
        exclude: layers of the inference form whose values stay their own; names, or patterns with `*` and `?`.

    Returns:
        A `ClusteredSegmenter` with the model's preprocessor and its preset; `model.compression` says what its kernels
        consist of.

    Raises:
        CompressionError: a layer cannot be clustered; names it, with the way out. Or the model is clustered or
            quantized already.
        ModelError: another argument is wrong.
    """
    config = checked_section(
        ClusteringTraining, clusters=clusters, initialization=initialization, exclude=tuple(exclude)
    )
    return clustered(model, config)


def clustered(model: ImageSegmenter, config: ClusteringTraining, *, group: bool = True) -> ClusteredSegmenter:
    """Make the model whose values are shared.

    Args:
        model: a segmenter of atrous.
        config: how.
        group: False leaves the values as they are: they will be replaced by grouped ones.

    Raises:
        CompressionError: it cannot be clustered.
    """
    if isinstance(model, FoldedSegmenter):
        raise CompressionError(
            "a model is clustered once, and before it is quantized",
            received=f"{model.name}, a {type(model).__name__}",
            repair="cluster the model that it was made of",
        )
    result = ClusteredSegmenter(model)
    require_names(result, config.exclude)
    for kernel in kernels_of(result, config.exclude) if group else ():
        values = shared_values(kernel.variable.numpy(), config.clusters, config.initialization)
        kernel.variable.assign(values)
    section = with_section(result, clustering=own_section(ClusteringConfig, config))
    result.set_compression(Compression(section, result, kernels_of(result, (), strict=False)))
    return result
