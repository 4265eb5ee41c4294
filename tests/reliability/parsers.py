"""Every parser of bytes that somebody else wrote: what it is given to start from, and how it is called.

Whatever the bytes are, a parser answers or raises a `RegistryError`; anything else is a defect. None needs TensorFlow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import corpus
import numpy as np
import typer

from registry.catalog import resolve, resolve_recipe
from registry.cli.options import parse_overrides, read_labels
from registry.data.coco import coco_panoptic
from registry.data.dataset import checked_example, stored_example
from registry.data.masks import read_indices
from registry.data.messages import BadExampleError, decode_example
from registry.data.records import open_records
from registry.data.shards import tfrecord
from registry.images import load_image
from registry.inspection.graph import read_graph
from registry.locking.lockfile import read_lock
from registry.metadata import read_metadata
from registry.runtime.modelfile import check_structure
from registry.weights.archives import malformed, read_config, unpacked_weights
from registry.weights.checkpoints import OBJECT_GRAPH, read_checkpoint
from registry.weights.hdf5 import check_file
from registry.weights.keras_hub import open_preset
from registry.weights.object_paths import children
from registry.weights.opening import open_weights

__all__ = ["PARSERS", "Parser"]


@dataclass(frozen=True)
class Parser:
    """One of them.

    Args:
        seeds: valid inputs.
        read: what is called with bytes and an empty folder.
        refusals: what it raises beside `RegistryError`, by contract with its only caller.
    """

    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]
    refusals: tuple[type[Exception], ...] = ()


def in_file(name, read):
    """Write the bytes to a file of that name, and read it."""

    def call(data, folder):
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return call


def _weights(path):
    """Read every array, not the list of them alone."""
    return [array.read() for arrays in open_weights(path).arrays.values() for array in arrays]


def _model(path):
    read_config(path)
    with unpacked_weights(path) as weights:
        check_file(weights, malformed)


def _checkpoint(data, folder):
    (folder / "x.index").write_bytes(data)
    (folder / "x.data-00000-of-00001").write_bytes(corpus.CHECKPOINT_DATA)
    return [array.read() for arrays in read_checkpoint(folder / "x").values() for array in arrays]


def _keras_hub(data, folder):
    (folder / "config.json").write_bytes(data)
    preset = open_preset(folder, weights=False)
    name, _ = preset.encoder_config()
    return preset.preset_mapping({"plugin": "resnet", "variant": name, "options": {}})


def _shards(data, folder):
    (folder / "x.tfrecord").write_bytes(data)
    data_set = tfrecord(folder, num_classes=4)
    return [checked_example(stored_example(data_set, index), data_set) for index in range(len(data_set))]


def _records(path):
    records = open_records(path)
    return [records.read(number) for number in range(len(records))]


def _coco(data, folder):
    for name in ("val2017", "annotations/panoptic_val2017"):
        (folder / name).mkdir(parents=True)
    (folder / "val2017/a.jpg").write_bytes(b"")
    (folder / "annotations/panoptic_val2017/a.png").write_bytes(b"")
    (folder / "annotations/panoptic_val2017.json").write_bytes(data)
    return coco_panoptic(folder, "val")


PARSERS = {
    "preset (YAML)": Parser(corpus.yaml_files, in_file("x.yaml", resolve)),
    "recipe (YAML)": Parser(lambda: corpus.yaml_files("recipe"), in_file("x.yaml", resolve_recipe)),
    "lock file (YAML)": Parser(lambda: [corpus.LOCK], in_file("atrous.lock", read_lock)),
    "--set": Parser(
        lambda: [corpus.OVERRIDES],
        lambda data, _: parse_overrides(data.decode("utf-8", "replace").splitlines()),
        (typer.BadParameter,),
    ),
    "labels (text)": Parser(
        lambda: [corpus.LABELS], in_file("labels.txt", lambda path: read_labels(str(path)))
    ),
    "safetensors": Parser(lambda: [corpus.safetensors()], in_file("x.safetensors", _weights)),
    "saved preset's weights": Parser(lambda: [corpus.saved_layers()], in_file("x.safetensors", _weights)),
    "header of saved weights (JSON)": Parser(
        lambda: [b'{"name": "mine", "version": 1}'],
        lambda data, folder: in_file("x.safetensors", _weights)(
            corpus.saved_layers(data.decode("utf-8", "replace")), folder
        ),
    ),
    "Keras weights (HDF5)": Parser(lambda: [corpus.weights_h5()], in_file("x.weights.h5", _weights)),
    "Keras weights, older (HDF5)": Parser(lambda: [corpus.old_h5()], in_file("x.h5", _weights)),
    "Keras model (ZIP)": Parser(lambda: [corpus.keras_archive()], in_file("x.keras", _model)),
    "KerasHub preset (JSON)": Parser(
        lambda: [corpus.json.dumps(corpus.KERAS_HUB_CONFIG).encode()], _keras_hub
    ),
    "TensorFlow checkpoint": Parser(lambda: [corpus.table([corpus.checkpoint_block()])], _checkpoint),
    "checkpoint's block, checksums right": Parser(
        lambda: [corpus.checkpoint_block()],
        lambda data, folder: _checkpoint(corpus.table([data]), folder),
    ),
    "checkpoint's graph of objects": Parser(
        lambda: [corpus.object_graph()],
        lambda data, _: children({OBJECT_GRAPH: [np.frombuffer(data, np.uint8)]}, "decoder/aspp"),
    ),
    ".tflite, graph": Parser(lambda: [corpus.tflite()], lambda data, _: read_graph(data)),
    ".tflite, outline": Parser(lambda: [corpus.tflite()], in_file("x.tflite", check_structure)),
    ".tflite, metadata": Parser(
        lambda: [corpus.tflite_with_metadata()], lambda data, _: read_metadata(bytes(data))
    ),
    "image": Parser(
        lambda: [corpus.image(kind) for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")],
        lambda data, _: load_image(bytes(data)),
    ),
    "mask (PNG)": Parser(lambda: [corpus.mask(), corpus.image("PNG", "L")], in_file("x.png", read_indices)),
    "TFRecord": Parser(lambda: [corpus.records()], in_file("x.tfrecord", _records)),
    "TFRecord's shard": Parser(lambda: [corpus.records()], _shards),
    "tf.train.Example": Parser(
        lambda: [corpus.example()], lambda data, _: decode_example(bytes(data)), (BadExampleError,)
    ),
    "COCO's annotations (JSON)": Parser(lambda: [corpus.COCO], _coco),
}
