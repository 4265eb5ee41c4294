"""Pipelines: reproducible from any step, masks without invented classes, padding that does not count."""

import subprocess
import sys

import numpy as np
import pytest

from registry.backend import tf
from registry.data import Example
from registry.errors import ModelError
from registry.images import stretched
from registry.training.augmentation import Augmentation, augment, fit, recolour
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


def augmented(settings, crop, seed, example=None):
    example = Numbered(1)[0] if example is None else example
    return augment(example.image, example.mask, np.random.default_rng((seed, 7)), settings, crop, 255)


@pytest.mark.parametrize("seed", range(6))
def test_image_and_mask_move_together(seed):
    """Without scaling, the image's own copy of the mask must still equal the mask, wherever there is an image."""
    image, mask = augmented(Augmentation(scale=(1.0, 1.0)), (20, 9), seed)
    inside = mask != 255
    np.testing.assert_array_equal(image[inside][:, 1], mask[inside])
    assert inside.sum() == 12 * 9
    np.testing.assert_array_equal(image[~inside], 128)


@pytest.mark.parametrize("seed", range(12))
def test_scaled_image_and_mask_move_together(seed):
    """A ramp stays a ramp when it is resized: the image tells which pixel the mask must have taken."""
    height, width = 37, 53
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([4 * rows, 4 * columns, 0 * rows], -1).astype(np.uint8)
    for axis, values in enumerate((rows, columns)):
        part, classes = augmented(
            Augmentation(), (30, 28), seed, Example("ramp", image, values.astype(np.uint8))
        )
        inside = classes != 255
        assert np.abs(part[..., axis][inside] / 4.0 - classes[inside]).max() <= 1.0


@pytest.mark.parametrize("factor", [0.37, 0.8, 1.0, 1.6])
def test_a_window_is_what_resizing_the_whole_would_give(factor):
    image = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
    mask = np.random.default_rng(1).integers(0, 9, (61, 47), dtype=np.uint8)
    size = (round(61 * factor), round(47 * factor))
    whole = stretched(image, size)
    whole_mask = tf.image.resize(mask[..., None], size, "nearest").numpy()[..., 0]
    settings = Augmentation(scale=(factor, factor), flip=False)
    found = set()
    for seed in range(8):
        part, classes = augmented(settings, (15, 13), seed, Example("noise", image, mask))
        # The window's place is where the mask fits.
        windows = np.lib.stride_tricks.sliding_window_view(whole_mask, (15, 13))
        places = np.argwhere((windows == classes).all((2, 3)))
        assert len(places) == 1
        top, left = places[0]
        found.add((top, left))
        difference = np.abs(part - whole[top : top + 15, left : left + 13].astype(int))
        # Pillow weighs in fixed point, and the last bit may differ in each direction.
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.02
    assert len(found) > 4


def test_shrinking_is_antialiased():
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::2] = 255
    settings = Augmentation(scale=(0.25, 0.25), flip=False)
    part, _ = augmented(settings, (20, 20), 0, Example("stripes", stripes, np.zeros((80, 80), np.uint8)))
    assert np.abs(part[:, 2:-2] - 127.5).max() < 12


def test_scaling_reaches_its_range_and_invents_no_class():
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 9
    example = Example("square", np.zeros((40, 40, 3), np.uint8), mask)
    counts = []
    for seed in range(60):
        _, classes = augmented(Augmentation(), (90, 90), seed, example)
        assert set(np.unique(classes)) <= {0, 9, 255}
        counts.append((classes == 9).sum() ** 0.5 / 20)
    assert 0.5 - 0.05 < min(counts) < 0.62
    assert 1.6 < max(counts) < 2.0 + 0.05
    assert 0.4 < np.mean(np.array(counts) < 1) < 0.6  # as often smaller as larger


def test_mirroring_is_as_frequent_as_not():
    flips = [augmented(Augmentation(scale=(1.0, 1.0)), (12, 16), seed)[1][0, 0] != 0 for seed in range(60)]
    assert 15 < sum(flips) < 45


def test_every_crop_is_as_likely_as_any():
    places = [int(augmented(STILL, (12, 14), seed)[1][0, 0]) for seed in range(300)]
    assert set(places) == {0, 1, 2}
    assert min(np.bincount(places)) > 70


def test_colours_vary_within_their_ranges():
    still = Numbered(1)[0].image
    draws = [tf.constant([seed, 7]) for seed in range(30)]
    settings = Augmentation((1.0, 1.0), flip=False, brightness=30, contrast=0.3, saturation=0.5, hue=0.1)
    images = np.stack([recolour(still, draw, settings).numpy() for draw in draws])
    assert images.dtype == np.uint8
    assert images.std(0).max() > 5
    only_brightness = Augmentation((1.0, 1.0), flip=False, brightness=30)
    for draw in draws[:10]:
        changed = recolour(still, draw, only_brightness).numpy()
        shift = (changed.astype(int) - still)[(changed > 0) & (changed < 255)]
        assert np.ptp(shift) <= 1
        assert abs(shift[0]) <= 30
    assert recolour(still, draws[0], STILL) is still
    uncontrasted = Augmentation(contrast=1.0)
    means = still.mean((0, 1))
    for draw in draws[:10]:
        changed = recolour(still, draw, uncontrasted).numpy()
        factor = (changed[..., 1].astype(float) - means[1]) / (still[..., 1] - means[1])
        unclipped = (changed[..., 1] > 0) & (changed[..., 1] < 255) & (np.abs(still[..., 1] - means[1]) > 30)
        assert np.ptp(factor[unclipped]) < 0.05
        assert 0 <= factor[unclipped].mean() <= 2


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
    image, mask = fit(np.zeros((30, 60, 3), np.uint8), np.zeros((30, 60), np.uint8), (40, 40), 255)
    assert (mask[:20] == 0).all()
    assert (mask[20:] == 255).all()
    assert (image[20:] == 128).all()


def test_fit_resizes_as_the_runtime_does():
    image = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    fitted, _ = fit(image, np.zeros((30, 60), np.uint8), (40, 40), 255)
    np.testing.assert_array_equal(fitted[:20], stretched(image, (20, 40)))


def test_masks_beyond_255_keep_their_dtype():
    class Many(Numbered):
        num_classes, ignore_label = 700, 65535

        def __getitem__(self, index):
            return Example("many", np.zeros((12, 16, 3), np.uint8), np.full((12, 16), 699, np.uint16))

    batches = training_batches(Many(2), batch_size=2, crop=(20, 20), augmentation=STILL)
    ((_, masks),) = taken(batches, 1)
    assert masks.dtype == np.uint16
    assert set(np.unique(masks)) == {699, 65535}


@pytest.mark.slow
def test_a_script_that_ends_with_a_pipeline_in_hand_ends():
    """The interpreter's shutdown must not wait for threads that wait for the interpreter."""
    script = """
import time
import numpy as np
from registry.data import Example
from registry.training.pipeline import training_batches

class Busy:
    num_classes, ignore_label = 2, 255
    def __len__(self):
        return 50
    def __getitem__(self, index):
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            pass
        return Example("", np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))

batches = iter(training_batches(Busy(), batch_size=4, crop=(8, 8)))
next(batches)
raise RuntimeError("the run failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "the run failed" in done.stderr
