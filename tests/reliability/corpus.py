"""Small valid inputs for every parser of untrusted bytes, made by hand or by the writers themselves; no TensorFlow."""

import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path

import google_crc32c
import h5py
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder
from PIL import Image
from safetensors.numpy import save

from registry.catalog.roots import builtin_root
from registry.data.messages import encode_example
from registry.data.records import write_record
from registry.metadata import SegmenterMetadata, write_metadata

RNG = np.random.default_rng(0)
TABLE_MAGIC = 0xDB4775248B80FB57


def yaml_files(kind="preset"):
    paths = sorted(builtin_root(kind).path.glob("*.yaml"), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in paths[:6]]


LOCK = b"""version: 1
plugins:
  - {kind: encoder, name: resnet, distribution: atrous}
distributions:
  atrous:
    version: 0.1.0
    code: editable
presets:
  ./mine.yaml:
    overrides: {num_classes: 3}
    config_sha256: 59df0638567d7f79849333d6954a609e60cb0c7ba3210b2a69ea83be9c5470a9
    weights:
      use: encoder
      source: imagenet
      files: {a.h5: 59df0638567d7f79849333d6954a609e60cb0c7ba3210b2a69ea83be9c5470a9}
    config: {num_classes: 3, encoder: {plugin: resnet}}
"""


def tflite(classes=4):
    """A convolution of 3 to `classes` channels, 1×1, from (1, 8, 8, 3) to (1, 8, 8, classes)."""
    model = schema.ModelT()
    model.version, model.description = 3, b"by hand"
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    kernel, bias = schema.BufferT(), schema.BufferT()
    kernel.data = list(np.ones((classes, 1, 1, 3), np.float32).tobytes())
    bias.data = list(np.zeros(classes, np.float32).tobytes())
    shapes = {"image": ((1, 8, 8, 3), 0), "kernel": ((classes, 1, 1, 3), 1), "bias": ((classes,), 2)}
    shapes["scores"] = ((1, 8, 8, classes), 0)
    graph = schema.SubGraphT()
    graph.name, graph.tensors = b"main", []
    for name, (shape, buffer) in shapes.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), buffer
        tensor.type = schema.TensorType.FLOAT32
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    operator.builtinOptions = schema.Conv2DOptionsT()
    operator.builtinOptions.strideH = operator.builtinOptions.strideW = 1
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [3]
    model.operatorCodes, model.subgraphs = [code], [graph]
    model.buffers = [schema.BufferT(), kernel, bias]
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tflite_with_metadata():
    metadata = SegmenterMetadata(
        name="fields",
        description="Soil and crops.",
        size=(8, 8),
        labels=("soil", "crop", "weed", "道"),
        colors=((0, 0, 0), (0, 255, 0), (255, 0, 0), (9, 9, 9)),
        activation="softmax",
        output="logits",
        extra={"architecture": "deeplab_v3"},
    )
    return write_metadata(tflite(), metadata)


def safetensors():
    return save({"conv.weight": np.ones((2, 3, 1, 1), np.float32), "bn.bias": np.zeros(2, np.float16)})


def saved_layers(header='{"name": "mine", "version": 1}'):
    return save({"conv/kernel": np.ones((1, 1, 3, 2), np.float32)}, metadata={"atrous": header})


def _hdf5(fill):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return path.read_bytes()


def weights_h5():
    def fill(file):
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "stem"
        group["0"] = np.ones((3, 3, 3, 2), np.float32)
        group.create_dataset("1", data=np.zeros(2, np.float32), chunks=(2,), compression="gzip")

    return _hdf5(fill)


def old_h5():
    def fill(file):
        file.attrs["layer_names"] = [b"stem", b"head"]
        for name in ("stem", "head"):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            group[f"{name}/kernel:0"] = np.ones((1, 1, 3, 2), np.float32)

    return _hdf5(fill)


KERAS_CONFIG = {
    "class_name": "Functional",
    "module": "tf_keras.src.engine.functional",
    "registered_name": "Functional",
    "config": {"name": "m", "layers": [{"class_name": "InputLayer", "module": "keras.layers", "config": {}}]},
}


