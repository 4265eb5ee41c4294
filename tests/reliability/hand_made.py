"""Inputs made by hand to hurt the parsers of text, images, records and `.tflite` files, with a word of the message.

Those for weights and Keras models are in `tests/weights/malicious_files.py`. Each is the name of a parser, bytes, and
what the refusal must say.
"""

import io
import struct
import zlib

import corpus
from PIL import Image


def png(width, height, data=b""):
    """A grey PNG that claims a size."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def animated():
    content = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 200)]
    frames[0].save(content, "PNG", save_all=True, append_images=frames[1:])
    return content.getvalue()


def frame(length, content=b""):
    """A frame of TFRecord with a right checksum of its length."""
    head = struct.pack("<Q", length)
    return head + struct.pack("<I", corpus.masked(head)) + content


def entry(**changes):
    """A checkpoint's block whose variable has other fields."""
    fields = {"dtype": 1, "offset": 0, "size": 24} | changes
    shape = b"".join(
        b"\x12" + corpus.varint(len(d)) + d
        for d in ([b"\x08" + corpus.varint(e) for e in fields.get("shape", (2, 3))])
    )
    value = b"\x08" + corpus.varint(fields["dtype"]) + b"\x12" + corpus.varint(len(shape)) + shape
    value += b"\x20" + corpus.varint(fields["offset"]) + b"\x28" + corpus.varint(fields["size"])
    value += b"\x35" + struct.pack("<I", fields.get("checksum", corpus.masked(corpus.CHECKPOINT_DATA)))
    return corpus.entries([(b"", b"\x08\x01"), (b"conv/weights", value)])


def heap(*, length, number=0):
    """Keras's older file, whose heap of texts has a first piece of that number and length."""
    data = bytearray(corpus.old_h5())
    place = data.index(b"GCOL\x01\0\0\0") + 16
    data[place : place + 16] = struct.pack("<HHIQ", number, 0, 0, length)
    return bytes(data)


BOMB = b"a: &a [x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (c, c, *[c - 1] * 8)
    for c in range(ord("b"), ord("k"))
)
TFLITE = corpus.tflite()

