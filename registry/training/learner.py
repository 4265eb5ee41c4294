"""What learns: model, optimizer, average and step, as a recipe describes them; all that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.assembly import build
from registry.backend import keras, tf
from registry.catalog import ResolvedRecipe
from registry.compression import clustered, pruned
from registry.config import CompressionTraining, QuantizationConfig, QuantizationTraining, RecipeConfig
from registry.errors import TrainingError
from registry.quantization import QuantizedSegmenter, calibrated, quantized
from registry.training.averaging import MovingAverage
from registry.training.distillation import Distillation
from registry.training.distribution import Devices, synchronize_batch_norm
from registry.training.losses import make_loss
from registry.training.optimizers import make_optimizer
from registry.training.schedules import Schedule
from registry.training.step import TrainingStep, freeze_batch_norm

__all__ = ["Learner"]


class Learner:
    """A model in training.

    Args:
        recipe: what is trained, and how.
        devices: that share a batch; everything is made in their scope.
        steps: length of the run.
        resumed: whether a checkpoint will replace all weights, so that none are loaded.
        calibration: gives images of the crop's size, uint8 (N, height, width, 3), for a recipe that quantizes.

    Raises:
        Errors of `registry.build`.
        TrainingError, ModelError: parts of the recipe do not fit the model.
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        devices: Devices,
        steps: int,
        *,
        resumed: bool,
        calibration: Callable[[], NDArray[np.uint8]] | None = None,
    ) -> None:
        config = recipe.config
        self.config, self.devices = config, devices
        if config.batch_size % devices.replicas:
            raise TrainingError(
                "`batch_size` is divided among the devices",
                received=f"{config.batch_size} images on {devices.replicas} devices",
                repair=f"batch_size: {-(-config.batch_size // devices.replicas) * devices.replicas}",
            )
        keras.utils.set_random_seed(config.seed)
        with devices.strategy.scope():
            with _precision(config.precision):
                self.model = _build(recipe, resumed=resumed)
            if config.compression is not None:
                self.model = _compressed(self.model, config.compression, steps, resumed=resumed)
            distillation = None
            if config.quantization is not None:
                distillation = _distillation(self.model, config.quantization)
                self.model = _quantized(self.model, config.quantization)
                if calibration is not None and not resumed:
                    calibrated(self.model, calibration(), config.quantization.calibration)
            _prepare_batch_norm(self.model, config, devices)
            self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
            self._loss_sum = tf.Variable(0.0, trainable=False, name="loss_sum")
            self._loss_steps = tf.Variable(0.0, trainable=False, name="loss_steps")
            self.schedule = _schedule(config, steps)
            self.optimizer = make_optimizer(config, self.schedule, self.model)
            if config.precision == "mixed_float16":
                self.optimizer = keras.mixed_precision.LossScaleOptimizer(self.optimizer)
            self._update = TrainingStep(
                self.model,
                self.optimizer,
                [_loss(section, self.model) for section in config.losses],
                batch_size=config.batch_size,
                # AdamW decays weights by itself.
                weight_decay=config.weight_decay if config.optimizer.name == "sgd" else 0.0,
                clip_norm=config.clip_norm,
                factors=_gradient_factors(self.model, config.learning_rate.head_factor),
                distillation=distillation,
            )
            self.average = None if config.ema is None else MovingAverage(self.model.weights, config.ema.decay)
        self._trace()

    def _trace(self) -> None:
        self._train_step = tf.function(self._distributed_step, reduce_retracing=True)

    def freeze_observers(self) -> None:
        """Let the ranges of a quantized model stay as they are from now on."""
        self.model.freeze_observers()
        self._trace()

    @property
    def overrides(self) -> dict[str, Any]:
        """What the model's preset says beyond the recipe's: how it is compressed and quantized."""
        preset = self.model.preset_config
        sections = {"compression": preset.compression, "quantization": preset.quantization}
        return {
            name: section.model_dump(mode="json") for name, section in sections.items() if section is not None
        }

    @property
    def is_comparable(self) -> bool:
        """Whether a score speaks for the model that the run is for: not while zeros are still being made."""
        compression = self.model.compression
        return compression is None or compression.is_complete

    def restart_average(self) -> None:
        """Begin the average with the weights as they are now, once they were loaded."""
        if self.average is not None:
            self.average.reset()

    def train(self, images: Any, masks: Any) -> None:
        """Make one step with a batch, divided among the devices as the strategy's data sets do it."""
        self._train_step(images, masks)

    def take_loss(self) -> float:
        """Mean loss of the steps since this was asked for the last time."""
        mean = float(self._loss_sum.numpy()) / max(float(self._loss_steps.numpy()), 1.0)
        self._loss_sum.assign(0.0)
        self._loss_steps.assign(0.0)
        return mean

    def has_finite_weights(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(
            bool(tf.reduce_all(tf.math.is_finite(variable.read_value())))
            for variable in self.model.weights
            if variable.dtype.is_floating
        )

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return float(self.schedule(step))

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """Within this block the model has the weights that are scored and kept: the average, if there is one."""
        if self.average is None:
            yield
        else:
            with self.average.applied():
                yield

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        held: dict[str, Any] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "step": self.step,
            "loss_sum": self._loss_sum,
            "loss_steps": self._loss_steps,
        }
        if self.average is not None:
            held["average"] = self.average
        if self.model.compression is not None:
            held["compression"] = self.model.compression
        return held

    def _distributed_step(self, images: Any, masks: Any) -> None:
        compression = self.model.compression
        with nullcontext() if compression is None else compression.held():
            losses = self.devices.strategy.run(self._replica_step, args=(images, masks))
        loss = self.devices.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        self._loss_sum.assign_add(loss)
        self._loss_steps.assign_add(1.0)
        if self.average is not None and compression is not None:
            compression.impose(self.average.average_of)
        self.step.assign_add(1)

    def _replica_step(self, images: Any, masks: Any) -> Any:
        loss = self._update(images, masks)
        if self.average is not None:
            self.average.update(self.step)
        return loss


