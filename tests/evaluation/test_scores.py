"""Scores against their definitions, written out pixel by pixel."""

import numpy as np
import pytest

from registry.errors import ModelError
from registry.evaluation import ConfusionMatrix, mean_iou_of_masks
from registry.evaluation.boundary import BoundaryIoU, boundary_regions


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (3, 20, 30)).astype(np.uint8)
    guess = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape)).astype(np.int64)
    truth[rng.random(truth.shape) < 0.1] = 255
    return truth, guess


def test_iou_is_intersection_over_union_without_ignored_pixels(masks):
    truth, guess = masks
    matrix = ConfusionMatrix(5)
    for one, other in zip(truth, guess, strict=True):
        matrix.update(one, other)
    scores = matrix.scores()
    counted = truth != 255
    expected = []
    for index in range(4):
        a, b = (truth == index) & counted, (guess == index) & counted
        expected.append((a & b).sum() / (a | b).sum())
    np.testing.assert_allclose(scores.iou[:4], expected)
    assert scores.iou[4] is None  # it occurs nowhere, so it does not count in the mean
    assert scores.mean_iou == pytest.approx(np.mean(expected))
    assert scores.pixel_accuracy == pytest.approx((truth == guess)[counted].mean())
    recall = [(guess == index)[truth == index].mean() for index in range(4)]
    assert scores.mean_accuracy == pytest.approx(np.mean(recall))
    weights = [(truth == index).sum() for index in range(4)]
    assert scores.frequency_weighted_iou == pytest.approx(np.average(expected, weights=weights))
    assert scores.pixels == counted.sum()


def test_scikit_learn_agrees(masks):
    metrics = pytest.importorskip("sklearn.metrics")
    truth, guess = masks
    counted = truth != 255
    matrix = ConfusionMatrix(4)
    matrix.update(truth, guess)
    np.testing.assert_array_equal(matrix.counts, metrics.confusion_matrix(truth[counted], guess[counted]))
    expected = metrics.jaccard_score(truth[counted], guess[counted], average="macro")
    assert matrix.scores().mean_iou == pytest.approx(expected)


def test_batches_masks_and_merged_matrices_count_the_same(masks):
    truth, guess = masks
    whole, first, rest = (ConfusionMatrix(4) for _ in range(3))
    whole.update(truth, guess)
    first.update(truth[0], guess[0])
    rest.update(truth[1:], guess[1:])
    first.merge(rest)
    np.testing.assert_array_equal(first.counts, whole.counts)
    np.testing.assert_allclose(whole.normalized().sum(1), 1)
    with pytest.raises(ModelError, match="4 and 5"):
        first.merge(ConfusionMatrix(5))


def test_nothing_counted_is_zero():
    scores = ConfusionMatrix(3).scores()
    assert (scores.mean_iou, scores.pixel_accuracy, scores.iou) == (0.0, 0.0, (None, None, None))


@pytest.mark.parametrize(
    ("truth", "guess", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "one shape"),
        (np.zeros((2, 2), int), np.zeros((2, 2)), "integers"),
        (np.full((2, 2), 3), np.zeros((2, 2), int), "annotated values"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "predicted values"),
    ],
)
def test_what_cannot_be_counted_changes_nothing(truth, guess, message):
    matrix = ConfusionMatrix(3)
    with pytest.raises(ModelError, match=message):
        matrix.update(truth, guess)
    assert not matrix.counts.any()


def test_without_an_ignore_label_every_pixel_counts():
    matrix = ConfusionMatrix(256, ignore_label=None)
    matrix.update(np.full((2, 2), 255), np.full((2, 2), 255))
    assert matrix.counts[255, 255] == 4


@pytest.mark.parametrize("width", [1, 2, 5])
def test_boundary_is_what_lies_within_a_distance_of_the_outside(width):
    rng = np.random.default_rng(1)
    mask = np.kron(rng.random((4, 5)) < 0.6, np.ones((6, 6))).astype(bool)
    expected = np.zeros_like(mask)
    padded = np.pad(mask, width)
    for row, column in np.argwhere(mask):
        window = padded[row : row + 2 * width + 1, column : column + 2 * width + 1]
        expected[row, column] = not window.all()
    np.testing.assert_array_equal(boundary_regions(mask, width), expected)


def test_boundary_iou_sees_what_iou_hides():
    truth = np.zeros((200, 200), np.uint8)
    truth[20:180, 20:180] = 1
    guess = np.zeros_like(truth)
    guess[24:180, 20:180] = 1
    plain, boundary = ConfusionMatrix(2), BoundaryIoU(2)
    plain.update(truth, guess)
    boundary.update(truth, guess)
    assert plain.scores().iou[1] == pytest.approx(156 / 160)
    assert boundary.per_class()[1] < 0.75
    perfect = BoundaryIoU(3)
    perfect.update(truth, truth)
    assert perfect.per_class() == (1.0, 1.0, None)
    assert perfect.mean() == 1.0


def test_boundary_iou_leaves_ignored_pixels_out():
    truth = np.zeros((50, 50), np.uint8)
    truth[:, 25:] = 1
    guess = truth.copy()
    truth[10:20] = 255
    guess[10:20] = 1
    boundary = BoundaryIoU(2)
    boundary.update(truth, guess)
    assert boundary.per_class()[0] > 0.9


def test_two_masks_have_the_mean_iou_of_their_matrix_whatever_their_indices(masks):
    truth, guess = masks
    matrix = ConfusionMatrix(256, ignore_label=None)
    matrix.update(truth, guess)
    assert mean_iou_of_masks(truth, guess) == pytest.approx(matrix.scores().mean_iou, rel=1e-12)
    # A matrix of these classes would have 10^18 cells, and one of as many classes as pixels a million.
    spread = truth.astype(np.int64) * (2**62 // 255), guess * (2**62 // 255)
    assert mean_iou_of_masks(*spread) == pytest.approx(matrix.scores().mean_iou, rel=1e-12)
    every = np.arange(10**6).reshape(1000, 1000)
    assert mean_iou_of_masks(every, every[::-1]) == 0
    assert mean_iou_of_masks(every, every) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [(np.zeros((2, 3), int), np.zeros((3, 2), int)), (np.zeros(2), np.zeros(2, int)), ([], [])],
)
def test_masks_that_cannot_be_compared(one, other):
    with pytest.raises(ModelError, match="integers of one shape"):
        mean_iou_of_masks(one, other)
