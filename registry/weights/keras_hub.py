"""KerasHub's preset directories: their configuration as our preset, their arrays by layer name.

`model.weights.h5` numbers its groups by class in graph order (`layers/conv2d_1/vars/0`); the layer's real name is
the attribute `name` of its `vars` group, and only that is used. Large weights are sharded: `model.weights.json`
names the parts. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from registry.errors import WeightsFormatError
from registry.weights.arrays import StoredArray
from registry.weights.handles import fetch_directory, is_handle
from registry.weights.hdf5 import check_links, reading, stored_dataset

__all__ = ["KerasHubPreset", "is_preset_directory", "open_preset", "preset_files"]

_WEIGHTS, _SHARDS = "model.weights.h5", "model.weights.json"
_TASK, _TASK_WEIGHTS = "task.json", "task.weights.h5"
_IMAGE_CONVERTER = "image_converter.json"
# A description takes some kilobytes, the list of a large model's shards less than one megabyte.
_LARGEST_JSON = 16 << 20


@dataclass(frozen=True)
class KerasHubPreset:
    """A preset directory on this machine.

    Args:
        source: the handle or path that it came from, for messages.
        directory: where its files are.
        backbone: `config.json`, the serialized backbone.
        task: `task.json`, the serialized segmenter, or None.
    """

    source: str
    directory: Path
    backbone: Mapping[str, Any]
    task: Mapping[str, Any] | None

    @property
    def backbone_class(self) -> str:
        """KerasHub's class of the backbone, `DeepLabV3Backbone` or an encoder's."""
        return str(self.backbone.get("class_name", ""))

    @property
    def has_head(self) -> bool:
        """Whether the directory holds a classifier's weights."""
        return self.task is not None and (self.directory / _TASK_WEIGHTS).is_file()

    def backbone_arrays(self) -> dict[str, list[StoredArray]]:
        """Arrays of the backbone by layer name.

        Layers under `image_encoder/` are left out: they belong to the encoder but not to the pyramid (the last
        normalization of a ResNetV2), so no DeepLab computes with them.

        Raises:
            WeightsFormatError: a file is corrupt, truncated, or not of this format.
        """
        return _merged(self._weight_files(), skip="image_encoder/")

    def head_arrays(self) -> dict[str, list[StoredArray]]:
        """Arrays of the classifier by layer name; optimizer slots are left out."""
        if not self.has_head:
            return {}
        return _merged([self.directory / _TASK_WEIGHTS], skip="optimizer/")

    def files(self) -> list[Path]:
        """Every file of the directory that says what the model is or holds its arrays.

        Raises:
            WeightsFormatError: the list of the shards is broken.
        """
        names = ("config.json", _TASK, _TASK_WEIGHTS, _IMAGE_CONVERTER, _SHARDS)
        found = [path for name in names if (path := self.directory / name).is_file()]
        return [*found, *self._weight_files()]

    def _weight_files(self) -> list[Path]:
        single = self.directory / _WEIGHTS
        if single.is_file():
            return [single]
        index = _read_json(self.directory / _SHARDS)
        weight_map = index.get("weight_map")
        if not isinstance(weight_map, Mapping):
            raise _malformed(self.directory / _SHARDS, "it has no `weight_map`")
        names: set[str] = set()
        with _as_it_is_written(self.directory / _SHARDS):
            for value in weight_map.values():
                names.update([value] if isinstance(value, str) else value)
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise _malformed(
                    self.directory / _SHARDS, f"it names {name!r}, which is not a file beside it"
                )
        return [self.directory / name for name in sorted(names)]

    def preset_mapping(self, encoder: Mapping[str, Any]) -> dict[str, Any]:
        """Describe a DeepLab directory as an inline preset.

        Args:
            encoder: `plugin`, `variant` and `options` that stand for `encoder_config()`.

        Raises:
            WeightsFormatError: the directory does not describe a DeepLabV3 model.
        """
        with _as_it_is_written(self.directory / "config.json"):
            return self._preset_mapping(encoder, self._backbone_config("DeepLabV3Backbone"))

    def _preset_mapping(self, encoder: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        low_level = config.get("low_level_feature_key")
        architecture: dict[str, Any] = {
            "name": "deeplab_v3_plus" if low_level else "deeplab_v3",
            "spatial_pyramid_pooling_key": config["spatial_pyramid_pooling_key"],
            "upsampling_size": config["upsampling_size"],
            "dilation_rates": config["dilation_rates"],
            "decoder": {"convolutions": 1, "kernel_size": 1},
        }
        if low_level:
            architecture |= {
                "low_level_feature_key": low_level,
                "projection_filters": config.get("projection_filters", 48),
            }
        task = (self.task or {}).get("config", {})
        mapping: dict[str, Any] = {
            # A folder by its name alone: a description is published, a path of this machine is not.
            "description": f"KerasHub preset {self.source if is_handle(self.source) else self.directory.name}",
            "encoder": dict(encoder),
            "architecture": architecture,
            "num_classes": task.get("num_classes", 1),
            "activation": task.get("activation"),
            "input": self._input_mapping(config),
        }
        return mapping

    def encoder_config(self) -> tuple[str, Mapping[str, Any]]:
        """KerasHub class of the image encoder and its constructor arguments."""
        if self.backbone_class != "DeepLabV3Backbone":
            return self.backbone_class, self._backbone_config(self.backbone_class)
        encoder = self._backbone_config("DeepLabV3Backbone").get("image_encoder")
        if not isinstance(encoder, Mapping) or not isinstance(encoder.get("config"), Mapping):
            raise _malformed(self.directory / "config.json", "it has no `image_encoder`")
        return str(encoder.get("class_name")), encoder["config"]

    def _backbone_config(self, class_name: str) -> Mapping[str, Any]:
        config = self.backbone.get("config")
        if self.backbone_class != class_name or not isinstance(config, Mapping):
            raise _malformed(
                self.directory / "config.json",
                f"it describes {self.backbone_class or 'nothing'}, not {class_name}",
            )
        return config

    def _input_mapping(self, config: Mapping[str, Any]) -> dict[str, Any]:
        shape = config.get("image_shape") or (None, None, 3)
        mapping: dict[str, Any] = {
            "image_shape": list(shape),
            "normalization": {"scale": 1.0, "offset": 0.0},
        }
        converter = self._image_converter()
        if converter.get("image_size"):
            mapping["size"] = list(converter["image_size"])
        for key in ("scale", "offset"):
            if converter.get(key) is not None:
                mapping["normalization"][key] = converter[key]
        return mapping

    def _image_converter(self) -> Mapping[str, Any]:
        path = self.directory / _IMAGE_CONVERTER
        return _read_json(path).get("config", {}) if path.is_file() else {}


def is_preset_directory(path: object) -> bool:
    """Whether a path is a directory with KerasHub's `config.json`."""
    return isinstance(path, (str, os.PathLike)) and (Path(path) / "config.json").is_file()


def preset_files(*, weights: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the files that must be in a preset directory, `|` between alternatives, and of those that may be.

    Args:
        weights: whether the arrays are wanted, too; the names of shards stand in one of these files.
    """
    required = ("config.json", *((f"{_WEIGHTS}|{_SHARDS}",) if weights else ()))
    return required, (_TASK, _IMAGE_CONVERTER, *((_TASK_WEIGHTS,) if weights else ()))


def open_preset(source: str | os.PathLike[str], *, weights: bool = True) -> KerasHubPreset:
    """Fetch a preset directory and read what it describes.

    Args:
        source: `kaggle://…`, `hf://…` or a path.
        weights: whether the arrays are wanted, too.

    Raises:
        WeightsUnavailableError: it cannot be fetched.
        WeightsFormatError: its JSON files are broken.
    """
    required, optional = preset_files(weights=weights)
    directory = fetch_directory(source, required=required, optional=optional)
    task = directory / _TASK
    preset = KerasHubPreset(
        source=str(source),
        directory=directory,
        backbone=_read_json(directory / "config.json"),
        task=_read_json(task) if task.is_file() else None,
    )
    if weights and not (directory / _WEIGHTS).is_file():
        fetch_directory(source, required=[path.name for path in preset._weight_files()], optional=())
    return preset


def _merged(paths: list[Path], *, skip: str) -> dict[str, list[StoredArray]]:
    """Read the arrays of one or several files by layer name.

    A layer's variables may be spread over shards. Where a shard begins with a layer, the attribute with its name
    stayed behind on the empty group of the same path in the shard before.
    """
    names: dict[str, str] = {}
    variables: dict[str, dict[int, StoredArray]] = {}
    for path in paths:
        file_names, file_variables = _read_weights(path, skip)
        names |= file_names
        for group, number, array in file_variables:
            variables.setdefault(group, {})[number] = array
    arrays: dict[str, list[StoredArray]] = {}
    for group, numbered in variables.items():
        name = _layer_name(group, names)
        if name is None or name in arrays:
            why = "belongs to no named layer" if name is None else f"repeats the layer name {name!r}"
            raise _malformed(paths[0], f"the group {group!r} {why}")
        arrays[name] = [numbered[number] for number in sorted(numbered)]
    return arrays


def _layer_name(group: str, names: Mapping[str, str]) -> str | None:
    """Name of the layer of a `vars` group; a layer inside another has the path from there, `encoder_0_0/attn/q`.

    Keras numbers the inner ones in the order of their making, so that their own names tell nothing.
    """
    parts = group.split("/")
    if "layers" in parts:
        end = len(parts) - parts[::-1].index("layers") + 1
        outer, inner = names.get("/".join([*parts[:end], "vars"])), parts[end:-1]
        if outer is not None and inner:
            return "/".join([outer, *inner])
    return names.get(group)


def _read_weights(path: Path, skip: str) -> tuple[dict[str, str], list[tuple[str, int, StoredArray]]]:
    """Layer name per `vars` group, and every (group, number, array), of one HDF5 file, each read once and checked."""
    names: dict[str, str] = {}
    variables: list[tuple[str, int, StoredArray]] = []

    def visit(key: Any, item: Any) -> None:
        if not isinstance(key, str):
            raise _malformed(path, f"the group {key!r} has no readable name")
        if key.startswith(skip):
            return
        if isinstance(item, h5py.Dataset):
            group, _, number = key.rpartition("/")
            if not group.endswith("vars") or not number.isdigit():
                raise _malformed(path, f"the array {key!r} belongs to no layer")
            if item.dtype.kind != "f":
                raise _malformed(path, f"the array {key!r} has dtype {item.dtype}, not a float")
            variables.append((group, int(number), stored_dataset(path, item, _malformed)))
            return
        check_links(path, item, _malformed)
        if "name" in item.attrs:
            name = item.attrs["name"]
            names[key] = name.decode() if isinstance(name, bytes) else str(name)

    with reading(path, _malformed) as file:
        check_links(path, file, _malformed)
        file.visititems(visit)
    return names, variables


@contextmanager
def _as_it_is_written(path: Path) -> Iterator[None]:
    """Say of a description with other keys or types than KerasHub's that it is damaged."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise _malformed(path, f"{type(error).__name__}: {error}") from error


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            # One byte more than allowed is cut off, and then no JSON.
            content = json.loads(file.read(_LARGEST_JSON).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _malformed(path, str(error)) from error
    if not isinstance(content, Mapping):
        raise _malformed(path, f"it holds a {type(content).__name__}, not an object")
    return content


def _malformed(path: Path, why: str) -> WeightsFormatError:
    return WeightsFormatError(
        "a KerasHub preset directory holds intact JSON and HDF5 files written by `save_to_preset`",
        received=f"{path}: {why}",
        repair="download or save the preset again",
    )
