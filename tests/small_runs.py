"""Trainings of seconds, and how they are broken off."""

import copy

import pytest
from small_networks import SMALL_PRESET

from registry.training import session as sessions


def small_recipe(**sections):
    """DeepLabV3+ of a few thousand weights on digits in small photographs, with all that a resumed run must remember.

    Args:
        **sections: of the recipe, in the place of these or beside them.
    """
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
        **sections,
    }


@pytest.fixture
def interrupt(monkeypatch):
    """A function that makes the next runs end after that many steps, as a signal would end them."""
    train = sessions.Learner.train

    def after(count):
        left = [count]

        def step(learner, images, masks):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            train(learner, images, masks)

        monkeypatch.setattr(sessions.Learner, "train", step)

    yield after
    monkeypatch.setattr(sessions.Learner, "train", train)
