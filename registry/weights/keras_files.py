"""Keras's HDF5 files: `model.save_weights("x.h5")`, `model.save("x.h5")`, and `.weights.h5` with layer names.

The first is what `tf_keras.applications` publishes: a group per layer, listed by the attribute `layer_names`, each
with its variables listed by `weight_names` in the order of `layer.weights`. `model.save` puts the same into the
group `model_weights`. `.weights.h5` numbers its groups by class; Keras 3 and KerasHub add the layer's name, tf-keras
does not. Nothing here imports TensorFlow; a model's configuration is never read, so no code comes out of a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from registry.errors import WeightsFormatError
from registry.weights.arrays import StoredArray
from registry.weights.hdf5 import attribute, check_links, follow, reading, stored_dataset

__all__ = ["read_keras_file"]

_MODEL = "model_weights"
_MODEL_S_OWN = "top_level_model_weights"
_LAYERS = "layers"
# State of training, in `.weights.h5` files.
_TRAINING = ("optimizer/", "metrics/", "_metrics/", "compile_metrics/")


def read_keras_file(path: Path) -> dict[str, list[StoredArray]]:
    """Arrays of a file by layer name, each read once and checked, and left in the file.

    Args:
        path: a `.h5` or `.weights.h5` file.

    Returns:
        Layer name → arrays in the order of the layer's variables; layers without any are left out.

    Raises:
        WeightsFormatError: the file is damaged, refers to other files, or does not name its layers.
    """
    with reading(path, _malformed) as file:
        root = follow(path, file, _MODEL, _malformed) or file
        if _names(path, root, "layer_names"):
            return _by_attributes(path, root)
        if follow(path, file, _LAYERS, _malformed) is not None:
            return _by_groups(path, file)
    raise _malformed(path, f"it has neither `layer_names` nor the group {_LAYERS!r}")


def _by_attributes(path: Path, root: Any) -> dict[str, list[StoredArray]]:
    arrays: dict[str, list[StoredArray]] = {}
    for layer in (*_names(path, root, "layer_names"), _MODEL_S_OWN):
        group = follow(path, root, layer, _malformed)
        if group is None and layer == _MODEL_S_OWN:  # absent from older files
            continue
        if not isinstance(group, h5py.Group):
            raise _malformed(path, f"the layer {layer!r} is listed but absent")
        if layer in arrays:
            raise _malformed(path, f"the layer {layer!r} is listed twice")
        held = []
        for weight in _names(path, group, "weight_names"):
            dataset = follow(path, group, weight, _malformed)
            if not isinstance(dataset, h5py.Dataset):
                raise _malformed(path, f"the array {weight!r} of layer {layer!r} is listed but absent")
            held.append(stored_dataset(path, dataset, _malformed))
        arrays[layer] = held
    return {layer: held for layer, held in arrays.items() if held}


def _names(path: Path, group: Any, key: str) -> list[str]:
    """A list of texts; one that exceeds HDF5's 64 KiB is spread over `layer_names0`, `layer_names1` and so on."""
    if key in group.attrs:
        parts = [attribute(path, group, key, _malformed)]
    else:
        parts = []
        while (part := f"{key}{len(parts)}") in group.attrs:
            parts.append(attribute(path, group, part, _malformed))
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _by_groups(path: Path, file: Any) -> dict[str, list[StoredArray]]:
    arrays: dict[str, dict[int, StoredArray]] = {}

    def visit(key: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            check_links(path, item, _malformed)
            return
        group, _, number = key.rpartition("/")
        if key.startswith(_TRAINING):
            return
        if not group.endswith("vars") or not number.isdigit():
            raise _malformed(path, f"the array {key!r} belongs to no layer")
        name = item.parent.attrs.get("name")
        if name is None:
            raise _nameless(path, group)
        layer = arrays.setdefault(name.decode() if isinstance(name, bytes) else str(name), {})
        if int(number) in layer:
            raise _malformed(path, f"the group {group!r} repeats the layer name {name!r}")
        layer[int(number)] = stored_dataset(path, item, _malformed)

    check_links(path, file, _malformed)
    file.visititems(visit)
    return {name: [held[number] for number in sorted(held)] for name, held in arrays.items()}


def _nameless(path: Path, group: str) -> WeightsFormatError:
    return WeightsFormatError(
        "a weights file must name its layers: tf-keras's `.weights.h5` only numbers them by class, which leaves open "
        "which of two parallel layers is which",
        received=f"{path}: {group!r} has no name",
        repair="load it with model.load_weights into the model that wrote it, then model.save_weights('encoder.h5')",
    )


def _malformed(path: Path, why: str) -> WeightsFormatError:
    return WeightsFormatError(
        "a Keras weights file is an intact HDF5 file written by model.save_weights('x.h5') or model.save('x.h5')",
        received=f"{path}: {why}",
        repair="download or save it again",
    )
