import tracemalloc

import numpy as np
import pytest

from registry.runtime.resample import argmax_at_size, mask_dtype, nearest_at_size, threshold_at_size

SIZES = [(1, 1), (1, 7), (8, 12), (5, 3), (64, 96), (61, 97), (513, 700)]


def bilinear(plane, size):
    """The textbook: every output pixel on its own, half-pixel centres, edges repeated; float64."""

    def weights(source, target):
        matrix = np.zeros((target, source))
        for index in range(target):
            position = min(max((index + 0.5) * source / target - 0.5, 0), source - 1)
            lower = int(position)
            matrix[index, lower] += 1 - (position - lower)
            matrix[index, min(lower + 1, source - 1)] += position - lower
        return matrix

    return weights(plane.shape[0], size[0]) @ plane @ weights(plane.shape[1], size[1]).T


@pytest.mark.parametrize("size", SIZES)
def test_streaming_argmax_equals_argmax_of_a_full_resize(size):
    scores = np.random.default_rng(0).normal(size=(8, 12, 21)).astype(np.float32)
    full = np.stack([bilinear(scores[:, :, index], size) for index in range(21)], axis=-1)
    mask = argmax_at_size(scores, size)
    assert mask.dtype == np.uint8
    assert mask.shape == size
    runner_up, best = np.sort(full, axis=-1)[:, :, -2:].transpose(2, 0, 1)
    clear = best - runner_up > 1e-5  # float32 may decide a photo finish differently
    assert clear.mean() > 0.99
    assert (mask == full.argmax(-1))[clear].all()


def test_the_interpolation_is_tensorflows():
    from registry.backend import tf

    scores = np.random.default_rng(1).normal(size=(9, 7, 4)).astype(np.float32)
    expected = tf.image.resize(scores, (70, 55)).numpy().argmax(-1)
    assert (argmax_at_size(scores, (70, 55)) == expected).mean() > 0.999


def test_ties_go_to_the_lowest_class():
    scores = np.random.default_rng(2).normal(size=(4, 5, 1)).astype(np.float32)
    assert (argmax_at_size(np.repeat(scores, 3, axis=2), (40, 50)) == 0).all()


def test_threshold_is_strict():
    plane = np.array([[0.0, 1.0]], np.float32)
    assert threshold_at_size(plane, (1, 4), 0.0).tolist() == [[0, 1, 1, 1]]
    assert threshold_at_size(plane, (1, 4), 0.5).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(("classes", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_the_smallest_type_that_fits(classes, dtype):
    assert mask_dtype(classes) is dtype


def test_more_than_256_classes():
    scores = np.zeros((2, 2, 300), np.float32)
    scores[:, :, 299] = 1
    mask = argmax_at_size(scores, (3, 3))
    assert mask.dtype == np.uint16
    assert (mask == 299).all()


@pytest.mark.parametrize("size", SIZES)
def test_nearest_repeats_and_picks(size):
    mask = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)
    resized = nearest_at_size(mask, size)
    assert resized.shape == size
    assert set(np.unique(resized)) <= set(range(96))
    if size == (8, 12):
        assert (resized == mask).all()
    if size == (64, 96):
        assert (resized == np.kron(mask, np.ones((8, 8), np.uint8))).all()


def test_memory_stays_far_below_the_full_size_scores():
    scores = np.random.default_rng(4).normal(size=(32, 32, 21)).astype(np.float32)
    tracemalloc.start()
    argmax_at_size(scores, (2048, 2048))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    plane = 2048 * 2048 * 4
    assert peak < 2 * plane  # the full array would be 21 planes
