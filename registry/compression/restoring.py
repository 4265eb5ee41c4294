"""Models that are held to what their preset says, whatever values their kernels will have."""

from __future__ import annotations

from registry.compression.clustering import clustered
from registry.compression.holding import Compression
from registry.compression.kernels import kernels_of
from registry.config.compression import ClusteringTraining, CompressionConfig
from registry.models.base import ImageSegmenter

__all__ = ["compressed", "hold_alike"]


def compressed(model: ImageSegmenter, config: CompressionConfig) -> ImageSegmenter:
    """The model that a preset with a section `compression` describes.

    Args:
        model: as the preset describes it otherwise, with fresh weights.
        config: the section.

    Returns:
        The model, or for clustering its inference form; weights of a compressed model that are loaded into it stay
        compressed in training.
    """
    if config.clustering is not None:
        return clustered(model, ClusteringTraining(**config.clustering.model_dump()), group=False)
    if config.pruning is not None:
        kernels = kernels_of(model, config.pruning.exclude, strict=False)
        model.set_compression(Compression(config, model, kernels))
    return model


def hold_alike(model: ImageSegmenter, source: ImageSegmenter) -> None:
    """Hold the kernels of a model that was made of a compressed one to the same.

    Rewrites may have cut and renamed them: what counts is which values are zero, and which are equal.
    """
    compression = getattr(source, "compression", None)
    if compression is not None:
        model.set_compression(compression.on(model, kernels_of(model, (), strict=False)))
