"""`SegmenterMetadata` ↔ the ModelMetadata flatbuffer of TFLite and MediaPipe.

The numbers are those of the fields in `metadata_schema.fbs` (1.5.0) and `image_segmenter_metadata_schema.fbs` (1.0.0).
What has no place there (colours, what the output is, how the file was made) is in the associated file `atrous.json`.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flatbuffers import Builder

from registry.errors import ModelError
from registry.metadata.description import Activation, SegmenterMetadata
from registry.metadata.flat import (
    Field,
    FlatTable,
    damaged,
    write_bytes,
    write_floats,
    write_offsets,
    write_table,
)

__all__ = ["EXTRA_FILE", "LABELS_FILE", "associated_files", "decode", "encode", "labels_file_name"]

LABELS_FILE, EXTRA_FILE = "labels.txt", "atrous.json"

_MODEL_IDENTIFIER, _SEGMENTER_IDENTIFIER = b"M001", b"V001"
# The first version that knows custom metadata; a parser older than this refuses the file instead of misreading it.
_PARSER_VERSION, _SEGMENTER_PARSER_VERSION = "1.5.0", "1.0.0"
_SEGMENTER_METADATA = "SEGMENTER_METADATA"
_ACTIVATIONS: tuple[Activation, ...] = ("none", "sigmoid", "softmax")
_FORMAT = 1

# ModelMetadata
_NAME, _DESCRIPTION, _VERSION, _SUBGRAPHS, _AUTHOR, _LICENSE, _FILES, _MIN_PARSER = range(8)
# SubGraphMetadata
_GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_CUSTOM = 2, 3, 9
# TensorMetadata; its name and description are fields 0 and 1, as everywhere
_DIMENSIONS, _CONTENT, _PROCESS_UNITS, _STATS, _TENSOR_FILES = 2, 3, 4, 5, 6
# Content, ImageProperties, ImageSize
_PROPERTIES_TYPE, _PROPERTIES, _IMAGE_PROPERTIES = 0, 1, 2
_COLOR_SPACE, _DEFAULT_SIZE, _RGB = 0, 1, 1
_WIDTH, _HEIGHT = 0, 1
# ProcessUnit, NormalizationOptions, Stats
_OPTIONS_TYPE, _OPTIONS, _NORMALIZATION = 0, 1, 1
_MEAN, _STD = 0, 1
_MAX, _MIN = 0, 1
# AssociatedFile, CustomMetadata, ImageSegmenterOptions
_FILE_TYPE, _DESCRIPTIONS, _AXIS_LABELS = 2, 1, 2
_CUSTOM_DATA = 1
_ACTIVATION, _SEGMENTER_MIN_PARSER = 0, 1

_OUTPUT_NAMES = {"logits": "logits", "probabilities": "probabilities", "mask": "mask", None: "segmentation"}
_OUTPUT_TEXTS = {
    "logits": "Score of each class for each pixel, before any activation.",
    "probabilities": "Probability of each class for each pixel.",
    "mask": "Index of the class of each pixel.",
    None: "Segmentation.",
}


def associated_files(metadata: SegmenterMetadata) -> dict[str, bytes]:
    """The files that go with the flatbuffer.

    Raises:
        ModelError: `extra` is no JSON.
    """
    files = {LABELS_FILE: "\n".join((*metadata.labels, "")).encode()} if metadata.labels else {}
    try:
        text = json.dumps(
            _extra_document(metadata), ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            "`extra` must be what JSON can hold",
            received=str(error),
            repair="use text, numbers, lists and dicts",
        ) from error
    return {**files, EXTRA_FILE: text.encode()}


def _extra_document(metadata: SegmenterMetadata) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "output": metadata.output,
        "input_range": list(metadata.input_range),
        "labels": list(metadata.labels),
        "colors": [list(color) for color in metadata.colors],
        "model": dict(metadata.extra),
    }


def encode(metadata: SegmenterMetadata) -> bytes:
    """The ModelMetadata flatbuffer; the same bytes for the same metadata."""
    builder = Builder(2048)
    extra = _file(builder, EXTRA_FILE, "What atrous knows about this file.", _DESCRIPTIONS)
    graph = write_table(
        builder,
        [
            (_GRAPH_INPUTS, "offset", write_offsets(builder, [_input_tensor(builder, metadata)])),
            (_GRAPH_OUTPUTS, "offset", write_offsets(builder, [_output_tensor(builder, metadata)])),
            (_GRAPH_CUSTOM, "offset", write_offsets(builder, [_custom(builder, metadata.activation)])),
        ],
    )
    graphs, files = write_offsets(builder, [graph]), write_offsets(builder, [extra])
    texts = {
        _NAME: metadata.name,
        _DESCRIPTION: metadata.description,
        _VERSION: metadata.version,
        _AUTHOR: metadata.author,
        _LICENSE: metadata.license,
        _MIN_PARSER: _PARSER_VERSION,
    }
    fields = {**_texts(builder, texts), _SUBGRAPHS: graphs, _FILES: files}
    root = write_table(builder, [(slot, "offset", offset) for slot, offset in sorted(fields.items())])
    builder.Finish(root, _MODEL_IDENTIFIER)
    return bytes(builder.Output())


def _texts(builder: Builder, texts: dict[int, str]) -> dict[int, int]:
    return {slot: builder.CreateString(text) for slot, text in texts.items() if text}


def _named(builder: Builder, name: str, description: str) -> list[Field]:
    offsets = _texts(builder, {_NAME: name, _DESCRIPTION: description})
    return [(slot, "offset", offset) for slot, offset in offsets.items()]


def _file(builder: Builder, name: str, description: str, kind: int) -> int:
    return write_table(builder, [*_named(builder, name, description), (_FILE_TYPE, "byte", kind)])


def _stats(builder: Builder, low: float, high: float) -> int:
    minimum, maximum = write_floats(builder, [low]), write_floats(builder, [high])
    return write_table(builder, [(_MAX, "offset", maximum), (_MIN, "offset", minimum)])


def _input_tensor(builder: Builder, metadata: SegmenterMetadata) -> int:
    image: list[Field] = [(_COLOR_SPACE, "byte", _RGB)]
    if metadata.size is not None:
        height, width = metadata.size
        size = write_table(builder, [(_WIDTH, "uint", width), (_HEIGHT, "uint", height)])
        image.append((_DEFAULT_SIZE, "offset", size))
    properties = write_table(builder, image)
    content = write_table(
        builder, [(_PROPERTIES_TYPE, "byte", _IMAGE_PROPERTIES), (_PROPERTIES, "offset", properties)]
    )
    mean, std = write_floats(builder, metadata.mean), write_floats(builder, metadata.std)
    options = write_table(builder, [(_MEAN, "offset", mean), (_STD, "offset", std)])
    unit = write_table(builder, [(_OPTIONS_TYPE, "byte", _NORMALIZATION), (_OPTIONS, "offset", options)])
    units, stats = write_offsets(builder, [unit]), _stats(builder, *metadata.input_range)
    low, high = (f"{value:g}" for value in metadata.input_range)
    return write_table(
        builder,
        [
            *_named(builder, "image", f"RGB image, values in {low}…{high}."),
            (_CONTENT, "offset", content),
            (_PROCESS_UNITS, "offset", units),
            (_STATS, "offset", stats),
        ],
    )


def _output_tensor(builder: Builder, metadata: SegmenterMetadata) -> int:
    fields = _named(builder, _OUTPUT_NAMES[metadata.output], _OUTPUT_TEXTS[metadata.output])
    if metadata.output == "probabilities":
        fields.append((_STATS, "offset", _stats(builder, 0.0, 1.0)))
    elif metadata.output == "mask" and metadata.labels:
        fields.append((_STATS, "offset", _stats(builder, 0.0, len(metadata.labels) - 1.0)))
    if metadata.labels:
        labels = _file(builder, LABELS_FILE, "Names of the classes, one a line.", _AXIS_LABELS)
        fields.append((_TENSOR_FILES, "offset", write_offsets(builder, [labels])))
    return write_table(builder, fields)


def _custom(builder: Builder, activation: Activation) -> int:
    inner = Builder(64)
    version = inner.CreateString(_SEGMENTER_PARSER_VERSION)
    options = write_table(
        inner,
        [(_ACTIVATION, "byte", _ACTIVATIONS.index(activation)), (_SEGMENTER_MIN_PARSER, "offset", version)],
    )
    inner.Finish(options, _SEGMENTER_IDENTIFIER)
    data = write_bytes(builder, bytes(inner.Output()), 16)
    return write_table(
        builder,
        [(_NAME, "offset", builder.CreateString(_SEGMENTER_METADATA)), (_CUSTOM_DATA, "offset", data)],
    )


def labels_file_name(content: memoryview) -> str | None:
    """Name of the associated file with the classes' names; None if there is none."""
    outputs = _graph_tables(FlatTable.root(content, _MODEL_IDENTIFIER), _GRAPH_OUTPUTS)
    # MediaPipe, too, takes the last output for the segmentation.
    for file in outputs[-1].tables(_TENSOR_FILES) if outputs else ():
        if file.unsigned(_FILE_TYPE, "B") == _AXIS_LABELS and (name := file.string(_NAME)):
            return name
    return None


