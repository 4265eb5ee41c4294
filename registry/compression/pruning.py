"""`prune`: a trained model → one with zeros in its kernels, now or in the course of training."""

from __future__ import annotations

from collections.abc import Sequence

from registry.compression.holding import Compression
from registry.compression.kernels import Kernel, kernels_of, require_names
from registry.compression.patterns import require_pattern
from registry.compression.sections import own_section, with_section
from registry.config.compression import PruningConfig, PruningTraining
from registry.config.sections import checked_section
from registry.errors import CompressionError
from registry.models.base import ImageSegmenter
from registry.rewrites import FoldedSegmenter

__all__ = ["prune", "pruned"]


def prune(
    model: ImageSegmenter,
    sparsity: float = 0.5,
    *,
    pattern: str = "unstructured",
    block: Sequence[int] = (4, 1),
    exclude: Sequence[str] = (),
    schedule: str = "constant",
    initial_sparsity: float = 0.0,
    begin: int = 0,
    end: int | None = None,
    frequency: int = 100,
    power: float = 3.0,
) -> ImageSegmenter:
    """Make a model whose smallest weights are zero and stay zero, to be trained on (arXiv:1506.02626).

    It is a model of the same class with the same variables: batch normalization goes on learning, and there is nothing
    to strip before it is saved or exported. Zeros survive everything that follows: training, the folding of batch
    normalization, `registry.cluster`, `registry.quantize`, `registry.export` in every precision, and saving.

    By default all zeros are made at once. With `schedule="polynomial"` they become more in the course of training, as
    `fit` and `registry.train` count its steps: s(t) = sparsity + (initial_sparsity - sparsity) ·
    (1 - (t - begin) / (end - begin))^power (arXiv:1710.01878).

    Args:
        model: a segmenter of atrous with trained weights, which stays as it is.
        sparsity: share of zeros in each kernel, above 0 and below 1; for `2:4` it is 0.5.
        pattern: `unstructured`, the values of least magnitude; `2:4`, two of each four neighbouring input channels;
            `block`, the blocks of least mean magnitude.
        block: output and input channels of a block.
        exclude: layers that stay dense; names, or patterns with `*` and `?`.
        schedule: `constant` or `polynomial`.
        initial_sparsity: of `polynomial`, at `begin`.
        begin: step after which the first zeros are made; 0 makes them here.
        end: of `polynomial`: step at which `sparsity` is reached.
        frequency: of `polynomial`: steps between more zeros.
        power: of `polynomial`.

    Returns:
        A new model; `model.compression` says what its kernels consist of.

    Raises:
        CompressionError: a layer cannot be pruned, or not in this pattern; names it, with the way out. Or the model
            was built by hand, is clustered or quantized.
        ModelError: another argument is wrong.
    """
    config = checked_section(
        PruningTraining,
        sparsity=sparsity,
        pattern=pattern,
        block=tuple(block),
        exclude=tuple(exclude),
        schedule=schedule,
        initial_sparsity=initial_sparsity,
        begin=begin,
        end=end,
        frequency=frequency,
        power=power,
    )
    _require_prunable(model)
    # Before the copy, which takes a second.
    require_pattern(_kernels(model, config), config)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return pruned(copy, config)


def pruned(model: ImageSegmenter, config: PruningTraining) -> ImageSegmenter:
    """Prune a model as it is, or begin to.

    Args:
        model: a segmenter of atrous.
        config: how.

    Returns:
        The model.

    Raises:
        CompressionError: it cannot be pruned like that.
    """
    _require_prunable(model)
    kernels = _kernels(model, config)
    require_pattern(kernels, config)
    section = with_section(model, pruning=own_section(PruningConfig, config))
    model.set_compression(Compression(section, model, kernels, config))
    return model


def _kernels(model: ImageSegmenter, config: PruningTraining) -> list[Kernel]:
    require_names(model, config.exclude)
    return kernels_of(model, config.exclude)


def _require_prunable(model: ImageSegmenter) -> None:
    if isinstance(model, FoldedSegmenter):
        raise CompressionError(
            "a model is pruned first, then clustered, then quantized",
            received=f"{model.name}, a {type(model).__name__}",
            repair="prune the model that it was made of; zeros stay zeros in what follows",
        )
    if model.preset_config is None:
        raise CompressionError(
            "a model is pruned if it carries the preset that it was assembled from",
            received=f"{model.name!r}, built by hand",
            repair="build it with registry.build",
        )
