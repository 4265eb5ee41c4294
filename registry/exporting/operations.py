"""Which operations a `.tflite` file consists of. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections import Counter

from ai_edge_litert import schema_py_generated as schema

from registry.errors import ExportError

__all__ = ["count_operations", "require_fast_operations"]

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_REARRANGED = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")


def count_operations(content: bytes) -> Counter[str]:
    """Count the operations of every subgraph.

    Args:
        content: the bytes of a `.tflite` file that the converter wrote.

    Returns:
        Builtin name → count; a custom operation counts as `CUSTOM:<name>`.
    """
    model = schema.Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(index) for index in range(model.OperatorCodesLength())]
    counts: Counter[str] = Counter()
    for subgraph in (model.Subgraphs(index) for index in range(model.SubgraphsLength())):
        for index in range(subgraph.OperatorsLength()):
            counts[_name(codes[subgraph.Operators(index).OpcodeIndex()])] += 1
    return counts


def _name(code: schema.OperatorCode) -> str:
    # Codes below 127 were once a byte of their own; newer ones live in the wider field.
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _NAMES.get(builtin, f"BUILTIN_{builtin}")
    custom = code.CustomCode()
    return f"CUSTOM:{custom.decode(errors='replace')}" if name == "CUSTOM" and custom else name


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
