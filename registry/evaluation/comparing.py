"""Several models on the same images, under one protocol: float against int8, one size against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.data import AnnotatedImages
from registry.evaluation.evaluating import evaluate
from registry.evaluation.protocol import ProtocolName, checked_size
from registry.evaluation.result import Evaluation
from registry.evaluation.subject import Size, Subject, subject_of

__all__ = ["evaluate_alike"]


def evaluate_alike(
    models: Sequence[Any],
    data: AnnotatedImages,
    *,
    protocol: ProtocolName | None = None,
    size: int | tuple[int, int] | None = None,
    **options: Any,
) -> list[Evaluation]:
    """Evaluate models one after another so that their scores can be compared.

    Args:
        models: each as in `evaluate`.
        data: annotated images.
        protocol: of all; None takes `stretched` if one of them has a fixed input size, else `whole`.
        size: of models of open size; None takes that of the others, where they have a single one.
        **options: as in `evaluate`.

    Returns:
        An evaluation of each, in order.

    Raises:
        Errors of `evaluate`.
    """
    pair = checked_size(size, "size")
    subjects = [subject_of(model, pair) for model in models]
    fixed = {subject.input_size for subject in subjects if subject.input_size is not None}
    if protocol is None and fixed:
        protocol = "stretched"
    return [
        evaluate(subject, data, protocol=protocol, size=_size(subject, pair, fixed), **options)
        for subject in subjects
    ]


def _size(subject: Subject, asked: Size | None, fixed: set[Size]) -> Size | None:
    if subject.input_size is not None:
        return None
    return asked or (next(iter(fixed)) if len(fixed) == 1 else None)
