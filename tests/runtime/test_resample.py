import tracemalloc

import numpy as np
import pytest
from textbook import bilinear

from registry.runtime.resample import (
    argmax_at_size,
    mask_dtype,
    nearest_at_size,
    strips_at_size,
    threshold_at_size,
)

SIZES = [(1, 1), (1, 7), (8, 12), (5, 3), (64, 96), (61, 97), (513, 700)]


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


@pytest.mark.parametrize("size", [(5, 7), (20, 35), (3, 4), (513, 700)])
def test_a_part_of_the_scores_is_resized_as_if_it_were_all(size):
    scores = np.random.default_rng(5).normal(size=(8, 12, 4)).astype(np.float32)
    part = np.ascontiguousarray(scores[:5, :7])
    np.testing.assert_array_equal(argmax_at_size(scores, size, (5, 7)), argmax_at_size(part, size))
    plane = scores[:, :, 0]
    np.testing.assert_array_equal(
        threshold_at_size(plane, size, 0.1, (5, 7)), threshold_at_size(part[:, :, 0], size, 0.1)
    )


def test_a_part_may_end_within_a_score():
    """The first 30 of 32 pixels, of which every 8 share a score: interpolation as for all 32, then cut off."""
    scores = np.random.default_rng(6).normal(size=(4, 4, 3)).astype(np.float32)
    whole = np.stack([bilinear(scores[:, :, index], (32, 32)) for index in range(3)], axis=-1)[:30, :30]
    runner_up, best = np.sort(whole, axis=-1)[:, :, -2:].transpose(2, 0, 1)
    clear = best - runner_up > 1e-5
    mask = argmax_at_size(scores, (30, 30), (30 / 8, 30 / 8))
    np.testing.assert_array_equal(mask[clear], whole.argmax(-1)[clear])


@pytest.mark.parametrize("extent", [None, (5, 7), (4.25, 11.5)])
def test_strips_make_up_the_resized_scores(extent):
    scores = np.random.default_rng(7).normal(size=(8, 12, 21)).astype(np.float32)
    size = 300, 400
    parts = list(strips_at_size(scores, size, extent))
    assert len(parts) > 1
    assert [part.start for part, _ in parts[1:]] == [part.stop for part, _ in parts[:-1]]
    whole = np.concatenate([strip for _, strip in parts], axis=1)
    assert whole.shape == (21, *size)
    assert (whole.argmax(0) == argmax_at_size(scores, size, extent)).mean() > 0.9999
    if extent is None:
        np.testing.assert_allclose(whole[3], bilinear(scores[:, :, 3], size), atol=1e-5)


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
