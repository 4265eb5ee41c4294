"""The graph of a `.tflite` file, read from its flatbuffer in pure Python and checked while it is read.

The generated accessors trust the file: a damaged offset makes them read elsewhere, a damaged length makes a loop
run four billion times. So everything that is counted is first held against what the file has room for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ai_edge_litert import schema_py_generated as schema

from registry.errors import ModelFileError
from registry.inspection.text import printable

__all__ = ["Graph", "Operator", "Signature", "Tensor", "read_graph"]

_Item = TypeVar("_Item")

_OPERATIONS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
_ACTIVATIONS = {
    code: name for name, code in vars(schema.ActivationFunctionType).items() if not name.startswith("_")
}
_OPTIONS_WITH_ACTIVATION = {
    getattr(schema.BuiltinOptions, name): getattr(schema, name)
    for name in (
        "Conv2DOptions",
        "DepthwiseConv2DOptions",
        "FullyConnectedOptions",
        "TransposeConvOptions",
        "AddOptions",
        "SubOptions",
        "MulOptions",
        "DivOptions",
        "ConcatenationOptions",
        "Pool2DOptions",
    )
}

# A file can let many tables share one vector, so that its size alone does not bound the work.
_MOST_ITEMS = 1_000_000
_REPAIR = "the file is damaged: export the model again, or fetch the file again"


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph.

    Args:
        name: as the file has it.
        shape: extents, -1 where the file leaves one open.
        dtype: `float32`, `int8`, …
        constant: whether the file holds its values.
        scale: real value per quantized step, of the first channel; None if not quantized.
        zero_point: quantized value of real 0, of the first channel.
        channels: number of scales: 0 not quantized, 1 per tensor, more per channel.
        stored_bytes: stored bytes of a constant.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    scale: float | None
    zero_point: int | None
    channels: int
    stored_bytes: int

    @property
    def elements(self) -> int | None:
        """Number of values; None where an extent is open."""
        return None if -1 in self.shape else math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operation of a subgraph; tensors are indices, -1 for an input that is left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str | None


@dataclass(frozen=True)
class Subgraph:
    """Tensors, and the operations between them in the order of execution."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """A named entry: what a caller gives and gets by name."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    subgraph: int


@dataclass(frozen=True)
class Graph:
    """What a `.tflite` file says, its constants' values left out."""

    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    metadata: tuple[str, ...]


def read_graph(content: bytes) -> Graph:
    """Read the structure of a file; nothing in it is run, and its constants are not looked at.

    Args:
        content: the bytes of a `.tflite` file, trusted or not.

    Raises:
        ModelFileError: the bytes are no TFLite flatbuffer, or a damaged one.
    """
    try:
        if content[4:8] != b"TFL3":
            raise _damaged(f"bytes 4 to 7 are {content[4:8]!r} instead of b'TFL3'")
        return _Reader(content).graph()
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise _damaged(f"{type(error).__name__}: {error}") from error


def _damaged(reason: str) -> ModelFileError:
    return ModelFileError(
        "a TFLite file must be a flatbuffer of which every part lies inside of the file",
        received=reason,
        repair=_REPAIR,
    )


