"""Every preset that ships: it builds, has the figures of the documentation, runs, and exports in every mode.

All of it takes an hour (`pytest -m sweep`). The default run takes a part of those that differ in more than their classes.
"""

import csv
import functools
from pathlib import Path

import numpy as np
import pytest

import registry
from registry.backend import keras
from registry.exporting.modes import MODES
from registry.models.arithmetic import count_macs
from registry.testing.randomizing import randomize

SIZE = (128, 128)
OBLONG = (64, 128)
SLOW_OPERATIONS = {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}

PRESETS = registry.list_presets()


def _kind(name):
    config = registry.describe(name).config
    return config.architecture.name, config.encoder.variant, config.encoder.output_stride


KINDS = list({_kind(name): name for name in reversed(PRESETS)}.values())


@pytest.fixture(autouse=True)
def forget_graphs():
    yield
    keras.backend.clear_session()


def figures():
    path = Path(__file__).parents[1] / "docs" / "reference" / "presets.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return {row["preset"]: row for row in csv.DictReader(file)}


def varied_images():
    """Noise, fine and coarse at once, so that it has something to say at every stride, as photographs have.

    Contrasts and brightnesses differ: batch statistics need some spread.
    """
    chance = np.random.default_rng(0)
    images = []
    for _ in range(8):
        octaves = [
            chance.normal(0, 1, (SIZE[0] // block, SIZE[1] // block, 3)).repeat(block, 0).repeat(block, 1)
            for block in (1, 2, 4, 8, 16, 32)
        ]
        noise = np.sum(octaves, 0) / len(octaves) ** 0.5
        images.append(chance.uniform(90, 160) + chance.uniform(30, 70) * noise)
    return np.clip(images, 0, 255).astype(np.uint8)


def check_model(name):
    model = registry.build(name, weights=None)
    config = model.preset_config
    recorded = figures()[name]
    assert model.count_params() == int(recorded["parameters"])
    assert count_macs(model, config.input.size) == int(recorded["macs"])
    assert not [layer for layer in model.layers if isinstance(layer, keras.Model)]
    logits = model(np.zeros((1, *OBLONG, 3), np.float32), training=False)
    assert tuple(logits.shape) == (1, *OBLONG, config.num_classes)


@functools.lru_cache(maxsize=1)
def living_model(name):
    """Built once for all modes: an export leaves its model as it is."""
    keras.utils.set_random_seed(0)
    model = registry.build(name, weights=None)
    # Fresh statistics let a deep network's signal die, and then there is nothing to compare.
    randomize(model, np.asarray(model.preprocessor(varied_images().astype(np.float32))))
    return model


def check_export(name, mode, folder):
    images = varied_images()
    report = registry.export(
        living_model(name),
        folder / "model.tflite",
        size=SIZE,
        quantization=mode,
        calibration=images if MODES[mode].calibrated else None,
    )
    operations = set(report.operations)
    assert not operations & SLOW_OPERATIONS
    assert not [operation for operation in operations if operation.startswith(("CUSTOM", "FLEX"))]


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_preset_of_every_kind_builds_and_runs(name):
    check_model(name)


@pytest.mark.sweep
@pytest.mark.parametrize("name", sorted(set(PRESETS) - set(KINDS)))
def test_the_other_presets_build_and_run(name):
    check_model(name)


# The other networks' int8 files are the sweep's matter: calibrating and comparing them takes an hour.
EXPORTED = [
    *((name, "float32") for name in KINDS if "mobilenet_v3_large" in name or "resnet18" in name),
    *((name, "int8") for name in KINDS if "resnet18" in name),
]


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), EXPORTED)
def test_presets_of_two_encoders_export(name, mode, tmp_path):
    check_export(name, mode, tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_exports_in_every_mode(name, mode, tmp_path):
    check_export(name, mode, tmp_path)
