"""Which operations a `.tflite` file consists of. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections import Counter

from registry.errors import ExportError
from registry.inspection.graph import read_graph

__all__ = ["count_operations", "require_fast_operations"]

_REARRANGED = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")


def count_operations(content: bytes) -> Counter[str]:
    """Count the operations of every subgraph.

    Args:
        content: the bytes of a `.tflite` file that the converter wrote.

    Returns:
        Builtin name → count; a custom operation counts as `CUSTOM:<name>`.
    """
    return Counter(
        operator.name for subgraph in read_graph(content).subgraphs for operator in subgraph.operators
    )


def require_fast_operations(counts: Counter[str]) -> None:
    """Refuse a file that a phone would not run on its fast path.

    Raises:
        ExportError: it has custom or Flex operations, or dilated convolutions that were taken apart.
    """
    custom = sorted(name for name in counts if name.startswith("CUSTOM"))
    if custom:
        raise ExportError(
            "a .tflite file may hold builtin operations only",
            received=", ".join(custom),
            repair="replace the layers that need them; registry.models.layers has those that convert",
        )
    rearranged = [name for name in _REARRANGED if counts[name]]
    if rearranged:
        raise ExportError(
            "dilated convolutions must stay native, or every one costs two rearrangements of its input",
            received=", ".join(f"{name} ×{counts[name]}" for name in rearranged),
            repair="use AtrousConv2D and AtrousDepthwiseConv2D of registry.models.layers in place of dilation_rate",
        )
