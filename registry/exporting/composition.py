"""Whether a converted file is what was asked for. The converter leaves layers in float without a word."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from registry.errors import ExportError
from registry.exporting.islands import layers_in
from registry.exporting.modes import InputDtype, Mode
from registry.inspection.graph import Operator, Subgraph, read_graph

__all__ = ["require_mode"]

_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
# Dynamic-range quantization leaves smaller constants as they are.
_DYNAMIC_MINIMUM = 1024
# What an int16 file may do with floats: take them in, and give them or their order out.
_FLOAT_EDGE = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST", "ARG_MAX", "GREATER"})
_INT8_TYPES = frozenset({"int8", "int32", "uint8", "bool"})
_ZERO_POINTS = {"uint8": 0, "int8": -128}


@dataclass(frozen=True)
class _Part:
    """An operation with the types of what it reads and writes."""

    operator: Operator
    graph: Subgraph

    @property
    def types(self) -> set[str]:
        touched = (*self.operator.inputs, *self.operator.outputs)
        return {self.graph.tensors[index].dtype for index in touched if index >= 0}

    @property
    def reads_input(self) -> bool:
        return self.operator.inputs[0] in self.graph.inputs

    def __str__(self) -> str:
        return f"{self.operator.name} {self.graph.tensors[self.operator.outputs[0]].name}"


def require_mode(
    content: bytes, mode: Mode, input_dtype: InputDtype, float_layers: Collection[str] = ()
) -> None:
    """Refuse a file that is not of the mode that was asked for.

    - float16: every convolution's weights are stored as float16.
    - dynamic: every convolution's weights of 1024 values or more are int8.
    - int8: nothing touches a float but the one operation that quantizes a float input; an integer input's scale is 1.
    - int16x8: nothing touches a float but what converts the input, and what converts or orders the output.

    Args:
        content: the bytes of the converted file.
        mode: that was asked for.
        input_dtype: that was asked for.
        float_layers: names of layers that were to stay in floating point.

    Raises:
        ExportError: naming the operations that are different.
    """
    (graph, *more) = read_graph(content).subgraphs
    if more:
        raise ExportError(
            "a segmenter is one graph, without branches that depend on values",
            received=f"{1 + len(more)} subgraphs",
            repair="replace the layers that use tf.cond or tf.while_loop",
        )
    _require_input(graph, mode, input_dtype)
    parts = [_Part(operator, graph) for operator in graph.operators]
    offending = {
        "float32": _none,
        "float16": _float_weights,
        "dynamic": _large_float_weights,
        "int8": _not_int8,
        "int16x8": _not_int16,
    }[mode.name](parts)
    names = [str(part) for part in offending if not _is_meant(part, float_layers)]
    if names:
        shown = "; ".join(names[:10]) + (f"; and {len(names) - 10} more" if len(names) > 10 else "")
        raise ExportError(
            f"a file of mode {mode.name!r} has {mode.meaning}, in every operation",
            received=f"{len(names)} operation(s) that are not: {shown}",
            repair="replace these layers, or choose another mode",
        )
    if mode.name == "dynamic" and not _has_type(graph, "int8"):
        raise ExportError(
            f"mode 'dynamic' quantizes weights of at least {_DYNAMIC_MINIMUM} values",
            received="a model without any",
            repair="use 'float32' or 'int8'",
        )


def _is_meant(part: _Part, float_layers: Collection[str]) -> bool:
    """Whether an operation is that of a layer which stays in floating point, or leads to or from one."""
    if not float_layers:
        return False
    if part.operator.name in ("QUANTIZE", "DEQUANTIZE"):
        return True
    return bool(layers_in(str(part)) & set(float_layers))


def _none(parts: list[_Part]) -> Iterator[_Part]:
    return iter(())


def _float_weights(parts: list[_Part], minimum: int = 2) -> Iterator[_Part]:
    """Operations whose weights, of at least so many values, are stored as float32."""
    for part in parts:
        if part.operator.name in _WEIGHTED:
            weights = part.graph.tensors[part.operator.inputs[1]]
            if weights.constant and weights.dtype == "float32" and (weights.elements or 0) >= minimum:
                yield part


def _large_float_weights(parts: list[_Part]) -> Iterator[_Part]:
    return _float_weights(parts, _DYNAMIC_MINIMUM)


def _not_int8(parts: list[_Part]) -> Iterator[_Part]:
    for part in parts:
        entry = part.operator.name == "QUANTIZE" and part.reads_input
        if not entry and (part.operator.name == "DEQUANTIZE" or not part.types <= _INT8_TYPES):
            yield part


def _not_int16(parts: list[_Part]) -> Iterator[_Part]:
    for part in parts:
        if part.types & _FLOATS and part.operator.name not in _FLOAT_EDGE:
            yield part


def _has_type(graph: Subgraph, dtype: str) -> bool:
    return any(tensor.dtype == dtype for tensor in graph.tensors)


def _require_input(graph: Subgraph, mode: Mode, input_dtype: InputDtype) -> None:
    tensor = graph.tensors[graph.inputs[0]]
    if tensor.dtype != input_dtype:
        raise ExportError(
            f"the input must be {input_dtype}", received=tensor.dtype, repair="report the model and the mode"
        )
    if mode.integer and input_dtype in _ZERO_POINTS:
        wanted = (1.0, _ZERO_POINTS[input_dtype])
        if (tensor.scale, tensor.zero_point) != wanted:
            raise ExportError(
                f"an integer input must hold the pixels themselves: scale 1, zero point {wanted[1]}",
                received=f"scale {tensor.scale}, zero point {tensor.zero_point}",
                repair="report the model: its calibration images hold 0 and 255, so the range should be whole",
            )
