"""Checkpoints as TensorFlow writes them."""

from registry.backend import tf


def write_checkpoint(prefix, arrays):
    """Write arrays by name below a prefix, which is returned."""
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[arrays[name] for name in names],
    )
    return prefix