def decode(content: memoryview, labels: bytes, extra: bytes | None) -> SegmenterMetadata:
    """Read what `encode` or another program has written.

    Args:
        content: the ModelMetadata flatbuffer.
        labels: the associated file with the names.
        extra: our own associated file, if there.

    Returns:
        What is known. Without our own file there are no colours and no kind of output.

    Raises:
        ModelFileError: damaged.
    """
    root = FlatTable.root(content, _MODEL_IDENTIFIER)
    mean, std = _normalization(root)
    known = _ours(extra) if extra is not None else {}
    names = known.pop("labels", None) or _lines(labels)
    try:
        return SegmenterMetadata(
            name=root.string(_NAME),
            description=root.string(_DESCRIPTION),
            version=root.string(_VERSION),
            author=root.string(_AUTHOR),
            license=root.string(_LICENSE),
            mean=mean,
            std=std,
            size=_size(root),
            labels=names,
            activation=_activation(root),
            **({"input_range": _range(mean, std)} | known),
        )
    except (ModelError, TypeError, ValueError, OverflowError) as error:
        raise damaged(f"metadata that cannot be: {error}") from error


def _graph_tables(root: FlatTable, slot: int) -> list[FlatTable]:
    graphs = root.tables(_SUBGRAPHS)
    return graphs[0].tables(slot) if graphs else []


