"""Layers that compute in floating point within a file of integers.

The converter makes integers of whatever stands between two ranges, so that a layer which is to stay a float is taken
back afterwards: its operations read dequantized tensors and their own kernels, and their results are quantized again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from registry.errors import ExportError

__all__ = ["keep_float", "layers_in"]

_IDENTIFIER = b"TFL3"
_NUMPY = {
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT32: np.int32,
}
_OPERATION = schema.BuiltinOperator


def keep_float(content: bytes, layers: Mapping[str, list[NDArray[np.float32]]]) -> bytes:
    """Let some layers of a file compute in floating point.

    Args:
        content: bytes of a quantized file of one subgraph.
        layers: name of a layer → its weights as the layer has them, kernel and bias, where it has any.

    Returns:
        Bytes of a file in which all operations of these layers are floats.

    Raises:
        ExportError: a layer has no operation of its own in the file.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    editor = _Editor(model)
    for name, weights in layers.items():
        editor.take_back(name, weights)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def layers_in(name: str) -> set[str]:
    """What may be names of layers in the name of a tensor: `model/layer/op;model/layer/op`."""
    return {step for part in name.split(";") for step in part.split("/")}


class _Editor:
    def __init__(self, model: Any) -> None:
        self._model = model
        (self._graph,) = model.subgraphs
        # Integer tensor → float tensor that it was made of, by an operation of ours.
        self._floats: dict[int, int] = {}

    def take_back(self, layer: str, weights: list[NDArray[np.float32]]) -> None:
        found = [operator for operator in self._graph.operators if layer in self._names(operator)]
        if not found:
            raise ExportError(
                "a layer that stays in floating point needs operations of its own in the file",
                received=layer,
                repair="exclude another layer: this one was merged into its neighbours",
            )
        for operator in found:
            before = [self._as_float(index, weights) for index in operator.inputs]
            results = list(operator.outputs)
            operator.outputs = [self._float_tensor(index) for index in results]
            place = self._graph.operators.index(operator)
            after = [
                self._operation(_OPERATION.QUANTIZE, source, target)
                for source, target in zip(operator.outputs, results, strict=True)
            ]
            self._floats.update(zip(results, operator.outputs, strict=True))
            operator.inputs = [index for index, _ in before]
            added = [operation for _, operation in before if operation is not None]
            self._graph.operators[place : place + 1] = [*added, operator, *after]

    def _names(self, operator: Any) -> Collection[str]:
        if self._code(operator) in (_OPERATION.QUANTIZE, _OPERATION.DEQUANTIZE):
            return ()
        return layers_in(self._graph.tensors[operator.outputs[0]].name.decode())

    def _code(self, operator: Any) -> int:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def _as_float(self, index: int, weights: list[NDArray[np.float32]]) -> tuple[int, Any]:
        """A float tensor in the place of an integer one, and the operation that makes it, if one is needed."""
        if index < 0 or not self._is_quantized(index):
            return index, None
        if index in self._floats:
            return self._floats[index], None
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        result = self._float_tensor(index)
        if data is None or len(data) == 0:
            return result, self._operation(_OPERATION.DEQUANTIZE, index, result)
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _NUMPY[tensor.type]).reshape(
            tensor.shape
        )
        self._fill(result, _own(values, tensor, weights))
        return result, None

    def _is_quantized(self, index: int) -> bool:
        tensor = self._graph.tensors[index]
        quantization = tensor.quantization
        has_scale = (
            quantization is not None and quantization.scale is not None and len(quantization.scale) > 0
        )
        return has_scale and tensor.type in _NUMPY

    def _float_tensor(self, index: int) -> int:
        like = self._graph.tensors[index]
        tensor = schema.TensorT()
        tensor.shape, tensor.shapeSignature, tensor.hasRank = like.shape, like.shapeSignature, like.hasRank
        tensor.name = like.name + b"/float"
        tensor.type = schema.TensorType.FLOAT32
        tensor.buffer = 0
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _fill(self, index: int, values: NDArray[np.float32]) -> None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        self._graph.tensors[index].buffer = len(self._model.buffers) - 1

    def _operation(self, code: int, source: int, target: int) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._opcode(code)
        operator.inputs, operator.outputs = [source], [target]
        return operator

    def _opcode(self, code: int) -> int:
        for number, known in enumerate(self._model.operatorCodes):
            if max(known.builtinCode, known.deprecatedBuiltinCode) == code:
                return number
        added = schema.OperatorCodeT()
        added.builtinCode = added.deprecatedBuiltinCode = code
        added.version = 1
        self._model.operatorCodes.append(added)
        return len(self._model.operatorCodes) - 1


def _own(values: NDArray[Any], tensor: Any, weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The layer's own weights in the file's layout; dequantized ones where it has none of that shape."""
    for weight in weights:
        if weight.ndim == 4:
            moved = (np.moveaxis(weight, -1, 0), weight.reshape(1, *weight.shape[:2], -1))
            for candidate in moved:
                if candidate.shape == values.shape:
                    return candidate
        if weight.shape == values.shape:
            return weight
    scale = np.asarray(tensor.quantization.scale, np.float32)
    zero = np.asarray(tensor.quantization.zeroPoint, np.float32)
    if len(scale) > 1:
        extents = [1] * values.ndim
        extents[tensor.quantization.quantizedDimension] = len(scale)
        scale, zero = scale.reshape(extents), zero.reshape(extents)
    return (values.astype(np.float32) - zero) * scale
