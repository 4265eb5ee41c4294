"""Pipelines: reproducible from any step, masks without invented classes, padding that does not count."""

import numpy as np
import pytest

from registry.backend import tf
from registry.data import Example
from registry.errors import ModelError
from registry.training.augmentation import Augmentation, augment, fit
from registry.training.pipeline import evaluation_batches, training_batches

STILL = Augmentation(scale=(1.0, 1.0), flip=False)


class Numbered:
    """Images whose pixels say which one it is; the mask says where a pixel was."""

    num_classes, ignore_label = 200, 255

    def __init__(self, count, size=(12, 16)):
        self.count, self.size = count, size

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        mask = np.arange(np.prod(self.size), dtype=np.uint8).reshape(self.size) % 200
        image = np.repeat(mask[..., None], 3, -1)
        image[..., 0] = index
        return Example(str(index), image, mask)


def taken(dataset, count):
    return [(images.numpy(), masks.numpy()) for images, masks in dataset.take(count)]


def test_a_run_can_be_taken_up_at_any_batch():
    arguments = {"batch_size": 3, "crop": (10, 10), "seed": 4}
    whole = taken(training_batches(Numbered(7), **arguments), 8)
    rest = taken(training_batches(Numbered(7), **arguments, start=5), 3)
    for (images, masks), (other_images, other_masks) in zip(whole[5:], rest, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(masks, other_masks)
    other_seed = taken(training_batches(Numbered(7), **{**arguments, "seed": 5}), 1)
    assert (other_seed[0][0] != whole[0][0]).any()


def test_every_epoch_is_a_permutation_of_its_own():
    batches = training_batches(Numbered(6), batch_size=2, crop=(12, 16), augmentation=STILL)
    numbers = [int(image[0, 0, 0]) for images, _ in taken(batches, 9) for image in images]
    epochs = [numbers[start : start + 6] for start in (0, 6, 12)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(6))] * 3
    assert len(set(map(tuple, epochs))) == 3


def test_workers_share_every_batch():
    whole = taken(training_batches(Numbered(7), batch_size=4, crop=(8, 8), seed=1), 3)
    parts = [
        taken(training_batches(Numbered(7), batch_size=4, crop=(8, 8), seed=1, shard=(number, 2)), 3)
        for number in (0, 1)
    ]
    for step, (images, masks) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[step][0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[step][1] for part in parts]), masks)
    with pytest.raises(ModelError, match="divisible"):
        training_batches(Numbered(7), batch_size=3, crop=(8, 8), shard=(0, 2))


def augmented(settings, crop, seed, size=(12, 16)):
    example = Numbered(1, size)[0]
    image, mask = augment(
        tf.cast(example.image, tf.float32),
        tf.constant(example.mask[..., None]),
        tf.constant([seed, 7]),
        settings,
        crop,
        255,
    )
    return image.numpy(), mask.numpy()[..., 0]


@pytest.mark.parametrize("seed", range(6))
def test_image_and_mask_move_together(seed):
    """Without scaling, the image's own copy of the mask must still equal the mask, wherever there is an image."""
    image, mask = augmented(Augmentation(scale=(1.0, 1.0)), (20, 9), seed)
    inside = mask != 255
    np.testing.assert_array_equal(image[inside][:, 1], mask[inside])
    assert inside.sum() == 12 * 9
    np.testing.assert_array_equal(image[~inside], 127.5)


def test_scaling_reaches_its_range_and_invents_no_class():
    example = np.zeros((40, 40), np.uint8)
    example[10:30, 10:30] = 9
    counts = []
    for seed in range(60):
        _, mask = augment(
            tf.zeros((40, 40, 3)),
            tf.constant(example[..., None]),
            tf.constant([seed, 0]),
            Augmentation(),
            (90, 90),
            255,
        )
        assert set(np.unique(mask)) <= {0, 9, 255}
        counts.append((mask.numpy() == 9).sum() ** 0.5 / 20)
    assert 0.5 - 0.05 < min(counts) < 0.62
    assert 1.6 < max(counts) < 2.0 + 0.05
    assert 0.4 < np.mean(np.array(counts) < 1) < 0.6  # as often smaller as larger


def test_mirroring_is_as_frequent_as_not():
    flips = [augmented(Augmentation(scale=(1.0, 1.0)), (12, 16), seed)[1][0, 0] != 0 for seed in range(60)]
    assert 15 < sum(flips) < 45


def test_colours_vary_within_their_ranges():
    settings = Augmentation((1.0, 1.0), flip=False, brightness=30, contrast=0.3, saturation=0.5, hue=0.1)
    images = np.stack([augmented(settings, (12, 16), seed)[0] for seed in range(30)])
    assert images.min() >= 0
    assert images.max() <= 255
    assert images.std(0).max() > 5
    only_brightness = Augmentation((1.0, 1.0), flip=False, brightness=30)
    still, _ = augmented(STILL, (12, 16), 0)
    for seed in range(10):
        changed, mask = augmented(only_brightness, (12, 16), seed)
        shift = (changed - still)[(changed > 0) & (changed < 255)]
        assert np.ptp(shift) < 1e-3
        assert abs(shift[0]) <= 30
        np.testing.assert_array_equal(mask, Numbered(1)[0].mask)


@pytest.mark.parametrize(
    "arguments", [{"scale": (2.0, 0.5)}, {"scale": (0.0, 1.0)}, {"hue": 0.6}, {"contrast": -0.1}]
)
def test_wrong_ranges_are_refused(arguments):
    with pytest.raises(ModelError):
        Augmentation(**arguments)


def test_evaluation_gives_every_image_once_in_order():
    batches = list(evaluation_batches(Numbered(5), batch_size=2, size=(12, 20)))
    assert [len(images) for images, _ in batches] == [2, 2, 1]
    images, masks = (np.concatenate([batch[part] for batch in batches]) for part in (0, 1))
    np.testing.assert_array_equal(images[:, 0, 0, 0], range(5))
    np.testing.assert_array_equal(masks[:, :, :16], np.stack([Numbered(5)[0].mask] * 5))
    assert (masks[:, :, 16:] == 255).all()


def test_fit_keeps_proportions():
    image, mask = fit(tf.zeros((30, 60, 3)), tf.zeros((30, 60, 1), tf.uint8), (40, 40), 255)
    assert (mask.numpy()[:20] == 0).all()
    assert (mask.numpy()[20:] == 255).all()
    assert (image.numpy()[20:] == 127.5).all()