CASES = {
    "aliases that multiply": ("preset (YAML)", BOMB, "at most|alias"),
    "a million brackets": ("preset (YAML)", b"a: " + b"[" * 1_000_000, "deep|nest|bytes"),
    "a tag that runs code": ("preset (YAML)", b"a: !!python/object/apply:os.system [touch hurt]", "tag"),
    "a key twice": ("preset (YAML)", b"num_classes: 2\nnum_classes: 3\n", "twice|once"),
    "a base outside of its folder": ("preset (YAML)", b"extends: ../../../../etc/passwd\n", "extends"),
    "a base that is itself": ("preset (YAML)", b"extends: x\n", "extends|root|preset"),
    "weights outside of their folder": (
        "preset (YAML)",
        corpus.yaml_files()[0] + b"\nweights: {segmentation: ../../etc/passwd}\n",
        "twice|folder|weights",
    ),
    "a preset that is an archive": ("preset (YAML)", b"PK\3\4" + bytes(60), "UTF-8|control|character"),
    "a recipe that is a list": ("recipe (YAML)", b"- a\n- b\n", "mapping"),
    "an expression as a number": ("--set", b"num_classes=!!python/name:os.system", "YAML"),
    "an option without a value": ("--set", b"num_classes", "KEY=VALUE"),
    "labels of another encoding": ("labels (text)", b"Stra\xdfe\n", "UTF-8"),
    "a lock of next year": (
        "lock file (YAML)",
        corpus.LOCK.replace(b"version: 1", b"version: 9", 1),
        "version",
    ),
    "a lock with a short hash": ("lock file (YAML)", corpus.LOCK.replace(b"59df06", b"", 1), "config_sha256"),
    "a heap of texts that is walked without end": (
        "Keras weights, older (HDF5)",
        heap(length=0),
        "heap of texts",
    ),
    "a heap of texts with a length that wraps around": (
        "Keras weights, older (HDF5)",
        heap(length=(1 << 64) - 16, number=1),
        "heap of texts",
    ),
    "KerasHub's description of something else": (
        "KerasHub preset (JSON)",
        b'{"class_name": "Gemma"}',
        "describes|image_encoder",
    ),
    "KerasHub's description without its keys": (
        "KerasHub preset (JSON)",
        b'{"class_name": "DeepLabV3Backbone", "config": {"image_encoder": {"config": {}}}}',
        "spatial_pyramid_pooling_key",
    ),
    "KerasHub's description nested to the stack's end": (
        "KerasHub preset (JSON)",
        b'{"a":' * 100_000,
        "recursion",
    ),
    "a header of saved weights with a version of infinity": (
        "header of saved weights (JSON)",
        b'{"name": "x", "version": Infinity}',
        "name. and .version",
    ),
    "a header of saved weights of a later version": (
        "header of saved weights (JSON)",
        b'{"name": "x", "version": 99}',
        "up to version",
    ),
    "a checkpoint that is empty": ("TensorFlow checkpoint", b"", "bytes"),
    "a checkpoint whose array claims a terabyte": (
        "checkpoint's block, checksums right",
        entry(shape=(1 << 20, 1 << 20), size=1 << 42),
        "not what lies",
    ),
    "a checkpoint whose array lies beyond the file": (
        "checkpoint's block, checksums right",
        entry(offset=1 << 40),
        "not what lies",
    ),
    "a checkpoint of another type": ("checkpoint's block, checksums right", entry(dtype=20), "dtype"),
    "a checkpoint whose data were changed": (
        "checkpoint's block, checksums right",
        entry(checksum=1),
        "checksum",
    ),
    "a checkpoint of endless numbers": ("checkpoint's block, checksums right", b"\xff" * 64, "restarts"),
    "a checkpoint with a child that is no object": (
        "checkpoint's graph of objects",
        corpus.object_graph().replace(b"\x08\x01", b"\x08\x09"),
        "out of range",
    ),
    "a checkpoint whose graph of objects has no end": (
        "checkpoint's graph of objects",
        b"\x0a\x00" * 200_001,
        "more than 200,000 fields",
    ),
    "a .tflite of another kind": (".tflite, outline", b"\0\0\0\0ONNX" + bytes(40), "TFL3"),
    "a .tflite that is empty": (".tflite, outline", b"", "empty"),
    "a .tflite whose root lies elsewhere": (".tflite, outline", b"\xff\xff\xff\x7f" + TFLITE[4:], "root"),
    "a .tflite cut in half": (
        ".tflite, graph",
        TFLITE[: len(TFLITE) // 2],
        "damaged|identifier|flatbuffer|intact",
    ),
    "a .tflite of lists without end": (
        ".tflite, graph",
        TFLITE.replace(struct.pack("<I", 4), struct.pack("<I", 1 << 30)),
        "",
    ),
    "metadata in a file that is none": (".tflite, metadata", b"\0\0\0\0TFL3", ""),
    "an image of a hundred gigapixels": ("image", png(400_000, 400_000), "pixels"),
    "an image that is a pickle": ("image", b"\x80\x04cos\nsystem\n.", "image"),
    "an image without its end": ("image", corpus.image("PNG")[:60], "image"),
    "an image of vectors that loads others": (
        "image",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "image",
    ),
    "an image of PostScript": (
        "image",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "image",
    ),
    "a mask of colours": ("mask (PNG)", corpus.image("PNG"), "mask|palette|index|channel|grey|values"),
    "a mask of a hundred gigapixels": ("mask (PNG)", png(400_000, 400_000), "pixels"),
    "a record of nine exabytes": ("TFRecord", frame((1 << 63) - 1), "TFRecord"),
    "a record that was cut off": ("TFRecord", frame(1000, b"abc"), "cut|bytes"),
    "a TFRecord that is compressed": ("TFRecord", b"\x1f\x8b\x08" + bytes(40), "compress|gzip|GZIP"),
    "an example that is no message": ("tf.train.Example", b"\xff" * 40, ""),
    "COCO's annotations nested to the stack's end": ("COCO's annotations (JSON)", b"[" * 200_000, ""),
    "COCO's annotations without categories": ("COCO's annotations (JSON)", b"{}", "categories"),
    "COCO's annotations of another shape": (
        "COCO's annotations (JSON)",
        b'{"categories": 7, "annotations": []}',
        "",
    ),
}
