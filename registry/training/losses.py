"""Losses of semantic segmentation.

Each takes masks (batch, height, width), integers with the ignore label, and logits (batch, height, width, classes), and
gives one float32 number per image. Images are averaged last, so that a batch that is divided among workers has the same
loss and the same gradient as one that is not. An image without any counted pixel has the loss 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from registry.backend import tf
from registry.errors import ModelError, nearest

__all__ = [
    "LOSSES",
    "boundary",
    "cross_entropy",
    "dice",
    "focal",
    "lovasz_softmax",
    "make_loss",
    "ohem_cross_entropy",
]

Loss = Callable[[Any, Any], Any]


def cross_entropy(
    masks: Any,
    logits: Any,
    *,
    ignore_label: int = 255,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """Mean over the counted pixels of -log p(class), weighted by class.

    Args:
        masks: annotated classes.
        logits: scores before the softmax.
        ignore_label: mask value that is not counted.
        class_weights: one per class; the mean is divided by the sum of the pixels' weights.
        label_smoothing: share of the target that is spread over all classes.
    """
    labels, counted = _targets(masks, logits, ignore_label)
    losses = _pixel_losses(labels, logits, label_smoothing)
    weights = counted
    if class_weights is not None:
        if len(class_weights) != logits.shape[-1]:
            raise ModelError(
                "`class_weights` has one weight per class",
                received=f"{len(class_weights)} weights for {logits.shape[-1]} classes",
            )
        weights = counted * tf.gather(tf.constant(class_weights, tf.float32), labels)
    return _mean(losses, weights)


def ohem_cross_entropy(
    masks: Any, logits: Any, *, ignore_label: int = 255, share: float = 0.25, threshold: float = 1.0
) -> Any:
    """Cross-entropy of the hardest pixels only (online hard example mining, arXiv:1604.03540).

    Args:
        masks: annotated classes.
        logits: scores before the softmax.
        ignore_label: mask value that is not counted.
        share: share of the counted pixels of an image that is kept at least, the hardest ones.
        threshold: pixels whose probability of the right class is below it may be kept; 1 keeps exactly `share`.
            Below 1, all pixels under the threshold are kept, and `share` is the least that is.
    """
    labels, counted = _targets(masks, logits, ignore_label)
    losses = tf.reshape(_pixel_losses(labels, logits, 0.0), (tf.shape(logits)[0], -1))
    counted = tf.reshape(counted, tf.shape(losses))
    # Ignored pixels sort last: no loss is negative.
    ranked = tf.sort(tf.where(counted > 0, losses, -1.0), direction="DESCENDING")
    kept = tf.math.ceil(share * tf.reduce_sum(counted, -1, keepdims=True))
    hardest = tf.range(tf.shape(losses)[1], dtype=tf.int32) < tf.cast(kept, tf.int32)
    if threshold < 1.0:
        hardest = hardest | (ranked > -tf.math.log(threshold))
    weights = tf.cast(hardest & (ranked >= 0), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(ranked * weights, -1), tf.reduce_sum(weights, -1))


def focal(masks: Any, logits: Any, *, ignore_label: int = 255, gamma: float = 2.0) -> Any:
    """Mean over the counted pixels of -(1 - p)^γ · log p of the right class (arXiv:1708.02002)."""
    labels, counted = _targets(masks, logits, ignore_label)
    losses = _pixel_losses(labels, logits, 0.0)
    return _mean((1.0 - tf.exp(-losses)) ** gamma * losses, counted)


def dice(masks: Any, logits: Any, *, ignore_label: int = 255, smooth: float = 1.0) -> Any:
    """One less the soft Dice coefficient, mean over the classes that the image shows (arXiv:1606.04797).

    Args:
        masks: annotated classes.
        logits: scores before the softmax.
        ignore_label: mask value that is not counted.
        smooth: pixels added to numerator and denominator, which keeps small regions from jumping.
    """
    probabilities, truth, present = _memberships(masks, logits, ignore_label)
    common = tf.reduce_sum(probabilities * truth, (1, 2))
    total = tf.reduce_sum(probabilities, (1, 2)) + tf.reduce_sum(truth, (1, 2))
    return _mean_of_classes(1.0 - (2.0 * common + smooth) / (total + smooth), present)


def lovasz_softmax(masks: Any, logits: Any, *, ignore_label: int = 255) -> Any:
    """The convex extension of one less the Jaccard index, over the classes that the image shows (arXiv:1705.08790)."""
    probabilities, truth, present = _memberships(masks, logits, ignore_label)
    batch, classes = tf.shape(logits)[0], logits.shape[-1]

    def by_class(tensor: Any) -> Any:
        return tf.reshape(tf.transpose(tensor, (0, 3, 1, 2)), (batch, classes, -1))

    truth = by_class(truth)
    # Ignored pixels have neither probability nor truth here: no error, hence last and without weight.
    errors = tf.abs(truth - by_class(probabilities))
    order = tf.argsort(errors, direction="DESCENDING", stable=True)
    truth = tf.gather(truth, order, batch_dims=2)
    total = tf.reduce_sum(truth, -1, keepdims=True)
    intersection = total - tf.cumsum(truth, -1)
    union = total + tf.cumsum(1.0 - truth, -1)
    jaccard = 1.0 - intersection / tf.maximum(union, 1.0)
    steps = tf.concat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)
    losses = tf.reduce_sum(tf.gather(errors, order, batch_dims=2) * tf.stop_gradient(steps), -1)
    return _mean_of_classes(losses, present)


def boundary(masks: Any, logits: Any, *, ignore_label: int = 255, width: int = 3, tolerance: int = 5) -> Any:
    """One less the soft F1 score of boundaries, mean over the classes that the image shows (arXiv:1905.07852).

    Args:
        masks: annotated classes.
        logits: scores before the softmax.
        ignore_label: mask value that is not counted.
        width: of the window in pixels, odd, whose inner edge is the boundary.
        tolerance: of the window in pixels, odd, within which boundaries count as met.
    """
    probabilities, truth, present = _memberships(masks, logits, ignore_label)
    guessed, true = _inner_edge(probabilities, width), _inner_edge(truth, width)
    near_true, near_guessed = (_widened(edge, tolerance) for edge in (true, guessed))
    precision = _ratio(tf.reduce_sum(guessed * near_true, (1, 2)), tf.reduce_sum(guessed, (1, 2)))
    recall = _ratio(tf.reduce_sum(true * near_guessed, (1, 2)), tf.reduce_sum(true, (1, 2)))
    return _mean_of_classes(1.0 - _ratio(2.0 * precision * recall, precision + recall), present)


LOSSES: dict[str, Callable[..., Any]] = {
    "boundary": boundary,
    "cross_entropy": cross_entropy,
    "dice": dice,
    "focal": focal,
    "lovasz_softmax": lovasz_softmax,
    "ohem_cross_entropy": ohem_cross_entropy,
}


def make_loss(name: str, *, ignore_label: int = 255, **options: Any) -> Loss:
    """Make a loss of masks and logits.

    Args:
        name: a key of `LOSSES`.
        ignore_label: mask value that is not counted.
        **options: of that loss.

    Raises:
        ModelError: there is no such loss, or it has no such option.
    """
    if name not in LOSSES:
        raise ModelError(f"a loss is one of {', '.join(LOSSES)}", received=name, repair=nearest(name, LOSSES))
    known = LOSSES[name].__kwdefaults__ or {}
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ModelError(
            f"the options of the loss {name!r} are {', '.join(known)}",
            received=", ".join(unknown),
            repair=nearest(unknown[0], known),
        )
    return functools.partial(LOSSES[name], ignore_label=ignore_label, **options)


def _targets(masks: Any, logits: Any, ignore_label: int) -> tuple[Any, Any]:
    """Class indices, 0 where they do not count, and 1.0 where they do."""
    masks = tf.cast(masks, tf.int32)
    counted = (masks != ignore_label) & (masks >= 0) & (masks < logits.shape[-1])
    return tf.where(counted, masks, 0), tf.cast(counted, tf.float32)


def _pixel_losses(labels: Any, logits: Any, label_smoothing: float) -> Any:
    logits = tf.cast(logits, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if label_smoothing:
        uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), -1)
        losses = (1.0 - label_smoothing) * losses + label_smoothing * uniform
    return losses


def _mean(losses: Any, weights: Any) -> Any:
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights, (1, 2)), tf.reduce_sum(weights, (1, 2)))


def _memberships(masks: Any, logits: Any, ignore_label: int) -> tuple[Any, Any, Any]:
    """Probabilities and one-hot truth (batch, height, width, classes), 0 where nothing counts; classes per image."""
    labels, counted = _targets(masks, logits, ignore_label)
    probabilities = tf.nn.softmax(tf.cast(logits, tf.float32)) * counted[..., None]
    truth = tf.one_hot(labels, logits.shape[-1]) * counted[..., None]
    return probabilities, truth, tf.cast(tf.reduce_any(truth > 0, (1, 2)), tf.float32)


def _mean_of_classes(losses: Any, present: Any) -> Any:
    return tf.math.divide_no_nan(tf.reduce_sum(losses * present, -1), tf.reduce_sum(present, -1))


def _inner_edge(regions: Any, width: int) -> Any:
    """What a region loses to an erosion: 1 at its border, for soft regions their local contrast."""
    return regions - (1.0 - _widened(1.0 - regions, width))


def _widened(regions: Any, window: int) -> Any:
    return tf.nn.max_pool2d(regions, window, 1, "SAME")


def _ratio(numerator: Any, denominator: Any) -> Any:
    # A class that fills the image has no boundary: then 0 of 0 is a miss of nothing.
    return (numerator + 1e-6) / (denominator + 1e-6)
