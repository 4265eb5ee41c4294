"""Measure whether quantization-aware training would gain by training batch normalization.

    python tests/benchmarks/batch_norm.py [--steps 400] [--rate 0.00005] [--images 200]

of the embedded preset, or of what a recipe for digits has trained, such as a network of depthwise convolutions:

    atrous train tests/benchmarks/depthwise_digits.yaml --output build/depthwise_digits
    python tests/benchmarks/batch_norm.py --run build/depthwise_digits

Three ways from the same weights, each with the steps and the rate of the quantization-aware recipe:

- *folded*: the recipe as it is. Batch normalization is a part of the kernels.
- *normalized*: the same, but each convolution's result is normalized by its batch before it is rounded, and scale and
  offset are trained (arXiv:1806.08342). Averages take the batch's place when ranges are fixed, and at the end they are
  folded. A kernel's integers do not change by that, since a channel's scale takes the factor up.
- *float*: the network in floating point, batch normalization in training as usual, and rounded afterwards.

Prints mean IoU on test sets of three seeds. Not a test: nothing is asserted.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from accuracy import PRESET, SEEDS

import registry
from registry.backend import keras, tf
from registry.catalog import ResolvedRecipe, resolve_recipe
from registry.config.recipe import DistributionConfig
from registry.data import DigitsInPhotographs, open_data
from registry.evaluation import evaluate
from registry.models.base import CLASSIFIER
from registry.quantization.wrapper import QuantizedLayer
from registry.training import learner as learning
from registry.training.augmentation import Augmentation
from registry.training.distribution import open_devices
from registry.training.pipeline import spaced_images, training_batches

_EPSILON = 1e-3
_MOMENTUM = 0.97  # as in the recipe that trained the preset
WAYS = ("folded", "normalized", "float")


class NormalizedLayer(QuantizedLayer):
    """A convolution whose result is normalized by its batch."""

    is_frozen = False

    def normalize(self, mean: NDArray[Any], variance: NDArray[Any]) -> None:
        """Start with these statistics of the result without bias, and such that nothing changes."""
        values = {
            "mean": mean,
            "variance": variance,
            "gamma": np.sqrt(variance + _EPSILON),
            "beta": self.layer.bias.numpy() + mean,
        }
        self.norm = {
            name: self.add_weight(name, value.shape, trainable=name in ("gamma", "beta"))
            for name, value in values.items()
        }
        for name, value in values.items():
            self.norm[name].assign(value)

    def fold(self) -> None:
        """Let kernel and bias do what the averages do."""
        scale = (self.norm["gamma"] / tf.sqrt(self.norm["variance"] + _EPSILON)).numpy()
        is_depthwise = isinstance(self.layer, keras.layers.DepthwiseConv2D)
        kernel = self.layer.depthwise_kernel if is_depthwise else self.layer.kernel
        kernel.assign(kernel.numpy() * (scale.reshape(kernel.shape[2:]) if is_depthwise else scale))
        self.layer.bias.assign(self.norm["beta"].numpy() - self.norm["mean"].numpy() * scale)
        self.__class__ = QuantizedLayer

    def linear(self, inputs: Any) -> Any:
        """The result before bias and activation."""
        layer, activation = self.layer, self.layer.activation
        try:
            layer.activation, layer.use_bias = keras.activations.linear, False
            return layer.call(inputs)
        finally:
            layer.activation, layer.use_bias = activation, True

    def _computed(self, inputs: Any, training: Any, kwargs: dict[str, Any]) -> Any:
        result, norm = self.linear(inputs), self.norm
        mean, variance = norm["mean"], norm["variance"]
        if training and not self.is_frozen:
            mean, variance = tf.nn.moments(result, [0, 1, 2])
            for name, value in (("mean", mean), ("variance", variance)):
                norm[name].assign(_MOMENTUM * norm[name] + (1.0 - _MOMENTUM) * value)
        result = norm["gamma"] * (result - mean) * tf.math.rsqrt(variance + _EPSILON) + norm["beta"]
        return self.layer.activation(result)


class _Measuring(NormalizedLayer):
    """Computes as before, and keeps what `normalize` needs."""

    def _computed(self, inputs: Any, training: Any, kwargs: dict[str, Any]) -> Any:
        result = self.linear(inputs)
        self.seen.append([tf.reduce_mean(result**power, [0, 1, 2]).numpy() for power in (1, 2)])
        return self.layer.activation(result + self.layer.bias)


def normalized(model: Any, images: NDArray[np.uint8]) -> list[NormalizedLayer]:
    """Let every convolution but the classifier normalize."""
    layers = [
        layer
        for layer in model.rounding_layers.values()
        if isinstance(layer.layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
        and layer.layer.use_bias
        and not layer.name.startswith(CLASSIFIER)
    ]
    for layer in layers:
        layer.__class__, layer.seen = _Measuring, []
    for start in range(0, len(images), 20):
        batch = tf.cast(tf.constant(images[start : start + 20]), tf.float32)
        model(model.preprocessor.scaled(batch), training=False)
    for layer in layers:
        mean, square = np.mean(layer.seen, 0)
        layer.__class__ = NormalizedLayer
        layer.normalize(mean, square - mean**2)
    return layers


def recipe_of(run: Path | None, steps: int, rate: float) -> ResolvedRecipe:
    """The embedded preset's quantization-aware recipe, for what a run has left and the data that it had."""
    changes: dict[str, Any] = {"steps": steps, "learning_rate.peak": rate}
    if run is not None:
        former = resolve_recipe(run / "recipe.yaml").config
        changes |= {"preset": str((run / "model" / "preset.yaml").resolve()), "crop": former.crop}
        for part in ("train", "test"):
            section = getattr(former.data, part).model_dump(include={"size", "digit_size", "most_digits"})
            changes |= {f"data.{part}.{key}": value for key, value in section.items()}
    return resolve_recipe(f"{PRESET}_int8", overrides=changes)


