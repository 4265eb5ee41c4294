"""What a `.tflite` file consists of: operations, arithmetic, quantization, names. Nothing in it is run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.errors import ModelFileError
from registry.inspection.description import MEDIAPIPE_ENTRY, appended_files, read_description
from registry.inspection.graph import Graph, Operator, Signature, Subgraph, Tensor, read_graph
from registry.inspection.text import count_text, percentages, shape_text
from registry.runtime.modelfile import check_structure

__all__ = ["ModelInspection", "OperationInfo", "TensorInfo", "inspect_model"]

_LARGEST_FILE = 4 << 30
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_FLOATS = ("float32", "float16", "bfloat16", "float64")
_INTEGERS = {"int8": "int8", "uint8": "int8", "int16": "int16", "int4": "int8"}
# Where the weights of an operation that multiplies and accumulates are among its inputs.
_FILTER = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of the file.

    Args:
        name: as the file has it.
        shape: extents, -1 where the file leaves one open.
        dtype: `float32`, `uint8`, `int8`, …
        scale: real value per quantized step; None if not quantized.
        zero_point: quantized value of real 0; None if not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None

    def __str__(self) -> str:
        """One line for a terminal."""
        scale = "" if self.scale is None else f", scale {self.scale:g}, zero point {self.zero_point}"
        return f"{shape_text(self.shape)} {self.dtype}{scale}  {self.name}"


@dataclass(frozen=True)
class OperationInfo:
    """One operation.

    Args:
        subgraph: which subgraph it belongs to; 0 is the one that runs first.
        index: its place in the order of execution.
        name: builtin name, or `CUSTOM:<name>`.
        layer: name of its output tensor.
        input_shape: of its first input that is no constant; empty if there is none.
        output_shape: of its first output.
        input_dtype: of its first input that is no constant.
        output_dtype: of its first output.
        weight_dtype: of its weights; None if it has none.
        weight_channels: number of weight scales: 0 not quantized, 1 per tensor, more per channel.
        weight_bytes: bytes of all its constants.
        macs: multiplications with accumulation; None where the file leaves the size open.
        activation: fused activation function.
        precision: `int8`, `int16`, `float`, `hybrid` (float values, integer weights), `conversion` (between
            float and integers), `other`.
    """

    subgraph: int
    index: int
    name: str
    layer: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_dtype: str | None
    output_dtype: str | None
    weight_dtype: str | None
    weight_channels: int
    weight_bytes: int
    macs: int | None
    activation: str | None
    precision: str


@dataclass(frozen=True)
class ModelInspection:
    """A `.tflite` file, described.

    Args:
        path: the file; None if it was given as bytes.
        size_bytes: its length.
        inputs: input tensors.
        outputs: output tensors.
        operations: every operation, in the order of execution.
        macs: multiplications with accumulation of one run; None where the file leaves the input size open.
        parameters: number of weights and biases.
        quantization: `float32`, `float16 weights`, `dynamic range`, `int8`, `int8 with int16 values`, `mixed`.
        per_channel: whether convolution weights have a scale for each channel.
        signatures: named entries.
        metadata: names of the metadata entries.
        files: names of the files that are appended, such as `labels.txt`.
        description: the converter's own remark.
        segmenter: what the metadata say of labels and normalization; None if they say nothing.
        metadata_problem: why the metadata cannot be read; None if they can.
    """

    path: Path | None
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    operations: tuple[OperationInfo, ...]
    macs: int | None
    parameters: int
    quantization: str
    per_channel: bool
    signatures: tuple[Signature, ...]
    metadata: tuple[str, ...]
    files: tuple[str, ...]
    description: str
    segmenter: Mapping[str, Any] | None
    metadata_problem: str | None

    @property
    def histogram(self) -> Mapping[str, int]:
        """Operation → how often it occurs, the most frequent first."""
        return dict(Counter(operation.name for operation in self.operations).most_common())

    @property
    def custom_operations(self) -> tuple[str, ...]:
        """Names of the operations that need more than the builtin ones, Flex included."""
        return tuple(name for name in self.histogram if name.startswith("CUSTOM"))

    @property
    def operation_shares(self) -> Mapping[str, float]:
        """Precision → share of the operations, 0…1."""
        return _shares(Counter(operation.precision for operation in self.operations))

    @property
    def mac_shares(self) -> Mapping[str, float]:
        """Precision → share of the multiplications, 0…1; empty without any."""
        counts: Counter[str] = Counter()
        for operation in self.operations:
            counts[operation.precision] += operation.macs or 0
        return _shares(counts)

    @property
    def has_mediapipe_metadata(self) -> bool:
        """Whether the file carries `TFLITE_METADATA`, which MediaPipe's tasks read."""
        return MEDIAPIPE_ENTRY in self.metadata

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            **asdict(self),
            "path": None if self.path is None else str(self.path),
            "histogram": dict(self.histogram),
            "custom_operations": list(self.custom_operations),
            "operation_shares": dict(self.operation_shares),
            "mac_shares": dict(self.mac_shares),
            "has_mediapipe_metadata": self.has_mediapipe_metadata,
        }

    def __str__(self) -> str:
        """Several lines for a terminal."""
        operations = ", ".join(f"{name} {count}" for name, count in self.histogram.items())
        scheme = f"{self.quantization}{', weights per channel' if self.per_channel else ''}"
        macs = "unknown, the input size is open" if self.macs is None else count_text(self.macs)
        return "\n".join(
            [
                f"{self.path or 'model'}  {self.size_bytes / 1e6:.2f} MB",
                *(f"  input         {tensor}" for tensor in self.inputs),
                *(f"  output        {tensor}" for tensor in self.outputs),
                f"  quantization  {scheme}",
                f"  MACs          {macs}; {percentages(self.mac_shares)}",
                f"  parameters    {self.parameters:,}",
                f"  operations    {len(self.operations)}; {percentages(self.operation_shares)}",
                f"                {operations}",
                f"  custom        {', '.join(self.custom_operations) or 'none'}",
                f"  signatures    {', '.join(signature.name for signature in self.signatures) or 'none'}",
                f"  metadata      {', '.join(self.metadata) or 'none'}",
                f"  files         {', '.join(self.files) or 'none'}",
                *self._said(),
            ]
        )

    def _said(self) -> Iterator[str]:
        if self.metadata_problem:
            yield f"                unreadable: {self.metadata_problem}"
        if self.segmenter:
            said = self.segmenter
            yield f"  labels        {', '.join(said['labels']) or 'none'}"
            yield f"  activation    {said['activation']}; mean {said['mean']}, std {said['std']}"


