"""Losses against their definitions in NumPy, their extremes, and what must not matter."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.training.losses import LOSSES, make_loss

CLASSES = 4


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    masks = np.kron(rng.integers(0, CLASSES, (3, 4, 5)), np.ones((1, 4, 4), int)).astype(np.uint8)
    masks[:, :, :3] = 255
    return masks


@pytest.fixture
def logits(masks):
    return np.random.default_rng(1).normal(size=(*masks.shape, CLASSES)).astype(np.float32) * 2


def pixels(masks, logits, index):
    """Counted pixels of one image: -log p of the right class, labels."""
    counted = masks[index] != 255
    labels = masks[index][counted].astype(int)
    log_p = log_softmax(logits[index][counted].astype(np.float64), -1)
    return -log_p[np.arange(len(labels)), labels], labels, log_p


def test_cross_entropy(masks, logits):
    values = make_loss("cross_entropy")(masks, logits)
    expected = [pixels(masks, logits, index)[0].mean() for index in range(3)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_cross_entropy_with_class_weights(masks, logits):
    weights = np.array([0.1, 1.0, 2.0, 5.0])
    values = make_loss("cross_entropy", class_weights=weights.tolist())(masks, logits)
    expected = []
    for index in range(3):
        losses, labels, _ = pixels(masks, logits, index)
        expected.append(np.average(losses, weights=weights[labels]))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    with pytest.raises(ModelError, match="3 weights for 4"):
        make_loss("cross_entropy", class_weights=[1, 1, 1])(masks, logits)


def test_cross_entropy_with_label_smoothing(masks, logits):
    values = make_loss("cross_entropy", label_smoothing=0.1)(masks, logits)
    expected = []
    for index in range(3):
        losses, _, log_p = pixels(masks, logits, index)
        expected.append((0.9 * losses - 0.1 * log_p.mean(-1)).mean())
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_ohem_keeps_the_hardest_share(masks, logits):
    values = make_loss("ohem_cross_entropy", share=0.3)(masks, logits)
    expected = []
    for index in range(3):
        losses = np.sort(pixels(masks, logits, index)[0])[::-1]
        expected.append(losses[: int(np.ceil(0.3 * len(losses)))].mean())
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    np.testing.assert_allclose(
        make_loss("ohem_cross_entropy", share=1.0)(masks, logits),
        make_loss("cross_entropy")(masks, logits),
        rtol=1e-5,
    )


def test_ohem_with_a_threshold_keeps_all_below_it(masks, logits):
    values = make_loss("ohem_cross_entropy", share=0.1, threshold=0.7)(masks, logits)
    expected = []
    for index in range(3):
        losses = pixels(masks, logits, index)[0]
        expected.append(losses[losses > -np.log(0.7)].mean())
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal(masks, logits, gamma):
    values = make_loss("focal", gamma=gamma)(masks, logits)
    expected = []
    for index in range(3):
        losses = pixels(masks, logits, index)[0]
        expected.append(((1 - np.exp(-losses)) ** gamma * losses).mean())
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_dice(masks, logits):
    values = make_loss("dice", smooth=1.0)(masks, logits)
    expected = []
    for index in range(3):
        counted = masks[index] != 255
        p = softmax(logits[index][counted].astype(np.float64), -1)
        truth = np.eye(CLASSES)[masks[index][counted]]
        scores = 1 - (2 * (p * truth).sum(0) + 1) / (p.sum(0) + truth.sum(0) + 1)
        expected.append(scores[truth.any(0)].mean())
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def jaccard_loss(truth, guess):
    return 1 - (truth & guess).sum() / max((truth | guess).sum(), 1)


def test_lovasz_is_the_jaccard_loss_at_certain_predictions():
    """At probabilities of 0 and 1 the extension equals the set function that it extends."""
    rng = np.random.default_rng(2)
    truth, guess = rng.integers(0, 3, (2, 1, 8, 8))
    logits = 200.0 * np.eye(3, dtype=np.float32)[guess]
    value = make_loss("lovasz_softmax")(truth, logits)
    expected = np.mean([jaccard_loss(truth == index, guess == index) for index in np.unique(truth)])
    np.testing.assert_allclose(value, [expected], rtol=1e-5)


def test_lovasz_between_certain_predictions(masks, logits):
    """The extension is Σ errors, sorted down, times the growth of the Jaccard loss as the worst are admitted."""
    values = make_loss("lovasz_softmax")(masks, logits)
    expected = []
    for index in range(3):
        counted = masks[index] != 255
        p = softmax(logits[index][counted].astype(np.float64), -1)
        losses = []
        for category in np.unique(masks[index][counted]):
            truth = masks[index][counted] == category
            errors = np.abs(truth - p[:, category])
            order = np.argsort(-errors, kind="stable")
            wrong = np.zeros(len(errors), bool)
            total, before = 0.0, 0.0
            for place in order:
                wrong[place] = True
                now = jaccard_loss(truth, truth ^ wrong)
                total += errors[place] * (now - before)
                before = now
            losses.append(total)
        expected.append(np.mean(losses))
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_boundary_rewards_a_boundary_within_its_tolerance():
    truth = np.zeros((1, 40, 40), np.uint8)
    truth[:, 10:30, 10:30] = 1

    def value(shift):
        guess = np.roll(truth, shift, 2)
        return float(make_loss("boundary", tolerance=5)(truth, 200.0 * np.eye(2, dtype=np.float32)[guess])[0])

    assert value(0) == pytest.approx(0, abs=1e-5)
    assert value(2) == pytest.approx(0, abs=0.05)  # a window of 5 reaches 2 pixels
    assert 0.2 < value(4) < value(9)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_ignored_pixels_do_not_matter(name, masks, logits):
    loss = make_loss(name)
    before = loss(masks, logits)
    changed = logits.copy()
    changed[masks == 255] = 50 * np.random.default_rng(3).normal(size=changed[masks == 255].shape)
    np.testing.assert_allclose(loss(masks, changed), before, rtol=1e-5)
    with tf.GradientTape() as tape:
        variable = tf.Variable(changed)
        total = tf.reduce_sum(loss(masks, variable))
    gradient = tape.gradient(total, variable).numpy()
    assert (gradient[masks == 255] == 0).all()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[masks != 255]).max() > 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_certain_and_right_is_no_loss_and_learning_leads_there(name, masks):
    loss = make_loss(name)
    right = 60.0 * np.eye(CLASSES, dtype=np.float32)[np.minimum(masks, CLASSES - 1)]
    np.testing.assert_allclose(loss(masks, right), 0, atol=1e-3)
    variable = tf.Variable(np.random.default_rng(4).normal(size=right.shape).astype(np.float32))
    optimizer = keras.optimizers.Adam(0.3)
    start = float(tf.reduce_mean(loss(masks, variable)))
    for _ in range(30):
        with tf.GradientTape() as tape:
            total = tf.reduce_mean(loss(masks, variable))
        optimizer.apply_gradients([(tape.gradient(total, variable), variable)])
    assert float(tf.reduce_mean(loss(masks, variable))) < 0.5 * start


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_an_image_without_annotation_has_no_loss_and_no_gradient(name, masks, logits):
    empty = np.full_like(masks, 255)
    with tf.GradientTape() as tape:
        variable = tf.Variable(logits)
        values = make_loss(name)(empty, variable)
    np.testing.assert_allclose(values, 0, atol=1e-6)
    gradient = tape.gradient(values, variable)
    assert gradient is None or not np.abs(gradient).max()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_half_precision_logits_give_float32(name, masks, logits):
    value = make_loss(name)(masks, tf.cast(logits, tf.float16))
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, make_loss(name)(masks, logits), rtol=2e-2)


def test_wrong_names_and_options_are_refused():
    with pytest.raises(ModelError, match="cross_entropy"):
        make_loss("cross_entropi")
    with pytest.raises(ModelError, match="gamma"):
        make_loss("focal", gama=2.0)
