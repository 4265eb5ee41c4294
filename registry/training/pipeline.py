"""Annotated images as `tf.data` pipelines that can be taken up at any step.

The example at position k of a run is a function of the seed and k alone: epoch k // N has an order of its own, and the
augmentation draws from (seed, k). So a run that was killed and resumed sees what one that was never killed sees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import tf
from registry.data import AnnotatedImages
from registry.errors import ModelError
from registry.training.augmentation import Augmentation, augment, fit, recolour
from registry.training.calls import called

__all__ = ["evaluation_batches", "spaced_images", "training_batches"]


def training_batches(
    data: AnnotatedImages,
    *,
    batch_size: int,
    crop: tuple[int, int],
    augmentation: Augmentation | None = None,
    seed: int = 0,
    start: int = 0,
    shard: tuple[int, int] = (0, 1),
    replicas: int = 1,
) -> Any:
    """Shuffled, augmented batches without end.

    Args:
        data: annotated images.
        batch_size: images per batch, of all workers together.
        crop: height and width of the results in pixels.
        augmentation: what is varied; None takes the papers' defaults.
        seed: of order and augmentation.
        start: number of batches that were seen already.
        shard: number of this worker and of how many; each takes its part of every batch.
        replicas: devices of this worker. Where there are several, each element is one device's part of a batch, and
            the parts follow one another.

    Returns:
        `tf.data.Dataset` of (uint8 (batch, *crop, 3), integer mask (batch, *crop)).

    Raises:
        ModelError: the batch cannot be divided among the devices, or there are no images.
    """
    number, workers = shard
    if batch_size < 1 or batch_size % (workers * replicas) or not 0 <= number < workers:
        raise ModelError(
            "a global batch must be divisible among its workers and their devices",
            received=f"batch_size={batch_size}, worker {number} of {workers} with {replicas} devices",
            repair="choose a multiple of the number of devices",
        )
    if not len(data):
        raise ModelError("training needs at least one image", received="an empty data set")
    settings = augmentation or Augmentation()
    per_worker = batch_size // workers
    order = _Order(len(data), seed)

    def position(counter: Any) -> Any:
        # Parts of one worker's devices follow one another, so that their order is that of the whole batch.
        batch, slot = counter // per_worker, counter % per_worker
        return (start + batch) * batch_size + number * per_worker + slot

    def cropped(place: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        example = data[order(place)]
        chance = np.random.default_rng((seed, place))
        mask = example.mask.astype(_mask_dtype(data), copy=False)
        return augment(example.image, mask, chance, settings, crop, data.ignore_label)

    def prepared(counter: Any) -> tuple[Any, Any]:
        place = position(counter)
        image, mask = called(cropped, place, crop, _mask_dtype(data))
        draw = tf.stack([tf.constant(seed, tf.int64), place])
        # A seed is two words of 32 bits.
        return recolour(image, tf.cast(draw % 2**31, tf.int32), settings), mask

    counters = tf.data.Dataset.counter(dtype=tf.int64)
    examples = counters.map(prepared, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return _batched(examples, per_worker // replicas, drop_remainder=True)


def evaluation_batches(
    data: AnnotatedImages, *, batch_size: int, size: tuple[int, int], shard: tuple[int, int] = (0, 1)
) -> Any:
    """Every image once, in order, scaled to fit and padded.

    Args:
        data: annotated images.
        batch_size: images per batch; the last one may have fewer.
        size: height and width in pixels.
        shard: number of this worker and of how many; each takes every so many images.

    Returns:
        `tf.data.Dataset` of (uint8 (batch, *size, 3), integer mask (batch, *size)).
    """
    number, workers = shard

    def fitted(index: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        example = data[index]
        return fit(example.image, example.mask.astype(_mask_dtype(data), copy=False), size, data.ignore_label)

    def prepared(index: Any) -> tuple[Any, Any]:
        return called(fitted, index, size, _mask_dtype(data))

    examples = tf.data.Dataset.range(number, len(data), workers).map(
        prepared, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return _batched(examples, batch_size, drop_remainder=False)


def spaced_images(data: AnnotatedImages, count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Evenly spaced images as `evaluation_batches` gives them: what occurs, for calibration.

    Args:
        data: annotated images.
        count: largest number of images.
        size: height and width in pixels.

    Returns:
        uint8 (images, *size, 3).
    """
    spaced = evaluation_batches(data, batch_size=1, size=size, shard=(0, max(1, len(data) // count)))
    return np.concatenate([images.numpy() for images, _ in spaced.take(count)])


class _Order:
    """Position in a run → number of an example: every epoch a permutation of its own."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed = count, seed
        # One attribute for both, so that threads at the border of two epochs never see halves of a change.
        self._latest: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __call__(self, position: int) -> int:
        epoch, place = divmod(position, self._count)
        known, permutation = self._latest
        if epoch != known:
            permutation = np.random.default_rng((self._seed, epoch)).permutation(self._count)
            self._latest = (epoch, permutation)
        return int(permutation[place])


def _mask_dtype(data: AnnotatedImages) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if max(data.num_classes - 1, data.ignore_label) < 256 else np.uint16


def _batched(examples: Any, batch_size: int, *, drop_remainder: bool) -> Any:
    return examples.batch(batch_size, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)