def trained(way: str, recipe: ResolvedRecipe) -> Any:
    """The quantized model that a way leads to."""
    config, steps = recipe.config, recipe.config.steps
    if way == "float":
        config = config.model_copy(update={"quantization": None})
        recipe = dataclasses.replace(recipe, config=config)
    data = open_data(config.data.train, num_classes=recipe.preset.config.num_classes, data_root=None)

    def calibration() -> NDArray[np.uint8]:
        return spaced_images(data, 200, config.crop)

    layers: list[NormalizedLayer] = []
    calibrated: Callable[..., None] = learning.calibrated

    def calibrated_and_normalized(model: Any, images: NDArray[np.uint8], section: Any) -> None:
        calibrated(model, images, section)
        if way == "normalized":
            layers.extend(normalized(model, images))

    with mock.patch.object(learning, "calibrated", calibrated_and_normalized):
        learner = learning.Learner(
            recipe, open_devices(DistributionConfig()), steps, resumed=False, calibration=calibration
        )
    batches = iter(
        training_batches(
            data,
            batch_size=config.batch_size,
            crop=config.crop,
            augmentation=Augmentation(**config.augmentation.model_dump()),
            seed=config.seed,
        )
    )
    for step in range(steps):
        if step == steps // 2 and way != "float":
            for layer in layers:
                layer.is_frozen = True
            learner.freeze_observers()
        learner.train(*next(batches))
    for layer in layers:
        layer.fold()
    if way == "float":
        return registry.quantize(learner.model, calibration=calibration(), progress=False)
    return learner.model


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rate", type=float, default=0.00005, help="peak of the learning rate")
    parser.add_argument("--run", type=Path, help="folder of a run that has trained another preset")
    parser.add_argument("--images", type=int, default=200, help="of each test set")
    arguments = parser.parse_args()
    recipe = recipe_of(arguments.run, arguments.steps, arguments.rate)
    kind = recipe.config.data.test.model_dump(include={"size", "digit_size", "most_digits"})
    tests = [DigitsInPhotographs("test", arguments.images, seed=seed, **kind) for seed in SEEDS]
    print(f"| {arguments.steps} steps at {arguments.rate:g} | mean IoU | each test set |\n|---|---|---|")
    for way in WAYS:
        model = trained(way, recipe)
        scores = [evaluate(model, data).scores.mean_iou for data in tests]
        listed = ", ".join(f"{score:.4f}" for score in scores)
        print(f"| {way} | {statistics.mean(scores):.4f} | {listed} |", flush=True)


if __name__ == "__main__":
    main()
