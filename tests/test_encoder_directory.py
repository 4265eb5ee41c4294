"""KerasHub directories of an encoder alone, written by the tests themselves in KerasHub's layout."""

import json

import h5py
import numpy as np

from registry.weights import keras_hub


def write_encoder_directory(directory, encoder, extra=()):
    """Write `config.json` and `model.weights.h5` as KerasHub's ResNetBackbone.save_to_preset does."""
    config = {"class_name": "ResNetBackbone", "config": dict(encoder.get_config()["options"])}
    (directory / "config.json").write_text(json.dumps(config))
    counts = {}
    with h5py.File(directory / "model.weights.h5", "w") as file:
        for layer in encoder.layers:
            if not layer.weights:
                continue
            kind = "conv2d" if "Conv2D" in type(layer).__name__ else "batch_normalization"
            number = counts[kind] = counts.get(kind, -1) + 1
            group = file.create_group(f"layers/{kind}{f'_{number}' if number else ''}/vars")
            group.attrs["name"] = layer.name
            for index, array in enumerate(layer.get_weights()):
                group.create_dataset(str(index), data=array)
        for name in extra:
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            group.create_dataset("0", data=np.zeros(3, np.float32))


def test_a_written_directory_reads_back(tmp_path, small_model):
    encoder = small_model.backbone.image_encoder
    write_encoder_directory(tmp_path, encoder, extra=["post_bn"])
    preset = keras_hub.open_preset(tmp_path)
    arrays = preset.backbone_arrays()
    assert preset.encoder_config()[0] == "ResNetBackbone"
    assert set(arrays) == {layer.name for layer in encoder.layers if layer.weights} | {"post_bn"}
    for name in set(arrays) - {"post_bn"}:
        for read, written in zip(arrays[name], encoder.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(read, written)
