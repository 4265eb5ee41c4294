"""What is measured of atrous."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from tests.benchmarks.task import Task

PRESET = "deeplab_v3_plus_resnet50_pascalvoc"
# The network of segmentation_models.pytorch, as near as two libraries come: no multi-grid, separable, and the rates that
# it has at output stride 16.
SEPARABLE = {
    "extends": "deeplab_v3_plus_resnet50_os16_pascalvoc",
    "encoder": {"options": {"multi_grid": [1, 1, 1]}},
    "architecture": {
        "dilation_rates": [12, 24, 36],
        "aspp": {"separable": True},
        "decoder": {"separable": True, "convolutions": 1},
    },
}


def import_library() -> None:
    """What a user's first line costs."""
    import registry  # noqa: F401


def load() -> None:
    """Import all that a model needs, TensorFlow included."""
    import registry
    import registry.assembly
    import registry.exporting
    import registry.training  # noqa: F401


def make_preset(directory: str) -> Task:
    """Write the directory that both libraries load: KerasHub's Pascal VOC preset with fresh weights."""
    import registry

    model = registry.build(PRESET, weights=None, encoder_weights=None)
    return Task(lambda: str(registry.save_keras_hub(model, directory)))


def list_presets() -> int:
    """Import and list the catalog."""
    import registry

    return len(registry.list_presets())


def build() -> Task:
    """Build the network with fresh weights."""
    import registry

    return Task(lambda: registry.build(PRESET, weights=None, encoder_weights=None).count_params())


def load_preset(directory: str) -> Task:
    """Build the network with a directory's weights."""
    return Task(lambda: _load(directory).count_params())


def predict(directory: str, size: int, batch_size: int) -> Task:
    """`model.predict` on one batch."""
    from tests.benchmarks.inputs import batch

    model = _load(directory)
    images = batch(batch_size, size)[0].astype("float32")
    return Task(lambda: float(model.predict(images, verbose=0).mean()), _parameters(model))


def export(path: str, size: int, quantization: str | None, directory: str | None = None) -> Task:
    """Write a `.tflite` file: of a preset directory's weights, or of the separable network with fresh ones."""
    import registry
    from tests.benchmarks.inputs import calibration

    if directory is None:
        model = registry.build(SEPARABLE, weights=None, encoder_weights=None)
    else:
        model = registry.build(PRESET, weights=directory)
    options = {"quantization": quantization, "calibration": calibration(size)} if quantization else {}

    def run() -> float:
        registry.export(model, path, size=size, progress=False, **options)
        return Path(path).stat().st_size / 1e6

    return Task(run, _parameters(model))


def training_step(directory: str | None, size: int, batch_size: int, steps: int = 1000) -> Task:
    """A step of `registry.train`, fed from memory; of the separable network where no directory is named."""
    from registry.backend import tf
    from registry.catalog import resolve_recipe
    from registry.config.recipe import DistributionConfig
    from registry.training.distribution import open_devices
    from registry.training.learner import Learner
    from tests.benchmarks.inputs import LEARNING_RATE, MOMENTUM, batch

    recipe = resolve_recipe(
        {
            "preset": PRESET if directory else SEPARABLE,
            "weights": directory,
            "encoder_weights": None,
            "crop": [size, size],
            "batch_size": batch_size,
            "steps": steps,
            "optimizer": {"name": "sgd", "momentum": MOMENTUM},
            "learning_rate": {"peak": LEARNING_RATE, "shape": "constant"},
            "weight_decay": 0.0,
            "data": {"train": {"reader": "pascal_voc", "root": "unused", "split": "train"}},
        }
    )
    learner = Learner(recipe, open_devices(DistributionConfig()), steps, resumed=False)
    images, masks = (tf.constant(array) for array in batch(batch_size, size))

    def run() -> float:
        learner.train(images, masks)
        return learner.take_loss()

    return Task(run, _parameters(learner.model))


def _load(directory: str) -> Any:
    import registry

    model = registry.DeepLabV3ImageSegmenter.from_preset(directory)
    model.preprocessor = None
    return model


def _parameters(model: Any) -> dict[str, int]:
    count = sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
    return {"parameters": model.count_params(), "trainable_parameters": count}
