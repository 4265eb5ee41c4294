"""Scores during a run: every image once, on all devices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import tf
from registry.data import AnnotatedImages
from registry.evaluation import ConfusionMatrix, Scores
from registry.evaluation.boundary import BoundaryIoU
from registry.training.distribution import Devices
from registry.training.pipeline import evaluation_batches

__all__ = ["Validation", "Validator"]


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Args:
        scores: of the masks at the validation's size.
        boundary_iou: mean boundary IoU; None if it was not asked for.
        pictures: of the first images: pixels, annotation and prediction.
    """

    scores: Scores
    boundary_iou: float | None
    pictures: tuple[tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any]], ...]


class Validator:
    """Scores a model on a data set, again and again.

    Images are scaled to fit into one size and padded, so that they make batches; the finished model is scored at the
    images' own sizes by `registry.evaluate`.

    Args:
        model: segmenter of atrous, normalized pixels → logits.
        data: annotated images.
        devices: that share the work.
        batch_size: images per batch on each worker.
        size: height and width in pixels.
        boundary_iou: measure boundary IoU, too.
        pictures: number of images whose masks are returned.
    """

    def __init__(
        self,
        model: Any,
        data: AnnotatedImages,
        devices: Devices,
        *,
        batch_size: int,
        size: tuple[int, int],
        boundary_iou: bool = False,
        pictures: int = 0,
    ) -> None:
        model.check_input_shape(tf.TensorShape((None, *size, 3)))
        self._model, self._data, self._devices = model, data, devices
        self._wants_boundary, self._wants_pictures = boundary_iou, pictures
        # Worker w scores the images w, w + workers, …, each with its first device.
        self._batches = evaluation_batches(
            data, batch_size=batch_size, size=size, shard=(devices.worker, devices.workers)
        )
        self._predict = tf.function(self._distributed_masks, reduce_retracing=True)

    def __call__(self) -> Validation:
        """Score the model as it is now."""
        confusion = ConfusionMatrix(self._data.num_classes, self._data.ignore_label)
        boundary = BoundaryIoU(self._data.num_classes, self._data.ignore_label)
        pictures: list[tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any]]] = []
        for images, annotated, predicted in self._predictions():
            confusion.update(annotated, predicted)
            for image, truth, guess in zip(images, annotated, predicted, strict=True):
                if self._wants_boundary:
                    boundary.update(truth, guess)
                if len(pictures) < self._wants_pictures:
                    pictures.append((image, truth, guess))
        for held in (confusion.counts, boundary.intersection, boundary.union):
            held[...] = self._devices.sum_over_workers(held)
        return Validation(
            confusion.scores(), boundary.mean() if self._wants_boundary else None, tuple(pictures)
        )

    def _predictions(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Pixels, annotations and predictions of this worker's batches, as many at a time as it has devices."""
        strategy, here = self._devices.strategy, self._devices.replicas // self._devices.workers
        batches = iter(self._batches)
        while group := list(itertools.islice(batches, here)):
            # The last devices may have nothing left to do; they repeat.
            images = strategy.experimental_distribute_values_from_function(
                lambda context, group=group: group[
                    min(context.replica_id_in_sync_group % here, len(group) - 1)
                ][0]
            )
            masks = strategy.experimental_local_results(self._predict(images))
            for (pixels, annotated), predicted in zip(group, masks, strict=False):
                yield pixels.numpy(), annotated.numpy(), predicted.numpy()

    def _distributed_masks(self, images: Any) -> Any:
        # Within `run`, each device reads its own statistics; outside, every read would have to wait for all workers.
        return self._devices.strategy.run(self._masks, args=(images,))

    def _masks(self, images: Any) -> Any:
        logits = self._model(self._model.preprocessor(images), training=False)
        return tf.argmax(logits, -1, output_type=tf.int32)
