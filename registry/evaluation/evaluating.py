"""`evaluate`: a model's masks against the annotations of a data set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from registry.data import AnnotatedImages
from registry.errors import DataError, ModelError
from registry.evaluation.boundary import BoundaryIoU
from registry.evaluation.confusion import ConfusionMatrix
from registry.evaluation.prediction import predict_mask
from registry.evaluation.protocol import ProtocolName, checked_size, resolve_protocol
from registry.evaluation.result import Evaluation
from registry.evaluation.scoring import ImageScore, image_score
from registry.evaluation.subject import Subject, subject_of
from registry.evaluation.worst import WorstImages, colors_of
from registry.progress import Progress, progress_display

__all__ = ["evaluate"]

_NEEDED = ("name", "num_classes", "ignore_label", "labels")


def evaluate(
    model: Any,
    data: AnnotatedImages,
    *,
    protocol: ProtocolName | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    size: int | tuple[int, int] | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    boundary_iou: bool = False,
    limit: int | None = None,
    worst: int = 8,
    progress: Progress = None,
) -> Evaluation:
    """Segment annotated images and score the masks.

    Masks are compared at the annotation's own size; pixels with the ignore label never count. Keras models and
    `.tflite` files go through the same code:

    - `stretched`: the image is stretched to the model's input size, as `Segmenter.predict` does it.
    - `whole`: the image keeps its size and is padded with grey below and to the right, to the model's multiple, or to
      the input size of a file (arXiv:1706.05587, arXiv:1802.02611).
    - `sliding`: windows go over the image; probabilities are averaged where they overlap, the last window of a row or
      column is shifted inwards (mmsegmentation's `slide`, usual for Cityscapes).

    A single view is decided on its scores, resized bilinearly. Several scales, flip and windows average probabilities
    (softmax, or sigmoid), as the papers do; a file whose output is a mask has none.

    Args:
        model: Keras segmenter, `Segmenter`, or path of a `.tflite` file.
        data: annotated images, for instance of `registry.data.open_data`.
        protocol: None takes `whole` for a model of open input size, else `stretched`.
        scales: factors on the size of the image (`stretched`: of the input) whose probabilities are averaged.
        flip: see each scale mirrored, too.
        size: height and width in pixels, or one number for both. `stretched`: the input size, by default the preset's;
            `whole`: what images are padded to at least. A model of fixed input size has its own.
        window: height and width of the windows; by default the model's own size.
        stride: vertical and horizontal distance of the windows; by default two thirds of the window.
        boundary_iou: measure boundary IoU (arXiv:2103.16562), too, which takes time.
        limit: evaluate the first so many images; None: all.
        worst: how many of the worst images to keep for pictures.
        progress: None shows a bar in a terminal; True and False always and never do; a function is called with (name of
            the image, number, of how many).

    Returns:
        The scores, and all that they are made of.

    Raises:
        ModelError: the arguments do not fit the model, the model not the data, or its scores are not finite.
        ModelFileError: a file cannot be run.
        DataError, ImageError: an example cannot be read, or there is none.
    """
    pair = checked_size(size, "size")
    subject = subject_of(model, pair)
    chosen = resolve_protocol(
        subject,
        protocol,
        scales=scales,
        flip=flip,
        size=pair,
        window=checked_size(window, "window"),
        stride=checked_size(stride, "stride"),
    )
    count = _checked_count(data, limit)
    _check_classes(subject, data)
    confusion = ConfusionMatrix(data.num_classes, data.ignore_label)
    boundary = BoundaryIoU(data.num_classes, data.ignore_label) if boundary_iou else None
    kept = WorstImages(_checked_whole(worst, "worst", least=0))
    images: list[ImageScore] = []
    seconds: list[float] = []
    with progress_display(progress, count) as announce:
        for index in range(count):
            example = data[index]
            announce(example.name)
            started = time.perf_counter()
            predicted = predict_mask(
                subject, chosen, example.image, (example.mask.shape[0], example.mask.shape[1])
            )
            seconds.append(time.perf_counter() - started)
            counts = ConfusionMatrix(data.num_classes, data.ignore_label)
            counts.update(example.mask, predicted)
            confusion.merge(counts)
            if boundary is not None:
                boundary.update(example.mask, predicted)
            images.append(image_score(example.name, counts))
            kept.offer(example, predicted, images[-1], data.ignore_label)
    return Evaluation(
        model=subject.name,
        kind=subject.kind,
        description=subject.description,
        dataset=data.name,
        protocol=chosen,
        confusion=confusion,
        boundary=boundary,
        images=tuple(images),
        labels=_labels(subject, data),
        palette=colors_of(data.num_classes, subject.palette),
        worst=kept.in_order(),
        # The median, since a model is traced for the first images.
        seconds_per_image=float(np.median(seconds)),
    )


def _checked_count(data: AnnotatedImages, limit: int | None) -> int:
    missing = [name for name in _NEEDED if not hasattr(data, name)]
    if missing:
        raise DataError(
            f"images to evaluate are a sequence of examples with {', '.join(_NEEDED)}",
            received=f"{type(data).__name__} without {', '.join(missing)}",
            repair="open them with registry.data.folder_pairs or another reader",
        )
    if limit is not None:
        _checked_whole(limit, "limit", least=1)
    count = len(data) if limit is None else min(limit, len(data))
    if not count:
        raise DataError(
            "an evaluation needs at least one image", received=f"{data.name}: none", repair="check its split"
        )
    return count


def _checked_whole(value: int, name: str, *, least: int) -> int:
    if type(value) is not int or value < least:
        raise ModelError(
            f"`{name}` must be a whole number from {least} on", received=value, repair=f"{name}=8"
        )
    return value


def _check_classes(subject: Subject, data: AnnotatedImages) -> None:
    if subject.num_classes not in (None, data.num_classes):
        raise ModelError(
            "model and data must have the same classes",
            received=f"{subject.num_classes} classes of {subject.name}, {data.num_classes} of {data.name}",
            repair="open the data with the model's number of classes, or evaluate another model",
        )


def _labels(subject: Subject, data: AnnotatedImages) -> tuple[str, ...]:
    """Names of the classes: of the data set, else of the model, else numbers."""
    for names in (data.labels, subject.labels):
        if len(names) == data.num_classes:
            return tuple(names)
    return tuple(f"class {index}" for index in range(data.num_classes))
