"""The preset that ships with its weights: it reaches what it states, and its integer file with it."""

import numpy as np
import pytest

import registry
from registry.data import DigitsInPhotographs
from registry.evaluation import evaluate, evaluate_alike

NAME = "deeplab_v3_plus_resnet_digits"
IMAGES = 80


@pytest.fixture(scope="module")
def model():
    return registry.build(NAME)


@pytest.fixture(scope="module")
def evaluations(model, tmp_path_factory):
    """Of the model, of its float file and of its integer file, on the first images of the test set."""
    folder = tmp_path_factory.mktemp("embedded")
    size = model.preset_config.input.size
    shown = [example.image for example in DigitsInPhotographs("train", 64, size=size)]
    registry.export(model, folder / "float.tflite", size=size, progress=False)
    registry.export(
        model, folder / "int8.tflite", size=size, quantization="int8", calibration=shown, progress=False
    )
    data = DigitsInPhotographs("test", IMAGES, size=size)
    return evaluate_alike([model, folder / "float.tflite", folder / "int8.tflite"], data, size=size)


def test_the_weights_reach_what_the_preset_states(model):
    (stated,) = model.preset_config.evaluation
    assert stated.dataset == "digits in photographs, test, 500 images of seed 0"
    data = DigitsInPhotographs("test", 500, size=model.preset_config.input.size)
    # Rounding may move a pixel whose classes tie.
    assert evaluate(model, data, progress=False).mean_iou == pytest.approx(stated.mean_iou, abs=1e-3)


def test_the_float_file_scores_as_the_model_does(evaluations):
    model, exported, _ = evaluations
    assert exported.mean_iou == pytest.approx(model.mean_iou, abs=1e-3)


def test_the_integer_file_loses_less_than_two_points(evaluations):
    model, _, quantized = evaluations
    assert quantized.mean_iou > model.mean_iou - 0.02


def test_it_names_the_digits_of_a_large_photograph(model):
    """At a size that it was not trained at, by way of the runtime's resizing."""
    named = 0
    examples = DigitsInPhotographs("test", 12, size=(384, 384))
    for example in examples:
        mask = model.segment(example.image)
        assert mask.shape == (384, 384)
        for digit in np.unique(example.mask[example.mask > 0]):
            votes = np.bincount(mask[example.mask == digit], minlength=11)[1:]
            named += int(votes.sum() > 0 and votes.argmax() + 1 == digit)
    shown = sum(len(np.unique(example.mask)) - 1 for example in examples)
    assert named > 0.6 * shown
