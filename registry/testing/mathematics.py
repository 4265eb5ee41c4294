"""Does the dilated network compute what the strided one does, and can all of it learn?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import keras, tf
from registry.testing.outcomes import Finding, Inapplicable, Note
from registry.testing.subject import Subject

__all__ = ["check_atrous", "check_gradients"]

# Of a level's standard deviation: float32 rounding over a hundred layers stays an order below.
_TOLERANCE = 1e-4
_SMALLEST_SIDE = 128


def check_atrous(subject: Subject) -> Iterator[Finding | Note]:
    """Compare features of each output stride, subsampled, with the undilated network's (arXiv:1706.05587).

    Strided `same` convolutions centre their windows on odd pixels at even sizes, symmetric padding on even ones, so
    the offset of the subsampling is the network's own: the one that fits is found.
    """
    if len(subject.strides) == 1:
        raise Inapplicable(f"its one output stride is {subject.strides[0]}")
    side = -(-max(subject.probe, _SMALLEST_SIDE) // (2 * subject.unit)) * 2 * subject.unit
    image = subject.images(side, side)
    strided = subject.encoder()
    strided.set_weights(subject.randomized().get_weights())
    readers = _readers_of_global_pooling(strided)
    if readers:
        # A mean over the finer map is another number, so what it decides is left out of the comparison.
        yield Note(f"compared without what global pooling contributes (to {len(readers)} layers)")
    for layer in readers:
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    coarse = strided(image, training=False)
    for stride in subject.strides[1:]:
        dilated = subject.encoder(stride)
        dilated.set_weights(strided.get_weights())
        fine = dilated(image, training=False)
        for level in coarse:
            yield from _compare(coarse[level].numpy(), fine[level].numpy(), level, stride)


def _readers_of_global_pooling(model: Any) -> list[Any]:
    """Layers whose kernel decides how much a global average matters."""
    poolings = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    readers = {node.layer.name: node.layer for pooling in poolings for node in pooling.outbound_nodes}
    return [layer for layer in readers.values() if getattr(layer, "kernel", None) is not None]


def _compare(
    coarse: NDArray[np.float32], fine: NDArray[np.float32], level: str, stride: int
) -> Iterator[Finding]:
    step = fine.shape[1] // coarse.shape[1]
    spread = float(coarse.std())
    if not np.isfinite(spread) or spread < 1e-6:
        yield Finding(
            "a network with ordinary weights must give ordinary features",
            f"{level} has standard deviation {spread:g}",
            "look for a branch that nothing passes, or for values that overflow",
        )
        return
    # Padding reaches in from the border; the middle half decides.
    rows = coarse.shape[1]
    middle = range(rows // 4, max(rows // 4 + 1, rows - rows // 4))
    differences = {}
    for offset in range(-step + 1, 2 * step):
        places = [(i, step * i + offset) for i in middle if 0 <= step * i + offset < fine.shape[1]]
        if places:
            here, there = zip(*places, strict=True)
            expected = coarse[:, here][:, :, here]
            differences[offset] = float(np.abs(fine[:, there][:, :, there] - expected).max()) / spread
    offset = min(differences, key=lambda key: differences[key])
    if not differences[offset] <= _TOLERANCE:
        yield Finding(
            f"{level} at output stride {stride}, subsampled by {step}, must equal the undilated network's",
            f"at its best offset, {offset}, it differs by {differences[offset]:.2g} standard deviations",
            "what lost its stride keeps the rate so far, and everything after it dilates: "
            "registry.models.output_stride.AtrousSchedule gives both",
        )


def check_gradients(subject: Subject) -> Iterator[Finding]:
    """Differentiate all levels by all weights, at the smallest output stride, where most is dilated."""
    encoder = subject.randomized(min(subject.strides))
    side = max(subject.probe, _SMALLEST_SIDE)
    rng = np.random.default_rng(5)
    with tf.GradientTape() as tape:
        levels = encoder(subject.images(side, side), training=False)
        loss = tf.add_n(
            [tf.reduce_mean(x * tf.constant(rng.normal(size=x.shape), x.dtype)) for x in levels.values()]
        )
    gradients = tape.gradient(loss, encoder.trainable_weights)
    wrong: dict[str, list[str]] = {"none": [], "only zeros": [], "NaN or infinite values": []}
    for variable, gradient in zip(encoder.trainable_weights, gradients, strict=True):
        if gradient is None:
            wrong["none"].append(variable.name)
            continue
        values = tf.convert_to_tensor(gradient).numpy()
        if not np.isfinite(values).all():
            wrong["NaN or infinite values"].append(variable.name)
        elif not values.any():
            wrong["only zeros"].append(variable.name)
    for what, names in wrong.items():
        if names:
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            yield Finding(
                "every trainable weight must receive a gradient",
                f"{what}: {shown}",
                "connect it to a level, mark it as not trainable, or correct a layer's own gradient",
            )
