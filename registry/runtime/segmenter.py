"""`Segmenter`: a `.tflite` file in, class masks at the image's own size out."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.errors import ModelError, ModelFileError, RegistryWarning
from registry.images import ImageSource, load_image, stretched
from registry.metadata import Color, OutputKind, SegmenterMetadata, read_metadata
from registry.runtime.interpreter import LoadedModel, open_interpreter
from registry.runtime.modelfile import check_structure, probe_in_child
from registry.runtime.processors import usable_cpus
from registry.runtime.resample import mask_at_size, mask_dtype, nearest_at_size

__all__ = ["Segmenter"]


class Segmenter:
    """Runs a `.tflite` segmentation model on images of any size; needs no TensorFlow.

    The model takes one RGB image of pixels in 0…255 (our exporter bakes the normalization into the graph) as
    float32, or as quantized uint8 or int8. It gives scores per class (logits or probabilities, quantized or
    not), one plane of scores, or a mask of class indices.

    What the file's metadata says is followed: names and colours of the classes, how pixels are normalized, what
    the output is. Metadata that is damaged or does not fit is left aside with a `RegistryWarning`.

    One instance may be shared by threads: inferences then run one after another.

    Args:
        model_path: the `.tflite` file.
        size: height and width (or one number for both) of the input, where the file leaves them open.
        num_threads: threads of the interpreter; None takes the usable CPUs, at most 8.
        labels: one name per class, in the order of the scores; None takes those of the file.
        threshold: for a model with a single plane of scores, class 1 is where the score exceeds this. None takes
            0.5 if the file says that it gives probabilities, else 0, which is right for logits.
        trusted: skip the trial run in a child process (one interpreter start, one load and one inference).
            A damaged file can then crash the whole process.

    Raises:
        ModelFileError: the file is absent, damaged, crashes the interpreter, or is no segmenter.
        ModelError: an argument does not fit the file.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        *,
        size: int | tuple[int, int] | None = None,
        num_threads: int | None = None,
        labels: Sequence[str] | None = None,
        threshold: float | None = None,
        trusted: bool = False,
    ) -> None:
        self._path = Path(model_path)
        extent, threads = _checked_size(size), _checked_threads(num_threads)
        check_structure(self._path)
        if not trusted:
            probe_in_child(self._path, extent, threads)
        self._metadata = _metadata_of(self._path)
        self._model = _normalized(open_interpreter(self._path, extent, threads), self._metadata)
        undecided = 0.5 if self.output_kind == "probabilities" else 0.0
        self._threshold = undecided if threshold is None else threshold
        self._labels = self._labels_of_file() if labels is None else self._checked_labels(labels)
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The file that was loaded."""
        return self._path

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width, in pixels, that images are resized to."""
        return self._model.input.height, self._model.input.width

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the scores (or the mask) that the model gives."""
        return self._model.output.shape[1], self._model.output.shape[2]

    @property
    def output_kind(self) -> OutputKind:
        """What the model gives; scores of which the file says nothing count as logits."""
        if self._model.output.is_mask:
            return "mask"
        says_probabilities = self._metadata is not None and self._metadata.output == "probabilities"
        return "probabilities" if says_probabilities else "logits"

    @property
    def threshold(self) -> float:
        """For a model with a single plane of scores, class 1 is where the score exceeds this."""
        return self._threshold

    @property
    def num_classes(self) -> int | None:
        """Number of classes; 2 for a single plane of scores; None for a mask output without labels."""
        if self._model.output.is_mask:
            return len(self._labels) if self._labels else None
        return max(2, self._model.output.planes)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name per class; empty if neither the caller nor the file gave any."""
        return self._labels

    @property
    def palette(self) -> tuple[Color, ...]:
        """RGB per class, as the file says; empty if it does not."""
        fits = self._metadata is not None and self._fits(len(self._metadata.colors))
        return self._metadata.colors if self._metadata is not None and fits else ()

    @property
    def metadata(self) -> SegmenterMetadata | None:
        """What the file says about itself; None if nothing, or nothing that can be read."""
        return self._metadata

    def __repr__(self) -> str:
        return f"Segmenter({str(self._path)!r}, input_size={self.input_size}, num_classes={self.num_classes})"

    def segment(self, image: ImageSource) -> NDArray[Any]:
        """Segment one image.

        The image is stretched to the input size (bilinear, antialiased when shrinking). The scores are
        resized bilinearly to the image's size and the best class is taken there; masks are resized by their
        nearest neighbour.

        Args:
            image: whatever `load_image` takes: path, bytes, PIL image or uint8 array.

        Returns:
            Class indices (H, W) at the image's own size; uint8, or uint16 beyond 256 classes or where a mask
            output leaves their number open. Ties go to the lowest class.

        Raises:
            ImageError: the image cannot be decoded.
            ModelFileError: the model failed, or gave NaN, infinite or negative values.
        """
        pixels = load_image(image)
        size = (pixels.shape[0], pixels.shape[1])
        output = self._infer(pixels)
        del pixels  # up to 192 MiB that the resizing does not need
        if self._model.output.is_mask:
            return nearest_at_size(self._checked_indices(output), size)
        return mask_at_size(output, size, self._threshold)

    def predict(self, image: ImageSource) -> NDArray[Any]:
        """The same as `segment`, which models that are still in Keras have, too."""
        return self.segment(image)

    def predict_scores(self, image: ImageSource) -> NDArray[np.float32]:
        """The model's own scores for one image, at the model's resolution.

        Args:
            image: whatever `load_image` takes.

        Returns:
            float32 (h, w, classes): logits, or probabilities if the model has an activation.

        Raises:
            ImageError: the image cannot be decoded.
            ModelError: the model gives class indices, no scores.
            ModelFileError: the model failed, or gave NaN or infinite values.
        """
        if self._model.output.is_mask:
            raise ModelError(
                "scores need a model whose output is scores; this one gives class indices",
                received=f"{self._path}: {self._model.output.dtype} {self._model.output.shape}",
                repair="use segment(), or export the model without argmax",
            )
        return self._infer(load_image(image))

    def _infer(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        resized = stretched(pixels, self.input_size)
        try:
            with self._lock:
                output = self._model.run(resized)
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(
                "the model must run on every image",
                received=f"{self._path}: {error}",
                repair="export it again",
            ) from error
        if output.dtype == np.float32 and not np.isfinite(output).all():
            damaged = output.size - int(np.isfinite(output).sum())
            raise ModelFileError(
                "the scores of a model must be finite",
                received=f"{self._path}: {damaged} of {output.size} are NaN or infinite",
                repair="check the weights that the model was exported with",
            )
        return output

    def _checked_indices(self, mask: NDArray[Any]) -> NDArray[Any]:
        count = self.num_classes
        low, high = int(mask.min()), int(mask.max())
        if low < 0 or high >= (count or 65536):
            raise ModelFileError(
                f"a mask must hold class indices from 0 to {(count or 65536) - 1}",
                received=f"{self._path}: {low} to {high}",
                repair="give one label per class, or export the model again",
            )
        narrow = mask.dtype.itemsize == 1
        return mask.astype(np.uint8 if narrow else mask_dtype(count or 65536))

    def _checked_labels(self, labels: Sequence[str]) -> tuple[str, ...]:
        names = tuple(labels)
        if names and not self._fits(len(names)):
            raise ModelError(
                f"`labels` must name each of the {max(2, self._model.output.planes)} classes of the model",
                received=f"{len(names)} labels",
                repair="give one name per class, background included",
            )
        return names

    def _labels_of_file(self) -> tuple[str, ...]:
        names = self._metadata.labels if self._metadata is not None else ()
        if not names or self._fits(len(names)):
            return names
        # A single plane may well come with the one name of what it finds; then there is nothing to warn about.
        if len(names) != self._model.output.planes:
            _warn(f"{self._path}: {len(names)} labels for {self._model.output.planes} planes of scores")
        return ()

    def _fits(self, count: int) -> bool:
        """Whether so many names or colours can be one for each class."""
        output = self._model.output
        return output.is_mask or count == max(2, output.planes)


def _metadata_of(path: Path) -> SegmenterMetadata | None:
    """The file's metadata. The model has already run: what is written beside it must not stop it."""
    try:
        return read_metadata(path)
    except ModelFileError as error:
        _warn(f"{path}: {error.received}")
        return None


def _warn(reason: str) -> None:
    warnings.warn(
        f"the metadata of the model is left aside; give `labels` yourself ({reason})",
        RegistryWarning,
        stacklevel=4,
    )


def _normalized(model: LoadedModel, metadata: SegmenterMetadata | None) -> LoadedModel:
    if metadata is None or not metadata.normalizes:
        return model
    return replace(model, input=replace(model.input, mean=metadata.mean, std=metadata.std))


def _checked_size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(type(extent) is int and 1 <= extent <= 16384 for extent in pair):
        raise ModelError(
            "`size` must be one or two whole numbers from 1 to 16384, (height, width) in pixels",
            received=size,
            repair="size=512 or size=(512, 768)",
        )
    return pair[0], pair[1]


def _checked_threads(num_threads: int | None) -> int:
    if num_threads is None:
        return min(usable_cpus(), 8)
    if type(num_threads) is not int or not 1 <= num_threads <= 1024:
        raise ModelError(
            "`num_threads` must be a whole number from 1 to 1024",
            received=num_threads,
            repair="leave it out to use the usable CPUs",
        )
    return num_threads
