"""`tf.train.Example`, the protocol buffer that TFRecord files of images hold: named lists of bytes or integers.

The message is described here in code, in a pool of its own, so that neither TensorFlow nor generated files are needed
and TensorFlow's own description of it, in the same process, is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = ["BadExampleError", "decode_example", "encode_example"]

_Field = descriptor_pb2.FieldDescriptorProto
_LISTS = {"bytes_list": "BytesList", "float_list": "FloatList", "int64_list": "Int64List"}
_VALUES = {
    "BytesList": _Field.TYPE_BYTES,
    "FloatList": _Field.TYPE_FLOAT,
    "Int64List": _Field.TYPE_INT64,
}


class BadExampleError(ValueError):
    """Bytes are no `tf.train.Example`; the message says why."""


def encode_example(features: Mapping[str, bytes | int]) -> bytes:
    """Serialize an example with one value per feature; the same features give the same bytes."""
    message = _example_class()()
    for name, value in features.items():
        kind = "bytes_list" if isinstance(value, bytes) else "int64_list"
        getattr(message.features.feature[name], kind).value.append(value)
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized


def decode_example(content: bytes) -> dict[str, list[Any]]:
    """Parse an example.

    Returns:
        Feature → its values: bytes, integers or floats; empty for a feature without a value.

    Raises:
        BadExampleError: the bytes are no such message.
    """
    try:
        message = _example_class().FromString(content)
    except DecodeError as error:
        raise BadExampleError(str(error) or "no protocol buffer of this kind") from error
    features = message.features.feature
    return {name: _values(features[name]) for name in features}


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    return [] if kind is None else list(getattr(feature, kind).value)


@cache
def _example_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    for name, kind in _VALUES.items():
        file.message_type.add(name=name).field.add(
            name="value", number=1, type=kind, label=_Field.LABEL_REPEATED
        )
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(_LISTS.items(), start=1):
        feature.field.add(name=name, number=number, **_message(kind), oneof_index=0)
    features = file.message_type.add(name="Features")
    # What `map<string, Feature> feature = 1` stands for.
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, **_message("Feature"))
    features.field.add(
        name="feature",
        number=1,
        **{**_message("Features.FeatureEntry"), "label": _Field.LABEL_REPEATED},
    )
    file.message_type.add(name="Example").field.add(name="features", number=1, **_message("Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _message(name: str) -> dict[str, Any]:
    return {"type": _Field.TYPE_MESSAGE, "type_name": f".tensorflow.{name}", "label": _Field.LABEL_OPTIONAL}
