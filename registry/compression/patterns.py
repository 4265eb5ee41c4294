"""Which values of a kernel become zero: those of least magnitude, one by one or in a pattern that hardware knows."""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils

from registry.backend import tf
from registry.compression.kernels import Kernel
from registry.config.compression import PruningConfig
from registry.errors import CompressionError

__all__ = ["kept_values", "require_pattern"]

_GROUP = 4


def kept_values(kernel: Kernel, values: Any, config: PruningConfig, sparsity: Any) -> Any:
    """Mark what is kept.

    - `unstructured`: all but the `sparsity` · n values of least magnitude, to the value.
    - `2:4`: of four neighbouring input channels, the two of greatest magnitude, in each tap and output channel: the
      innermost axis of a kernel in a file, along which sparse matrix units read.
    - `block`: all but the `sparsity` · m blocks of least mean magnitude, of m blocks of output by input channels. A
      block at the edge of the kernel may be smaller.

    Args:
        kernel: whose axes are meant.
        values: of its shape, float32.
        config: the pattern.
        sparsity: share of zeros, 0 … 1; a number or a tensor.

    Returns:
        Boolean tensor of the kernel's shape. At least one value is kept.
    """
    magnitudes = tf.abs(values)
    if config.pattern == "unstructured":
        return tf.reshape(_all_but_least(tf.reshape(magnitudes, (-1,)), sparsity), values.shape)
    matrices = kernel.matrices(magnitudes)
    if config.pattern == "2:4":
        rows = tf.reshape(matrices, (-1, matrices.shape[-1]))
        kept = tf.reshape(pruning_utils.generate_m_by_n_mask(rows, (2, _GROUP)) > 0, matrices.shape)
    else:
        kept = _kept_blocks(matrices, config.block, sparsity)
    return kernel.from_matrices(kept)


def require_pattern(kernels: list[Kernel], config: PruningConfig) -> None:
    """Refuse kernels that cannot have the pattern.

    Raises:
        CompressionError: their input channels are no multiple of four, for `2:4`.
    """
    if config.pattern != "2:4":
        return
    unfit = [kernel for kernel in kernels if kernel.input_channels % _GROUP]
    if unfit:
        names = [*config.exclude, *(kernel.layer for kernel in unfit)]
        raise CompressionError(
            "two of four input channels can be zero where their number is a multiple of four",
            received="; ".join(f"{kernel.layer}: {kernel.input_channels} channels" for kernel in unfit[:12]),
            repair=f"exclude={names}, or pattern='unstructured'",
        )


def _all_but_least(scores: Any, sparsity: Any) -> Any:
    """Mark all but a share of the least, which ties do not make smaller or greater."""
    count = scores.shape[0]
    share = tf.cast(sparsity, tf.float64)
    dropped = tf.minimum(tf.cast(tf.round(share * count), tf.int32), count - 1)
    places = tf.argsort(tf.argsort(scores, stable=True), stable=True)
    return places >= dropped


def _kept_blocks(matrices: Any, block: tuple[int, int], sparsity: Any) -> Any:
    taps, outputs, inputs = matrices.shape
    rows, columns = -(-outputs // block[0]), -(-inputs // block[1])
    edges = ((0, 0), (0, rows * block[0] - outputs), (0, columns * block[1] - inputs))

    def summed(values: Any) -> Any:
        blocks = tf.reshape(tf.pad(values, edges), (-1, rows, block[0], columns, block[1]))
        return tf.reduce_sum(blocks, (2, 4))

    means = summed(matrices) / summed(tf.ones((1, outputs, inputs), matrices.dtype))
    kept = tf.reshape(_all_but_least(tf.reshape(means, (-1,)), sparsity), (taps, rows, columns))
    whole = tf.repeat(tf.repeat(kept, block[0], axis=1), block[1], axis=2)
    return whole[:, :outputs, :inputs]
