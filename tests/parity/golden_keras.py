"""What the scripts that run KerasHub share: seeded weights in, sampled features out."""

import json

import keras
import numpy as np
from seeded_arrays import keras_array, sampled, seeded_image


def write_golden(path, model, levels, *, family, config, sizes, padding=0):
    """Set seeded weights, compute the levels and write them.

    Args:
        path: of the `.npz` file.
        model: KerasHub's backbone.
        levels: level → tensor of its graph.
        family: which builder of ours it is compared with.
        config: the builder's arguments.
        sizes: heights and widths of the images.
        padding: zeros around each image before KerasHub's network.
    """
    variables = []
    for layer in model.layers:
        for variable in layer.weights:
            kind = variable.path.rsplit("/", 1)[-1]
            shape = tuple(variable.shape)
            variable.assign(keras_array(layer.name, kind, shape))
            variables.append((layer.name, kind, shape))
    features = keras.Model(model.inputs, levels)
    golden = {
        "description": json.dumps(
            {"family": family, "source": "keras_hub", "config": config, "variables": variables}
        )
    }
    pad = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    for height, width in sizes:
        outputs = features(np.pad(seeded_image(height, width), pad), training=False)
        for level, values in outputs.items():
            golden[f"{height}x{width}/32/{level}"] = sampled(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **golden)
    print(f"{path.name}: {model.count_params():,} parameters, {path.stat().st_size:,} bytes")
    keras.backend.clear_session()
