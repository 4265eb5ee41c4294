"""Compare MediaPipe's ImageSegmenter with `registry.Segmenter` on the same file and photographs.

    python -m venv mediapipe && mediapipe/bin/pip install 'mediapipe>=1.2,<2'
    python tests/parity/make_mediapipe_masks.py MODEL.tflite FOLDER
    mediapipe/bin/python tests/parity/check_mediapipe.py MODEL.tflite FOLDER/*.png

Runs in an environment of its own, which has MediaPipe and not atrous. The file goes to MediaPipe as it is. Shares of
equal pixels:

- `input size`: a photograph that was resized to the model's input before; must be 100 %.
- `own size`: that, and MediaPipe's confidence masks resized to the photograph by the recipe of docs/mediapipe.md.
- `category`, `confidence`: MediaPipe resizes the photograph and its masks; compared with `Segmenter`'s scores, resized
  in its ways.
- `as it comes`: MediaPipe's category mask, compared with `Segmenter.predict`. No bound: it shows what the ways of
  resizing make out of one model.

Exit code 1 if a photograph is below the bounds: 100 % for the first, 99.5 % for the second, and 95 % for the next two,
where one step of rounding in the input may flip the pixels of a quantized model that has no preference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

LEAST = (1.0, 0.995, 0.95, 0.95, 0.0)
NO_CLASS = 255
COLUMNS = ("input size", "own size", "category", "confidence", "as it comes")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    options = parser.parse_args()
    settings = vision.ImageSegmenterOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(options.model)),
        output_confidence_masks=True,
        output_category_mask=True,
    )
    passed = True
    with vision.ImageSegmenter.create_from_options(settings) as segmenter:
        print(f"mediapipe {mp.__version__}, {options.model.name}, labels {segmenter.labels}")
        print(f"{'':12}" + "".join(f"{title:>12}" for title in COLUMNS))
        for image in options.images:
            figures = agreement(segmenter, image)
            passed &= all(figure >= least for figure, least in zip(figures, LEAST, strict=True))
            print(f"{image.stem:12}" + "".join(f"{figure:12.4%}" for figure in figures))
    return 0 if passed else 1


def agreement(segmenter: Any, image: Path) -> tuple[float, ...]:
    """Shares of equal pixels, one per column."""
    with np.load(image.with_suffix(".npz")) as ours:
        stretched = np.ascontiguousarray(ours["stretched"])
        small, scores = segmented(segmenter, mp.Image(mp.ImageFormat.SRGB, stretched))
        category, confidence = segmented(segmenter, mp.Image.create_from_file(str(image)))
        enlarged = at_size(scores, str(ours["activation"]), ours["mask"].shape)
        pairs = (
            (small, ours["stretched_mask"]),
            (enlarged, ours["mask"]),
            (category, ours["category"]),
            (best(confidence, 0.5), ours["confidence"]),
            (category, ours["mask"]),
        )
    return tuple(float((theirs == mask).mean()) for theirs, mask in pairs)


def segmented(segmenter: Any, image: Any) -> tuple[np.ndarray, np.ndarray]:
    """The category mask, and the confidence masks (height, width, classes)."""
    result = segmenter.segment(image)
    # A copy: the view's memory goes with the result.
    category = result.category_mask.numpy_view()[..., 0].copy()
    confidence = np.concatenate([mask.numpy_view() for mask in result.confidence_masks], -1)
    if confidence.shape[-1] == 1:  # MediaPipe's masks of one plane: 0 is the object, 255 is the rest
        category = (category != NO_CLASS).astype(np.uint8)
    return category, confidence


def at_size(confidence: np.ndarray, activation: str, size: tuple[int, int]) -> np.ndarray:
    """The recipe: back to logits, bilinear, best class.

    A softmax takes the same number off all logits of a pixel, which changes no comparison of classes.
    """
    if activation == "none":
        scores = confidence
    elif activation == "softmax":
        scores = np.log(np.maximum(confidence, np.finfo(np.float32).tiny))
    else:
        scores = np.log(confidence) - np.log1p(-confidence)
    planes = [
        cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in np.moveaxis(scores, -1, 0)
    ]
    return best(np.stack(planes, -1), 0.5 if activation == "none" else 0.0)


def best(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Class per pixel; a single plane has the classes 0 and 1."""
    return (scores[..., 0] > threshold).astype(np.uint8) if scores.shape[-1] == 1 else scores.argmax(-1)


if __name__ == "__main__":
    sys.exit(main())