def inspect_model(source: Path | str | bytes) -> ModelInspection:
    """Describe a `.tflite` file, trusted or not; needs no TensorFlow and runs nothing.

    Args:
        source: path of the file, or its bytes.

    Returns:
        What it consists of.

    Raises:
        ModelFileError: it is no TFLite file, or a damaged one.
    """
    if isinstance(source, bytes):
        return _inspect(source, None)
    path = Path(source)
    check_structure(path)
    return _inspect(_read(path), path)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelFileError(
                f"a model file to inspect may have up to {_LARGEST_FILE >> 30} GiB",
                received=f"{path}: {path.stat().st_size} bytes",
                repair="export a smaller model",
            )
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise ModelFileError("the model file must be readable", received=f"{path}: {error}") from error


def _inspect(content: bytes, path: Path | None) -> ModelInspection:
    try:
        graph = read_graph(content)
    except ModelFileError as error:
        if path is None:
            raise
        raise ModelFileError(error.rule, received=f"{path}: {error.received}", repair=error.repair) from error
    operations = tuple(_operations(graph))
    entry = graph.subgraphs[0]
    macs = [operation.macs for operation in operations]
    segmenter, problem = read_description(content, graph.metadata)
    return ModelInspection(
        path=path,
        size_bytes=len(content),
        inputs=tuple(_tensor(entry, index) for index in entry.inputs),
        outputs=tuple(_tensor(entry, index) for index in entry.outputs),
        operations=operations,
        macs=None if None in macs else sum(count or 0 for count in macs),
        parameters=sum(_parameters(subgraph) for subgraph in graph.subgraphs),
        quantization=_scheme(graph, operations),
        per_channel=any(operation.weight_channels > 1 for operation in operations),
        signatures=graph.signatures,
        metadata=graph.metadata,
        files=appended_files(content),
        description=graph.description,
        segmenter=segmenter,
        metadata_problem=problem,
    )


def _tensor(subgraph: Subgraph, index: int) -> TensorInfo:
    tensor = subgraph.tensors[index]
    return TensorInfo(tensor.name, tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point)


def _operations(graph: Graph) -> Iterator[OperationInfo]:
    for number, subgraph in enumerate(graph.subgraphs):
        unpacked = _unpacked(subgraph)
        for index, operator in enumerate(subgraph.operators):
            yield _describe(subgraph, unpacked, operator, number, index)


def _unpacked(subgraph: Subgraph) -> dict[int, int]:
    """Tensor → the constant that it is decoded from: float16 weights go through a DEQUANTIZE."""
    return {
        operator.outputs[0]: operator.inputs[0]
        for operator in subgraph.operators
        if operator.name in ("DEQUANTIZE", "DENSIFY")
        and operator.inputs
        and operator.outputs
        and subgraph.tensors[operator.inputs[0]].constant
    }


