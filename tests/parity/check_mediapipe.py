"""Compare MediaPipe's ImageSegmenter with `registry.Segmenter` on the same file and photographs.

    python -m venv mediapipe && mediapipe/bin/pip install 'mediapipe>=1.2,<2'
    python tests/parity/make_mediapipe_masks.py MODEL.tflite FOLDER
    mediapipe/bin/python tests/parity/check_mediapipe.py MODEL.tflite FOLDER/*.png

Runs in an environment of its own, which has MediaPipe and not atrous. The file goes to MediaPipe as it is. Exit code 1
if, for a photograph at the model's input size, one pixel differs; or, at the photograph's own size, more than 0.5 % of
the pixels differ from `Segmenter`'s scores resized as MediaPipe resizes. The column `predict` has no bound: it shows
what the ways of resizing make out of the same model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

LEAST_AGREEMENT = 0.995
NO_CLASS = 255


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
        print(f"{'':12}{'input size':>12}{'category':>12}{'confidence':>12}{'predict':>12}")
        for image in options.images:
            figures = agreement(segmenter, image)
            exact, *emulated, _ = figures
            passed &= exact == 1 and min(emulated) >= LEAST_AGREEMENT
            print(f"{image.stem:12}" + "".join(f"{figure:12.4%}" for figure in figures))
    return 0 if passed else 1


def agreement(segmenter: Any, image: Path) -> tuple[float, float, float, float]:
    """Shares of equal pixels: at input size; category and confidence as emulated; category and `predict`."""
    with np.load(image.with_suffix(".npz")) as ours:
        small, _ = segmented(
            segmenter, mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(ours["stretched"]))
        )
        category, confidence = segmented(segmenter, mp.Image.create_from_file(str(image)))
        return (
            float((small == ours["stretched_mask"]).mean()),
            float((category == ours["category"]).mean()),
            float((confidence == ours["confidence"]).mean()),
            float((category == ours["mask"]).mean()),
        )


def segmented(segmenter: Any, image: Any) -> tuple[np.ndarray, np.ndarray]:
    """The category mask, and the most confident class."""
    result = segmenter.segment(image)
    # A copy: the view's memory goes with the result.
    category = result.category_mask.numpy_view()[..., 0].copy()
    confidence = np.concatenate([mask.numpy_view() for mask in result.confidence_masks], -1)
    if confidence.shape[-1] == 1:  # MediaPipe's masks of one plane: 0 is the object, 255 is the rest
        return (category != NO_CLASS).astype(np.uint8), (confidence[..., 0] > 0.5).astype(np.uint8)
    return category, confidence.argmax(-1)


if __name__ == "__main__":
    sys.exit(main())
