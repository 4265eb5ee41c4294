"""Write models of atrous as KerasHub directories, with atrous's own outputs beside them: `written.npz`.

    python tests/parity/make_written_keras_hub.py FOLDER

Then, in an environment of its own (`pip install keras-hub==0.32.0 tensorflow`), never in the test environment:

    python tests/parity/check_written_keras_hub.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from seeded_arrays import keras_array, seeded_image

import registry

CASES = {
    "basic": ({"stackwise_num_blocks": [1, 2, 1, 2], "block_type": "basic_block"}, "deeplab_v3_plus"),
    "bottleneck": (
        {"stackwise_num_blocks": [2, 1, 1, 2], "block_type": "bottleneck_block"},
        "deeplab_v3_plus",
    ),
    "basic_vd": ({"stackwise_num_blocks": [1, 2, 2, 1], "block_type": "basic_block_vd"}, "deeplab_v3_plus"),
    "bottleneck_vd": (
        {"stackwise_num_blocks": [1, 1, 2, 1], "block_type": "bottleneck_block_vd"},
        "deeplab_v3",
    ),
    "resnet_50": (None, "deeplab_v3_plus"),
}


def preset(case):
    """The preset of a case."""
    options, architecture = CASES[case]
    encoder = {"plugin": "resnet", "variant": "resnet_50", "output_stride": 32}
    if options is not None:
        stem = ([32, 32, 64], [3, 3, 3]) if options["block_type"].endswith("vd") else ([64], [7])
        encoder |= {
            "variant": "resnet_custom",
            "options": {
                "input_conv_filters": stem[0],
                "input_conv_kernel_sizes": stem[1],
                "stackwise_num_filters": [64, 8, 12, 16],
                **options,
            },
        }
    return {
        "encoder": encoder,
        "architecture": {
            "name": architecture,
            "upsampling_size": 8,
            "dilation_rates": [6, 12],
            "decoder": {"convolutions": 1, "kernel_size": 1},
        },
        "num_classes": 3,
        "input": {"size": [64, 96], "normalization": {"scale": 0.02, "offset": [-2.0, -2.1, -1.9]}},
    }


def seeded(case):
    """The model of a case with weights that depend on the names of its layers."""
    model = registry.build(preset(case), weights=None)
    for layer in model.layers:
        for variable in layer.weights:
            own = variable.name.rpartition("/")[2].partition(":")[0]
            variable.assign(keras_array(layer.name, own, tuple(variable.shape)))
    return model


def main():
    """Write every case."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        model = seeded(case)
        registry.save_keras_hub(model, folder / case)
        image = (seeded_image(64, 96) + 1) * 127.5
        np.savez(
            folder / case / "written.npz",
            image=image,
            called=model(seeded_image(64, 96), training=False),
            predicted=model.predict(image),
        )


if __name__ == "__main__":
    main()
