"""What every test may ask for."""

import copy
import os

import pytest

# Read by the C++ side of TensorFlow when it is first imported: test output stays readable.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_SMALL = {
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


@pytest.fixture
def small_preset():
    """An inline preset of a DeepLabV3+ that builds and runs in a second."""
    return copy.deepcopy(_SMALL)


@pytest.fixture(scope="session")
def small_model():
    """That preset, built with fresh weights; treat it as read-only."""
    import registry

    return registry.build(copy.deepcopy(_SMALL), weights=None)
