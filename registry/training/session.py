"""One process's part of a run: the loop over steps, and what is written on the way."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.assembly import build, save_preset
from registry.atomic import atomic_path
from registry.backend import tf
from registry.catalog import ResolvedRecipe
from registry.data import AnnotatedImages
from registry.errors import TrainingError
from registry.evaluation import Scores, evaluate
from registry.training.augmentation import Augmentation
from registry.training.best import Best
from registry.training.checkpoints import Checkpoints
from registry.training.distribution import Devices
from registry.training.folder import RunFolder
from registry.training.history import History
from registry.training.learner import Learner
from registry.training.pictures import sheet
from registry.training.pipeline import spaced_images, training_batches
from registry.training.progress import Progress, Report, training_progress
from registry.training.randomness import drawn_by_step
from registry.training.result import TrainingRun
from registry.training.validation import Validation, Validator

__all__ = ["Session"]

_REPORT_EVERY = 20
"""Steps between two records of the loss."""


class Session:
    """One process's part of a run."""

    def __init__(
        self,
        recipe: ResolvedRecipe,
        devices: Devices,
        run: RunFolder,
        data: dict[str, AnnotatedImages],
    ) -> None:
        self._recipe, self._config = recipe, recipe.config
        self._devices, self._run, self._data = devices, run, data
        self._per_epoch = math.ceil(len(data["train"]) / self._config.batch_size)
        self._steps = self._config.steps or math.ceil((self._config.epochs or 0) * self._per_epoch)
        self._every = self._config.validation.every or self._per_epoch
        section = self._config.quantization
        self._freezes_at = None if section is None else math.ceil(section.freeze_observers * self._steps)
        self._stack = ExitStack()
        self._clean: Any = None

    def __enter__(self) -> Self:
        latest = Checkpoints.latest(self._run.checkpoints)
        self._learner = Learner(
            self._recipe,
            self._devices,
            self._steps,
            resumed=latest is not None,
            calibration=self._calibration_images,
        )
        with self._devices.strategy.scope():
            self._best = Best()
        self._checkpoints = Checkpoints(
            self._run.checkpoints,
            {**self._learner.trackables(), "best": self._best},
            keep=self._config.checkpoints.keep,
            scratch=None if self._devices.is_chief else self._scratch(),
        )
        if latest is None:
            self._learner.restart_average()
        else:
            self._checkpoints.restore(latest)
        self._step = int(self._learner.step.numpy())
        self._history = (
            History(self._run.history, self._run.events, self._step) if self._devices.is_chief else None
        )
        if self._history is not None:
            self._stack.callback(self._history.close)
        self._validator = self._open_validator()
        self._stack.enter_context(drawn_by_step(self._learner.model, self._config.seed, self._learner.step))
        if self._freezes_at is not None and self._step >= self._freezes_at:
            self._learner.freeze_observers()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def train(self, progress: Progress) -> None:
        """Train to the end.

        Raises:
            TrainingError: the loss is no longer finite, or a checkpoint cannot be written.
        """
        shown = progress if self._devices.is_chief else False
        with training_progress(shown, self._steps, self._step) as report:
            try:
                self._train(report)
            except (KeyboardInterrupt, SystemExit):
                # Of several workers, the others are not here to save with.
                if self._devices.workers == 1:
                    self._save()
                raise

    def finish(self) -> TrainingRun:
        """Score what was kept on the test data."""
        test = self._test() if self._devices.is_chief and "test" in self._data else None
        return TrainingRun(
            folder=self._run.path,
            steps=self._step,
            stopped_early=self._step < self._steps,
            best_step=self._best.step if self._validator is not None else self._step,
            mean_iou=self._best.score,
            test=test,
        )

    def _train(self, report: Report) -> None:
        batches = self._batches()
        while self._step < self._steps and not self._is_exhausted():
            self._learner.train(*next(batches))
            self._step += 1
            if self._step == self._freezes_at:
                self._learner.freeze_observers()
            is_last = self._step == self._steps
            report(self._step, self._record_loss() if is_last or self._step % _REPORT_EVERY == 0 else {})
            if self._validator is not None and (is_last or self._step % self._every == 0):
                report(self._step, self._validate(self._validator))
            if is_last or self._step % (self._config.checkpoints.every or self._every) == 0:
                self._save()
        if self._validator is None:
            with self._learner.evaluated_weights():
                self._keep()

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        config, devices = self._config, self._devices

        def of_this_worker(context: Any) -> Any:
            return training_batches(
                self._data["train"],
                batch_size=config.batch_size,
                crop=config.crop,
                augmentation=Augmentation(**config.augmentation.model_dump()),
                seed=config.seed,
                start=self._step,
                shard=(devices.worker, devices.workers),
                replicas=devices.replicas // devices.workers,
            )

        self._learner.model.check_input_shape(tf.TensorShape((None, *config.crop, 3)))
        return iter(devices.strategy.distribute_datasets_from_function(of_this_worker))

    def _calibration_images(self) -> NDArray[np.uint8]:
        """Evenly spaced training images as the model meets them in validation: scaled to fit the crop, and padded."""
        section = self._config.quantization
        count = 1 if section is None else section.calibration.images
        return spaced_images(self._data["train"], count, self._config.crop)

    def _open_validator(self) -> Validator | None:
        data, section = self._data.get("validation"), self._config.validation
        if data is None:
            return None
        return Validator(
            self._learner.model,
            data,
            self._devices,
            batch_size=section.batch_size or self._config.batch_size,
            size=section.size or self._config.crop,
            boundary_iou=section.boundary_iou,
            pictures=section.pictures,
        )

    def _record_loss(self) -> dict[str, Any]:
        values = {
            "loss": self._learner.take_loss(),
            "learning_rate": self._learner.learning_rate(self._step - 1),
        }
        self._require_finite(math.isfinite(values["loss"]))
        if self._history is not None:
            self._history.record(self._step, values)
        return values

    def _validate(self, validator: Validator) -> dict[str, Any]:
        with self._learner.evaluated_weights():
            found = validator()
            if self._learner.is_comparable and self._best.consider(
                found.scores.mean_iou, self._step, self._min_delta()
            ):
                self._keep()
        values: dict[str, Any] = {
            "mean_iou": found.scores.mean_iou,
            "pixel_accuracy": found.scores.pixel_accuracy,
        }
        if found.boundary_iou is not None:
            values["boundary_iou"] = found.boundary_iou
        if self._history is not None:
            self._history.record(self._step, {**values, "iou": found.scores.iou})
            self._draw(self._history, found)
        return values

    def _draw(self, history: History, found: Validation) -> None:
        if not found.pictures:
            return
        preset = self._recipe.preset.config
        picture = sheet(
            found.pictures,
            palette=[label.color for label in preset.labels] or None,
            labels=[label.name for label in preset.labels],
            num_classes=preset.num_classes,
        )
        history.draw(self._step, "predictions", picture)
        with atomic_path(self._run.picture(self._step)) as temporary:
            Image.fromarray(picture).save(temporary)

    def _keep(self) -> None:
        """Save the weights that the model has now as the result of the run."""
        # Reading may need all workers; and layers that compute in half precision are of no use to others.
        values = [variable.numpy() for variable in self._learner.model.weights]
        if not self._devices.is_chief:
            return
        if self._clean is None:
            self._clean = build(self._recipe.preset, weights=None, **self._learner.overrides)
        self._clean.set_weights(values)
        save_preset(self._clean, self._run.model, metrics=self._metrics(), overwrite=True)

    def _test(self) -> Scores:
        """Score the kept weights at the images' own sizes, and save them with what they reach."""
        model = build(self._run.model)
        evaluation = evaluate(model, self._data["test"])
        evaluation.write(self._run.evaluation)
        measured = evaluation.scores.to_dict()
        save_preset(model, self._run.model, metrics=self._metrics(measured), overwrite=True)
        return evaluation.scores

    def _metrics(self, test: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """What the kept weights reach, for the model card."""
        source = f"recipe {self._recipe.name}, seed {self._config.seed}"
        found = []
        if self._best.score is not None:
            found.append({"dataset": self._data["validation"].name, "mean_iou": self._best.score})
        if test is not None:
            found.append({"dataset": self._data["test"].name, **test})
        return [{**measured, "source": source} for measured in found]

    def _min_delta(self) -> float:
        return 0.0 if self._config.early_stopping is None else self._config.early_stopping.min_delta

    def _is_exhausted(self) -> bool:
        section = self._config.early_stopping
        return section is not None and self._best.stale >= section.patience

    def _save(self) -> None:
        self._require_finite(self._learner.has_finite_weights())
        self._checkpoints.save(int(self._learner.step.numpy()))

    def _require_finite(self, is_finite: bool) -> None:
        if is_finite:
            return
        raise TrainingError(
            "losses and weights must stay finite",
            received=f"NaN or infinity at step {self._step}, "
            f"learning rate {self._learner.learning_rate(self._step - 1):.3g}",
            repair="lower learning_rate.peak, add learning_rate.warmup or clip_norm; the changed recipe needs a folder "
            "of its own",
        )

    def _scratch(self) -> Path:
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="atrous-worker-")))
