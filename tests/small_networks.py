"""Networks that build and run in a second, for every test that needs one."""

import numpy as np

SMALL_PRESET = {
    "encoder": {
        "plugin": "resnet",
        "variant": "resnet_custom",
        "output_stride": 16,
        "options": {
            "input_conv_filters": [8],
            "input_conv_kernel_sizes": [7],
            "stackwise_num_filters": [8, 8, 12, 16],
            "stackwise_num_blocks": [1, 1, 1, 2],
            "block_type": "basic_block",
        },
    },
    "architecture": {
        "name": "deeplab_v3_plus",
        "projection_filters": 6,
        "aspp": {"filters": 16},
        "decoder": {"filters": 16, "convolutions": 1, "kernel_size": 3},
    },
    "num_classes": 5,
}


def randomize(model, seed=0):
    """Weights and statistics of an ordinary network: nothing dies, nothing explodes."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "moving_variance" in variable.name or "gamma" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif "kernel" in variable.name:
            variable.assign(rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape))
        else:
            variable.assign(rng.normal(0, 0.1, shape))
    return model