def _describe(
    subgraph: Subgraph, unpacked: Mapping[int, int], operator: Operator, number: int, index: int
) -> OperationInfo:
    used = [subgraph.tensors[unpacked.get(i, i)] for i in operator.inputs if i >= 0]
    constants = [tensor for tensor in used if tensor.constant]
    values = [tensor for tensor in used if not tensor.constant]
    made = [subgraph.tensors[i] for i in operator.outputs if i >= 0]
    weights = _weights(operator, subgraph, unpacked)
    return OperationInfo(
        subgraph=number,
        index=index,
        name=operator.name,
        layer=made[0].name if made else "",
        input_shape=values[0].shape if values else (),
        output_shape=made[0].shape if made else (),
        input_dtype=values[0].dtype if values else None,
        output_dtype=made[0].dtype if made else None,
        weight_dtype=weights.dtype if weights else None,
        weight_channels=weights.channels if weights else 0,
        weight_bytes=sum(tensor.stored_bytes for tensor in constants),
        macs=_macs(operator, subgraph),
        activation=operator.activation,
        precision=_precision(operator, values, made, weights),
    )


def _weights(operator: Operator, subgraph: Subgraph, unpacked: Mapping[int, int]) -> Tensor | None:
    place = _FILTER.get(operator.name, -1)
    if place < 0 or place >= len(operator.inputs) or operator.inputs[place] < 0:
        return None
    index = operator.inputs[place]
    return subgraph.tensors[unpacked.get(index, index)]


def _macs(operator: Operator, subgraph: Subgraph) -> int | None:
    """Multiplications, the ones with padding counted: that is how convolutions are compared."""
    if operator.name not in _FILTER:
        return 0
    # A transposed convolution multiplies every value that comes in with every tap; the others, per value going out.
    place = operator.inputs[2:3] if operator.name == "TRANSPOSE_CONV" else operator.outputs[:1]
    if len(operator.inputs) < 2 or not place or min(operator.inputs[1], *place) < 0:
        return None
    taps = subgraph.tensors[operator.inputs[1]].shape
    values = subgraph.tensors[place[0]].shape
    if operator.name == "FULLY_CONNECTED":
        return _product(values, taps[-1:])
    if len(taps) != 4:
        return None
    return _product(
        values, {"DEPTHWISE_CONV_2D": taps[1:3], "TRANSPOSE_CONV": taps[:3]}.get(operator.name, taps[1:])
    )


def _product(*shapes: tuple[int, ...]) -> int | None:
    extents = [extent for shape in shapes for extent in shape]
    return None if -1 in extents else math.prod(extents)


def _precision(operator: Operator, values: list[Tensor], made: list[Tensor], weights: Tensor | None) -> str:
    source = (values or made)[0].dtype if values or made else "none"
    result = made[0].dtype if made else source
    if operator.name in _CONVERSIONS and (source in _FLOATS or result in _FLOATS):
        return "conversion"
    if source in _FLOATS:
        return "hybrid" if weights is not None and weights.dtype in _INTEGERS else "float"
    return _INTEGERS.get(source, "other")


def _parameters(subgraph: Subgraph) -> int:
    """Values of constants, without the shapes and axes that are constants as well."""
    biases = {
        operator.inputs[2]
        for operator in subgraph.operators
        if operator.name in _FILTER and operator.name != "TRANSPOSE_CONV" and len(operator.inputs) > 2
    }
    return sum(
        tensor.elements or 0
        for index, tensor in enumerate(subgraph.tensors)
        if tensor.constant and (tensor.dtype in _FLOATS or tensor.dtype in _INTEGERS or index in biases)
    )


def _scheme(graph: Graph, operations: tuple[OperationInfo, ...]) -> str:
    weighted = {
        (operation.precision, operation.weight_dtype) for operation in operations if operation.macs != 0
    }
    precisions = {precision for precision, _ in weighted}
    if not weighted:
        precisions = {operation.precision for operation in operations} - {"conversion", "other"}
    if precisions == {"int8"}:
        return "int8"
    if precisions == {"int16"}:
        return "int8 with int16 values"
    if precisions <= {"float", "hybrid"} and "hybrid" in precisions:
        return "dynamic range"
    if precisions <= {"float"}:
        return "float16 weights" if "float16" in {dtype for _, dtype in weighted} else "float32"
    return "mixed"


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return {name: count / total for name, count in ordered if count} if total else {}
