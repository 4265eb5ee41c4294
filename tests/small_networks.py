"""Networks that build and run in a second, for every test that needs one."""

import copy

import numpy as np

import registry

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


def small_model():
    """The model of `SMALL_PRESET`, as an ordinary network."""
    return randomize(registry.build(copy.deepcopy(SMALL_PRESET), weights=None))


def blocks(count, size, seed=0):
    """Images with large and small structure: random squares and noise, (count, size, size, 3), uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)
