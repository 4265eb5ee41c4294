"""What is evaluated: a Keras segmenter or a `.tflite` file, both as a function from pixels to scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from registry.errors import ModelError
from registry.metadata import Color, OutputKind
from registry.runtime import Segmenter

__all__ = ["Kind", "Pixels", "Size", "Squashing", "Subject", "subject_of"]

Kind = Literal["keras", "tflite"]
Pixels = NDArray[np.uint8]
Size = tuple[int, int]
Squashing = Literal["softmax", "sigmoid"]

_NEEDED = ("predict", "input_shape", "output_shape")
# Keeps logarithms finite where rounding made a probability 0 or 1.
_LEAST = 1e-30


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model to evaluate.

    Args:
        name: for tables.
        kind: `keras` or `tflite`.
        description: a few words on what it is.
        run: uint8 pixels (h, w, 3) of a size that the model takes → float32 scores (h', w', planes), which cover
            the same area; or class indices (h, w).
        output: what `run` gives.
        squashing: what makes probabilities of the logits of several planes; of a single one, it is the sigmoid.
        threshold: of a single plane, class 1 is where the score exceeds this.
        num_classes: 2 for a single plane; None where only the masks tell.
        input_size: height and width that the model is fixed to; None if it takes any.
        usual_size: height and width that it is meant for; None if nobody said.
        size_multiple: what heights and widths must be multiples of.
        labels: names of the classes; may be empty.
        palette: RGB colour per class; may be empty.
    """

    name: str
    kind: Kind
    description: str
    run: Callable[[Pixels], NDArray[Any]]
    output: OutputKind
    squashing: Squashing
    threshold: float
    num_classes: int | None
    input_size: Size | None = None
    usual_size: Size | None = None
    size_multiple: Size = (1, 1)
    labels: tuple[str, ...] = ()
    palette: tuple[Color, ...] = ()


def subject_of(model: Any, size: Size | None = None) -> Subject:
    """Take up whatever `registry.evaluate` is given.

    Args:
        model: Keras segmenter, `Segmenter`, or path of a `.tflite` file; a subject stays as it is.
        size: height and width for a file that leaves its input open.

    Raises:
        ModelError: it is none of these.
        ModelFileError: the file cannot be run.
    """
    if isinstance(model, Subject):
        return model
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.suffix.lower() != ".tflite":
            raise ModelError(
                "a model to evaluate is a Keras segmenter, a registry.Segmenter, or the path of a .tflite file",
                received=str(path),
                repair="make a model of a preset with registry.build, of a saved one with registry.load_model",
            )
        model = Segmenter(path, size=size)
    if isinstance(model, Segmenter):
        return _file(model)
    if not all(hasattr(model, attribute) for attribute in _NEEDED):
        raise ModelError(
            "a model to evaluate is a Keras segmenter, a registry.Segmenter, or the path of a .tflite file",
            received=f"{type(model).__module__}.{type(model).__qualname__}",
            repair="pass what registry.build or registry.load_model returned",
        )
    return _keras_model(model)


def _file(segmenter: Segmenter) -> Subject:
    metadata, output = segmenter.metadata, segmenter.output_kind
    run = segmenter.predict if output == "mask" else segmenter.predict_scores
    by_sigmoid = metadata is not None and metadata.activation == "sigmoid"
    words = (metadata.extra if metadata is not None else {}).get("quantization", "")
    size = "×".join(map(str, segmenter.input_size))
    return Subject(
        name=segmenter.path.name,
        kind="tflite",
        description=", ".join(filter(None, (".tflite file", str(words), f"input {size}", output))),
        run=run,
        output=output,
        squashing="sigmoid" if by_sigmoid else "softmax",
        threshold=segmenter.threshold,
        num_classes=segmenter.num_classes,
        input_size=segmenter.input_size,
        labels=segmenter.labels,
        palette=segmenter.palette,
    )


def _keras_model(model: Any) -> Subject:
    (height, width), planes = _checked_shapes(model)
    activation = _activation(model)
    config = getattr(model, "preset_config", None)
    labels = config.labels if config is not None and len(config.labels) == max(2, planes) else ()

    def run(pixels: Pixels) -> NDArray[np.float32]:
        with _sizes_kept(model):
            answer = model.predict(pixels[np.newaxis].astype(np.float32), verbose=0)
        scores = np.asarray(answer, np.float32)[0]
        if not np.isfinite(scores).all():
            raise ModelError(
                "the scores of a model must be finite",
                received=f"{scores.size - int(np.isfinite(scores).sum())} of {scores.size} are NaN or infinite",
                repair="check the weights for NaN, and the preset's normalization",
            )
        return _logits(scores, activation)

    return Subject(
        name=model.name,
        kind="keras",
        description=_words(model, config),
        run=run,
        output="logits",
        squashing="sigmoid" if activation == "sigmoid" else "softmax",
        threshold=0.0,
        num_classes=max(2, planes),
        input_size=None if height is None else (height, width),
        usual_size=None if config is None else tuple(config.input.size),
        size_multiple=tuple(getattr(model, "size_multiple", (1, 1))),
        labels=tuple(label.name for label in labels),
        palette=tuple(label.color for label in labels),
    )


def _checked_shapes(model: Any) -> tuple[tuple[Any, Any], int]:
    """Height and width of the input, both None or both known, and the number of planes of scores."""
    given, made = model.input_shape, model.output_shape
    if (
        not all(isinstance(shape, tuple) and len(shape) == 4 for shape in (given, made))
        or given[3] != 3
        or made[3] is None
        or (given[1] is None) != (given[2] is None)
    ):
        raise ModelError(
            "a model to evaluate maps images (batch, height, width, 3), both sides open or both fixed, to scores "
            "(batch, height, width, classes)",
            received=f"{given} → {made}",
            repair="pass a segmenter that registry.build returned",
        )
    return (given[1], given[2]), int(made[3])


def _activation(model: Any) -> str | None:
    """What the model itself applies to its logits; a model from elsewhere is asked for its last layer's."""
    if hasattr(model, "activation"):
        return str(model.activation) if model.activation is not None else None
    last = model.layers[-1] if getattr(model, "layers", None) else None
    name = last.get_config().get("activation") if last is not None else None
    return name if name in ("softmax", "sigmoid") else None


def _logits(scores: NDArray[np.float32], activation: str | None) -> NDArray[np.float32]:
    """Undo the activation, up to what neither changes the best class nor the probabilities.

    Resized like the logits of a file without activation: the logarithm of a softmax differs from the logits by one
    number per pixel, the same for all classes, and so do both when they are interpolated.
    """
    if activation is None:
        return scores
    powers = np.log(np.maximum(scores, _LEAST))
    if activation == "sigmoid":
        powers -= np.log(np.maximum(1 - scores, _LEAST))
    return powers


@contextmanager
def _sizes_kept(model: Any) -> Iterator[None]:
    """Keep a model's preprocessor from resizing: how an image gets its size is the protocol's matter."""
    preprocessor: Any = getattr(model, "preprocessor", None)
    if getattr(preprocessor, "image_size", None) is None:
        yield
        return
    model.preprocessor = preprocessor.scaled
    try:
        yield
    finally:
        model.preprocessor = preprocessor


def _words(model: Any, config: Any) -> str:
    if config is None:
        return f"Keras model, {type(model).__name__}"
    encoder = config.encoder
    return (
        f"Keras model, {config.architecture.name}, {encoder.variant}, output stride {encoder.output_stride}"
    )