def _build(recipe: ResolvedRecipe, *, resumed: bool) -> Any:
    config = recipe.config
    section = config.quantization
    if section is not None and section.distillation is not None:
        resumed = False  # a checkpoint has the student's weights, not the teacher's
    return build(
        recipe.preset,
        weights=None if resumed else config.weights,
        encoder_weights=None if resumed else config.encoder_weights,
    )


def _compressed(model: Any, config: CompressionTraining, steps: int, *, resumed: bool) -> Any:
    """The model, its kernels held to something; of a resumed run, whatever they will be."""
    if config.clustering is not None:
        return clustered(model, config.clustering, group=not resumed)
    if config.pruning is None:
        return model  # the section has one of the two
    end = config.pruning.end or max(config.pruning.begin + 1, steps // 2)
    last = end if config.pruning.schedule == "polynomial" else config.pruning.begin
    if last > steps:
        raise TrainingError(
            "all zeros are made within a run",
            received=f"the last after step {last}, of {steps} steps",
            repair="lower compression.pruning.begin and end, or train for longer",
        )
    return pruned(model, config.pruning.model_copy(update={"end": end}))


def _quantized(model: Any, config: QuantizationTraining) -> Any:
    """The model, rounding; one that its preset quantizes does so already."""
    if isinstance(model, QuantizedSegmenter):
        return model
    structure = QuantizationConfig(scheme=config.scheme, exclude=config.exclude)
    return quantized(model, structure, momentum=config.observer_momentum)


def _distillation(teacher: Any, config: QuantizationTraining) -> Distillation | None:
    section = config.distillation
    if section is None:
        return None
    return Distillation(teacher, weight=section.weight, temperature=section.temperature)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers built within this block compute in the policy's type."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _prepare_batch_norm(model: Any, config: RecipeConfig, devices: Devices) -> None:
    if config.batch_norm.momentum is not None:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = config.batch_norm.momentum
    if config.batch_norm.frozen:
        freeze_batch_norm(model)
    elif config.batch_norm.synchronized and devices.is_distributed:
        synchronize_batch_norm(model)


def _schedule(config: RecipeConfig, steps: int) -> Schedule:
    rate = config.learning_rate
    return Schedule(
        rate.peak, steps, shape=rate.shape, power=rate.power, warmup=rate.warmup, floor=rate.floor
    )


def _loss(section: Any, model: Any) -> tuple[float, Any]:
    options = section.model_dump(exclude={"name", "weight"})
    return section.weight, make_loss(section.name, ignore_label=model.preset_config.ignore_label, **options)


def _gradient_factors(model: Any, head_factor: float) -> dict[Any, float]:
    """Reference of a variable → factor on its gradient, where that is not 1."""
    if head_factor == 1.0:
        return {}
    encoder = {variable.ref() for layer in model.encoder.layers for variable in layer.trainable_variables}
    return {
        variable.ref(): head_factor for variable in model.trainable_variables if variable.ref() not in encoder
    }