def keras_archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(KERAS_CONFIG))
        archive.writestr("model.weights.h5", weights_h5())
    return content.getvalue()


KERAS_HUB_CONFIG = {
    "module": "keras_hub.src.models.deeplab_v3.deeplab_v3_backbone",
    "class_name": "DeepLabV3Backbone",
    "config": {
        "image_encoder": {"class_name": "ResNetBackbone", "config": {"block_type": "bottleneck_block"}},
        "spatial_pyramid_pooling_key": "P5",
        "upsampling_size": 8,
        "dilation_rates": [6, 12, 18],
        "low_level_feature_key": "P2",
        "projection_filters": 48,
    },
}


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def masked(data):
    value = google_crc32c.value(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def table(blocks):
    """A table of TensorFlow with these data blocks, one entry of the index for each, and right checksums."""
    out, handles = bytearray(), []
    for block in blocks:
        handles.append(varint(len(out)) + varint(len(block)))
        out += block + b"\0" + struct.pack("<I", masked(block + b"\0"))
    index = entries([(b"%08d" % number, handle) for number, handle in enumerate(handles)])
    place = varint(len(out)) + varint(len(index))
    out += index + b"\0" + struct.pack("<I", masked(index + b"\0"))
    return bytes(out) + (varint(0) + varint(0) + place).ljust(40, b"\0") + struct.pack("<Q", TABLE_MAGIC)


def entries(pairs):
    """A block of keys and values."""
    content = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs
    )
    return content + struct.pack("<II", 0, 1)


CHECKPOINT_DATA = np.arange(6, dtype=np.float32).tobytes()


def checkpoint_block():
    """One variable of shape (2, 3) at the start of the only data file."""
    shape = b"".join(b"\x12" + varint(2) + b"\x08" + varint(extent) for extent in (2, 3))
    entry = b"\x08\x01" + b"\x12" + varint(len(shape)) + shape + b"\x20\x00" + b"\x28\x18"
    entry += b"\x35" + struct.pack("<I", masked(CHECKPOINT_DATA))
    return entries([(b"", b"\x08\x01\x1a\x02\x08\x01"), (b"conv/weights", entry)])


def object_graph():
    """The graph of objects of a checkpoint: `decoder/aspp`, each object with the number of its child."""

    def piece(content):
        return b"\x0a" + varint(len(content)) + content

    def child(number, name):
        return piece(b"\x08" + varint(number) + b"\x12" + varint(len(name)) + name)

    return (
        piece(child(1, b"decoder") + child(2, b"head")) + piece(child(3, b"aspp")) + piece(b"") + piece(b"")
    )


def image(suffix, mode="RGB"):
    content = io.BytesIO()
    pixels = RNG.integers(0, 255, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(content, suffix)
    return content.getvalue()


def mask():
    content = io.BytesIO()
    picture = Image.fromarray(RNG.integers(0, 4, (9, 12), np.uint8), "L").convert("P")
    picture.putpalette(list(range(12)))
    picture.save(content, "PNG")
    return content.getvalue()


def example():
    return encode_example(
        {
            "image/encoded": image("JPEG"),
            "image/filename": b"a.jpg",
            "image/format": b"jpeg",
            "image/height": 9,
            "image/width": 12,
            "image/segmentation/class/encoded": mask(),
            "image/segmentation/class/format": b"png",
        }
    )


def records():
    stream = io.BytesIO()
    for _ in range(2):
        write_record(stream, example())
    return stream.getvalue()


LABELS = "background\nStraße\n道\n".encode()
OVERRIDES = (
    b"encoder.output_stride=8\narchitecture.dilation_rates=[1, 2]\nlabels=[{name: a, color: [0, 1, 2]}]"
)
COCO = json.dumps(
    {
        "categories": [{"id": 1, "name": "soil", "isthing": 0}, {"id": 7, "name": "crop", "isthing": 1}],
        "images": [{"id": 3, "file_name": "a.jpg", "height": 9, "width": 12}],
        "annotations": [
            {
                "image_id": 3,
                "file_name": "a.png",
                "segments_info": [{"id": 5, "category_id": 7, "iscrowd": 0}],
            }
        ],
    }
).encode()