def _normalization(root: FlatTable) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for tensor in _graph_tables(root, _GRAPH_INPUTS)[:1]:
        for unit in tensor.tables(_PROCESS_UNITS):
            options = unit.table(_OPTIONS)
            if unit.unsigned(_OPTIONS_TYPE, "B") == _NORMALIZATION and options is not None:
                return options.floats(_MEAN), options.floats(_STD)
    return (0.0,), (1.0,)


def _range(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[float, float]:
    """What pixels from 0 to 255 become."""
    ends = [(pixel - m) / s for m, s in zip(mean, std, strict=False) if s for pixel in (0, 255)]
    return (min(ends), max(ends)) if ends else (0.0, 255.0)


def _size(root: FlatTable) -> tuple[int, int] | None:
    for tensor in _graph_tables(root, _GRAPH_INPUTS)[:1]:
        content = tensor.table(_CONTENT)
        if content is None or content.unsigned(_PROPERTIES_TYPE, "B") != _IMAGE_PROPERTIES:
            continue
        image = content.table(_PROPERTIES)
        size = image.table(_DEFAULT_SIZE) if image is not None else None
        if size is not None:
            return size.unsigned(_HEIGHT, "I"), size.unsigned(_WIDTH, "I")
    return None


def _activation(root: FlatTable) -> Activation:
    for custom in _graph_tables(root, _GRAPH_CUSTOM):
        if custom.string(_NAME) == _SEGMENTER_METADATA:
            # Without its identifier: other writers leave it out, and MediaPipe does not ask for it.
            data = custom.data(_CUSTOM_DATA)
            options = FlatTable(data, int.from_bytes(data[:4], "little"))
            code = options.unsigned(_ACTIVATION, "B")
            if code >= len(_ACTIVATIONS):
                raise damaged(f"activation {code}")
            return _ACTIVATIONS[code]
    return "none"


def _lines(labels: bytes) -> tuple[str, ...]:
    try:
        return tuple(labels.decode().splitlines())
    except UnicodeDecodeError as error:
        raise damaged(f"labels that are no UTF-8: {error}") from error


def _ours(extra: bytes) -> dict[str, Any]:
    """The fields of `SegmenterMetadata` that `atrous.json` holds."""
    try:
        document = json.loads(extra, parse_constant=_refuse_constant)
        return {
            "output": document["output"],
            "input_range": tuple(float(value) for value in document["input_range"]),
            "labels": tuple(document["labels"]),
            "colors": tuple(tuple(int(value) for value in color) for color in document["colors"]),
            "extra": dict(document["model"]),
        }
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise damaged(f"{EXTRA_FILE}: {type(error).__name__}: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