class _Reader:
    """Walks the flatbuffer; knows how many items the file can still account for."""

    def __init__(self, content: bytes) -> None:
        self._size = len(content)
        self._left = min(_MOST_ITEMS, len(content) // 4)
        self._letters = len(content)
        self._model = schema.Model.GetRootAs(content, 0)
        self._codes: tuple[str, ...] = ()
        self._buffers: tuple[int, ...] = ()

    def graph(self) -> Graph:
        model = self._model
        self._codes = self._each(model.OperatorCodesLength(), lambda i: self._code(model.OperatorCodes(i)))
        self._buffers = self._each(model.BuffersLength(), lambda i: self._stored(model.Buffers(i)))
        subgraphs = self._each(model.SubgraphsLength(), lambda i: self._subgraph(model.Subgraphs(i)))
        if not subgraphs:
            raise _damaged("it has no subgraph")
        signatures = self._each(
            model.SignatureDefsLength(), lambda i: self._signature(model.SignatureDefs(i))
        )
        metadata = self._each(model.MetadataLength(), lambda i: self._text(model.Metadata(i).Name()))
        return Graph(model.Version(), self._text(model.Description()), subgraphs, signatures, metadata)

    def _each(self, length: int, read: Callable[[int], _Item]) -> tuple[_Item, ...]:
        self._left -= length
        if length < 0 or self._left < 0:
            raise _damaged(f"its lists claim more items than {self._size} bytes can hold")
        return tuple(read(index) for index in range(length))

    def _text(self, raw: bytes | None) -> str:
        self._letters -= len(raw or b"")
        if self._letters < 0:
            raise _damaged(f"its texts claim more letters than {self._size} bytes can hold")
        return printable((raw or b"").decode(errors="replace"))

    def _code(self, code: schema.OperatorCode) -> str:
        # Codes below 127 were once a byte of their own; newer ones live in the wider field.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = _OPERATIONS.get(builtin, f"BUILTIN_{builtin}")
        custom = self._text(code.CustomCode())
        return f"CUSTOM:{custom}" if name == "CUSTOM" and custom else name

    def _stored(self, buffer: schema.Buffer) -> int:
        """Length of the data; those of files beyond 2 GB lie behind the flatbuffer."""
        stored = int(buffer.DataLength() or buffer.Size())
        if stored > self._size:
            raise _damaged(f"a buffer of {stored} bytes in a file of {self._size}")
        return stored

    def _subgraph(self, graph: schema.SubGraph) -> Subgraph:
        tensors = self._each(graph.TensorsLength(), lambda i: self._tensor(graph.Tensors(i)))
        inputs = self._indices(graph.InputsLength(), graph.Inputs, len(tensors))
        outputs = self._indices(graph.OutputsLength(), graph.Outputs, len(tensors))
        operators = self._each(
            graph.OperatorsLength(), lambda i: self._operator(graph.Operators(i), len(tensors))
        )
        return Subgraph(tensors, operators, inputs, outputs)

    def _indices(self, length: int, read: Callable[[int], int], tensors: int) -> tuple[int, ...]:
        indices = self._each(length, read)
        if not all(-1 <= index < tensors for index in indices):
            raise _damaged(f"a reference to a tensor beyond the {tensors} that there are")
        return tuple(int(index) for index in indices)

    def _tensor(self, tensor: schema.Tensor) -> Tensor:
        signature = tensor.ShapeSignatureLength()
        read = tensor.ShapeSignature if signature else tensor.Shape
        shape = self._each(signature or tensor.ShapeLength(), lambda i: int(read(i)))
        if not all(extent >= -1 for extent in shape):
            raise _damaged(f"a tensor of shape {shape[:8]}")
        stored = self._buffers[tensor.Buffer()]
        quantization = tensor.Quantization()
        scales = 0 if quantization is None else quantization.ScaleLength()
        if scales * 4 > self._size:
            raise _damaged(f"{scales} scales in a file of {self._size} bytes")
        scale = float(quantization.Scale(0)) if scales else None
        if scale is not None and not math.isfinite(scale):
            raise _damaged(f"a scale of {scale}")
        zero_points = 0 if quantization is None else quantization.ZeroPointLength()
        return Tensor(
            name=self._text(tensor.Name()),
            shape=shape,
            dtype=_TYPES.get(tensor.Type(), f"type_{tensor.Type()}"),
            constant=stored > 0 and not tensor.IsVariable(),
            scale=scale,
            zero_point=(int(quantization.ZeroPoint(0)) if zero_points else 0) if scales else None,
            channels=scales,
            stored_bytes=stored,
        )

    def _operator(self, operator: schema.Operator, tensors: int) -> Operator:
        return Operator(
            name=self._codes[operator.OpcodeIndex()],
            inputs=self._indices(operator.InputsLength(), operator.Inputs, tensors),
            outputs=self._indices(operator.OutputsLength(), operator.Outputs, tensors),
            activation=_activation(operator),
        )

    def _signature(self, signature: schema.SignatureDef) -> Signature:
        if not 0 <= signature.SubgraphIndex() < self._model.SubgraphsLength():
            raise _damaged("a signature of a subgraph that there is not")
        return Signature(
            name=self._text(signature.SignatureKey()),
            inputs=self._each(signature.InputsLength(), lambda i: self._text(signature.Inputs(i).Name())),
            outputs=self._each(signature.OutputsLength(), lambda i: self._text(signature.Outputs(i).Name())),
            subgraph=int(signature.SubgraphIndex()),
        )


def _activation(operator: schema.Operator) -> str | None:
    kind, table = _OPTIONS_WITH_ACTIVATION.get(operator.BuiltinOptionsType()), operator.BuiltinOptions()
    if kind is None or table is None:
        return None
    options = kind()
    options.Init(table.Bytes, table.Pos)
    function = options.FusedActivationFunction()
    return None if function == 0 else _ACTIVATIONS.get(function, f"activation_{function}")
