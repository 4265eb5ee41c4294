"""From an image to its mask under a protocol.

Scores of a single view become the mask as they are, as the runtime does it. Scores of several views become
probabilities first, at the size of the mask (windows: of the scaled image), and these are averaged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.evaluation.protocol import EvaluationProtocol
from registry.evaluation.subject import Pixels, Size, Subject
from registry.evaluation.views import View, scaled_image, view_at_scale, windows
from registry.runtime.resample import (
    argmax_at_size,
    mask_dtype,
    nearest_at_size,
    strips_at_size,
    threshold_at_size,
)

__all__ = ["predict_mask"]

Planes = NDArray[np.float32]
"""(classes, height, width)"""

_STRIP_PIXELS = 1 << 17


def predict_mask(
    subject: Subject, protocol: EvaluationProtocol, image: Pixels, size: Size
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Segment one image.

    Args:
        subject: the model.
        protocol: how.
        image: uint8 RGB (H, W, 3).
        size: height and width of the mask.

    Returns:
        Class indices of that size; ties go to the lowest class.

    Raises:
        ModelError: the image is too large for the model under this protocol, or scores are not finite.
        ModelFileError: a file failed, or gave NaN or infinite values.
    """
    if protocol.name != "sliding" and protocol.passes == 1:
        return _decided(subject, view_at_scale(subject, protocol, image, protocol.scales[0]), size)
    total: Planes | None = None
    for scale in protocol.scales:
        for mirrored in (False, True) if protocol.flip else (False,):
            if protocol.name == "sliding":
                seen = _by_windows(subject, protocol, scaled_image(image, scale), mirrored)
                fits = (seen.shape[1], seen.shape[2]) == size
                total = seen if total is None and fits else _added(total, seen, size)
            else:
                view = view_at_scale(subject, protocol, image, scale)
                total = _seen(subject, view, mirrored, size, total)
    assert total is not None
    return _most_probable(subject, total, protocol.passes)


def _decided(subject: Subject, view: View, size: Size) -> NDArray[Any]:
    """The mask of a single view."""
    output = subject.run(view.pixels)
    if subject.output == "mask":
        whole = nearest_at_size(output, (view.pixels.shape[0], view.pixels.shape[1]))
        return nearest_at_size(whole[: view.shown[0], : view.shown[1]], size)
    part = view.part_of(output.shape[:2])
    if output.shape[2] == 1:
        return threshold_at_size(output[:, :, 0], size, subject.threshold, part)
    return argmax_at_size(output, size, part)


def _scores(subject: Subject, view: View, mirrored: bool) -> NDArray[np.float32]:
    """Scores (h, w, classes) of a view, or those of its mirror image, turned back."""
    if not mirrored:
        return subject.run(view.pixels)
    return subject.run(np.ascontiguousarray(view.pixels[:, ::-1]))[:, ::-1]


def _seen(subject: Subject, view: View, mirrored: bool, size: Size, total: Planes | None) -> Planes:
    """Add what one view says; its scores, the largest array of all, end with this call."""
    scores = _scores(subject, view, mirrored)
    total = _blank(scores.shape[2], size) if total is None else total
    _add_probabilities(subject, view, scores, total)
    return total


def _blank(classes: int, size: Size) -> Planes:
    return np.zeros((classes, *size), np.float32)


def _add_probabilities(subject: Subject, view: View, scores: NDArray[np.float32], total: Planes) -> None:
    """Add what a view says about all pixels of `total`."""
    size = total.shape[1], total.shape[2]
    for rows, strip in strips_at_size(scores, size, view.part_of(scores.shape[:2])):
        total[:, rows] += _probabilities(subject, strip)


def _by_windows(subject: Subject, protocol: EvaluationProtocol, image: Pixels, mirrored: bool) -> Planes:
    """Probabilities at the image's size, averaged where windows overlap."""
    size = image.shape[0], image.shape[1]
    total, counts = None, np.zeros(size, np.float32)
    for (rows, columns), view in windows(protocol, image):
        scores = _scores(subject, view, mirrored)
        total = _blank(scores.shape[2], size) if total is None else total
        _add_probabilities(subject, view, scores, total[:, rows, columns])
        counts[rows, columns] += 1
    assert total is not None
    total /= counts
    return total


def _added(total: Planes | None, probabilities: Planes, size: Size) -> Planes:
    total = _blank(len(probabilities), size) if total is None else total
    for rows, strip in strips_at_size(np.moveaxis(probabilities, 0, -1), size):
        total[:, rows] += strip
    return total


def _probabilities(subject: Subject, scores: Planes) -> Planes:
    """What scores say, in their memory where that saves any."""
    if subject.output == "probabilities":
        return scores
    if len(scores) > 1 and subject.squashing == "softmax":
        scores -= scores.max(0)
        np.exp(scores, out=scores)
        scores /= scores.sum(0)
        return scores
    # The logistic function as a hyperbolic tangent, which cannot overflow.
    return 0.5 * (1 + np.tanh(0.5 * scores))


def _most_probable(subject: Subject, total: Planes, passes: int) -> NDArray[Any]:
    """The best class of summed probabilities."""
    if len(total) == 1:
        return (total[0] > passes * _even_probability(subject)).astype(np.uint8)
    mask = np.empty((total.shape[1], total.shape[2]), mask_dtype(len(total)))
    step = max(1, _STRIP_PIXELS // mask.shape[1])
    for top in range(0, len(mask), step):
        # In strips: NumPy copies what it takes the argmax of along the first axis.
        mask[top : top + step] = total[:, top : top + step].argmax(0)
    return mask


def _even_probability(subject: Subject) -> float:
    """The threshold of a single plane, as a probability."""
    if subject.output == "probabilities":
        return subject.threshold
    return 0.5 * (1 + math.tanh(0.5 * subject.threshold))
