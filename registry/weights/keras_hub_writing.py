"""KerasHub's preset directories, written: JSON of its classes, arrays where its loader looks for them.

Its loader goes by place, `layers/conv2d_1/vars/0`, not by name, so that each array must lie where KerasHub's own model
of that configuration would have put it. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["TESTED_VERSIONS", "write_directory"]

# Of Keras and KerasHub, whose format this is; a test in their environment reads it.
TESTED_VERSIONS = {"keras_version": "3.15.1", "keras_hub_version": "0.32.0"}

_DTYPE = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}
_DEEPLAB = "keras_hub.src.models.deeplab_v3"
_ENCODER = "layers/functional/layers"
_ASPP = "layers/spatial_pyramid_pooling"


def write_directory(
    folder: Path,
    *,
    encoder: Mapping[str, Any],
    backbone: Mapping[str, Any],
    task: Mapping[str, Any],
    converter: Mapping[str, Any],
    arrays: Mapping[str, Sequence[np.ndarray]],
    encoder_groups: Mapping[str, str],
    parameters: int,
) -> None:
    """Write the directory of a segmenter.

    Args:
        folder: an empty folder.
        encoder: KerasHub's serialized encoder.
        backbone: arguments of its `DeepLabV3Backbone` beside the encoder.
        task: `num_classes` and `activation`.
        converter: `image_size`, `scale` and `offset`.
        arrays: layer name → arrays in the order of its variables.
        encoder_groups: encoder's layer name → its number within its class, `conv2d_1`.
        parameters: of the backbone.
    """
    serialized_backbone = _serialized(
        "DeepLabV3Backbone",
        f"{_DEEPLAB}.deeplab_v3_backbone",
        {
            **_own("deep_lab_v3_backbone"),
            "image_encoder": {**encoder, "config": {**_own("res_net_backbone"), **encoder["config"]}},
            **backbone,
        },
    )
    image_converter = _serialized(
        "DeepLabV3ImageConverter",
        f"{_DEEPLAB}.deeplab_v3_image_converter",
        {
            **_own("deep_lab_v3_image_converter"),
            **converter,
            "interpolation": "bilinear",
            "antialias": False,
            "crop_to_aspect_ratio": False,
            "pad_to_aspect_ratio": False,
            "bounding_box_format": "yxyx",
        },
    )
    preprocessor = _serialized(
        "DeepLabV3ImageSegmenterPreprocessor",
        f"{_DEEPLAB}.deeplab_v3_image_segmeter_preprocessor",  # spelt so in KerasHub
        {
            **_own("deep_lab_v3_image_segmenter_preprocessor"),
            "image_converter": image_converter,
            "config_file": "preprocessor.json",
        },
    )
    segmenter = _serialized(
        "DeepLabV3ImageSegmenter",
        f"{_DEEPLAB}.deeplab_v3_segmenter",
        {
            "backbone": serialized_backbone,
            "preprocessor": preprocessor,
            "name": "deep_lab_v3_image_segmenter",
            **task,
        },
    )
    metadata = {
        **TESTED_VERSIONS,
        "parameter_count": parameters,
        "date_saved": datetime.now(UTC).strftime("%Y-%m-%d@%H:%M:%S"),
        "tasks": ["ImageSegmenter"],
    }
    for name, content in {
        "config.json": serialized_backbone,
        "task.json": segmenter,
        "preprocessor.json": preprocessor,
        "image_converter.json": image_converter,
        "metadata.json": metadata,
    }.items():
        (folder / name).write_text(json.dumps(content, indent=4), encoding="utf-8")
    places = _places(arrays, encoder_groups, len(backbone["dilation_rates"]))
    head = {"layers/conv2d": "segmentation_output"}
    _write_arrays(folder / "model.weights.h5", places, arrays, "deep_lab_v3_backbone")
    _write_arrays(folder / "task.weights.h5", head, arrays, "deep_lab_v3_image_segmenter")
    with h5py.File(folder / "task.weights.h5", "r+") as file:
        # Its segmenter compiles an Adam of its own, and warns where the file has no step and rate for it.
        group = file.create_group("optimizer/vars")
        group.attrs["name"] = "adam"
        group["0"], group["1"] = np.int64(0), np.float32(1e-3)


def _own(name: str) -> dict[str, Any]:
    return {"name": name, "trainable": True, "dtype": _DTYPE}


def _serialized(class_name: str, module: str, config: Mapping[str, Any]) -> dict[str, Any]:
    registered = f"keras_hub>{class_name}"
    return {"module": module, "class_name": class_name, "config": dict(config), "registered_name": registered}


def _places(
    arrays: Mapping[str, Any], encoder_groups: Mapping[str, str], dilation_rates: int
) -> dict[str, str]:
    """Group of KerasHub's file → our layer."""
    places = {f"{_ENCODER}/{group}": layer for layer, group in encoder_groups.items()}
    for number in range(dilation_rates + 1):
        group = f"{_ASPP}/aspp_parallel_channels/sequential{f'_{number}' if number else ''}/layers"
        places[f"{group}/conv2d"] = f"aspp_conv_{number + 1}"
        places[f"{group}/batch_normalization"] = f"aspp_bn_{number + 1}"
    group = f"{_ASPP}/aspp_parallel_channels/sequential_{dilation_rates + 1}/layers"
    places[f"{group}/conv2d"], places[f"{group}/batch_normalization"] = "conv_pooling", "bn_pooling"
    places[f"{_ASPP}/projection/layers/conv2d"] = "conv_projection"
    places[f"{_ASPP}/projection/layers/batch_normalization"] = "bn_projection"
    decoder = ("decoder", "segmentation_head") if "decoder_conv" in arrays else ("segmentation_head",)
    for number, prefix in enumerate(decoder):
        suffix = f"_{number}" if number else ""
        places[f"layers/conv2d{suffix}"] = f"{prefix}_conv"
        places[f"layers/batch_normalization{suffix}"] = f"{prefix}_norm"
    return places


def _write_arrays(
    path: Path, places: Mapping[str, str], arrays: Mapping[str, Sequence[np.ndarray]], name: str
) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("vars").attrs["name"] = name
        for place, layer in places.items():
            group = file.create_group(f"{place}/vars")
            group.attrs["name"] = layer
            for number, array in enumerate(arrays[layer]):
                group.create_dataset(str(number), data=np.asarray(array, np.float32))
