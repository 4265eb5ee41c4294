"""A recipe that trains in seconds."""

import copy

import pytest
from small_networks import SMALL_PRESET


@pytest.fixture
def recipe():
    """DeepLabV3+ of a few thousand weights on digits in small photographs, with all that a resumed run must remember."""
    preset = copy.deepcopy(SMALL_PRESET)
    preset["num_classes"] = 11
    preset["architecture"]["aspp"]["dropout"] = 0.1
    return {
        "preset": preset,
        "weights": None,
        "encoder_weights": None,
        "crop": [64, 64],
        "batch_size": 2,
        "steps": 6,
        "learning_rate": {"peak": 0.01},
        "ema": {"decay": 0.9},
        "data": {
            "train": {"reader": "digits", "split": "train", "count": 7, "size": [64, 80]},
            "validation": {"reader": "digits", "split": "val", "count": 3, "size": [64, 64]},
        },
        "validation": {"every": 3, "batch_size": 2, "pictures": 2},
        "checkpoints": {"every": 2},
    }
