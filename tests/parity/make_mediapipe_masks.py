"""Segment photographs with `registry.Segmenter`, for `check_mediapipe.py` to compare with.

    python tests/parity/make_mediapipe_masks.py MODEL.tflite FOLDER [IMAGE …]

Run in the project's own environment. Without images, scikit-image's astronaut, coffee and chelsea are taken. For each,
FOLDER gets `<name>.png` and `<name>.npz`:

- `mask`: what `Segmenter.predict` gives at the photograph's own size;
- `stretched`, `stretched_mask`: the photograph at the model's input size, and what `predict` gives for it;
- `activation`: what MediaPipe applies to the scores;
- `category`, `confidence`: masks at the photograph's own size with MediaPipe's ways of resizing, see docs/mediapipe.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.runtime import Segmenter, load_image

Grid = Literal["corners", "edges", "centres"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", type=Path, nargs="*")
    options = parser.parse_args()
    segmenter = Segmenter(options.model)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in photographs(options.images).items():
        Image.fromarray(pixels).save(options.folder / f"{name}.png")
        np.savez_compressed(options.folder / f"{name}.npz", **masks(segmenter, pixels))
        print(options.folder / f"{name}.npz")


def photographs(paths: list[Path]) -> dict[str, NDArray[np.uint8]]:
    if paths:
        return {path.stem: load_image(path) for path in paths}
    from skimage import data

    return {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea")}


def masks(segmenter: Segmenter, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    size = pixels.shape[0], pixels.shape[1]
    height, width = segmenter.input_size
    stretched = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    # It rounds halves up.
    warped = resized(pixels.astype(np.float32), segmenter.input_size, "corners")
    theirs = np.floor(warped + 0.5).astype(np.uint8)
    scores = segmenter.predict_scores(theirs)
    return {
        "activation": np.array(activation_of(segmenter)),
        "mask": segmenter.predict(pixels),
        "stretched": stretched,
        "stretched_mask": segmenter.predict(stretched),
        "category": best(activated(segmenter, resized(scores, size, "edges"))),
        "confidence": best(resized(activated(segmenter, scores), size, "centres")),
    }


def activation_of(segmenter: Segmenter) -> str:
    return segmenter.metadata.activation if segmenter.metadata else "none"


def activated(segmenter: Segmenter, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    activation = activation_of(segmenter)
    if activation == "none":
        return scores
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-scores))
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def best(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Class per pixel; of a single plane, MediaPipe takes what exceeds 0.5."""
    plane = confidence[..., 0] > 0.5 if confidence.shape[-1] == 1 else confidence.argmax(-1)
    return plane.astype(np.uint8)


def resized(values: NDArray[np.float32], size: tuple[int, int], grid: Grid) -> NDArray[np.float32]:
    """Bilinear, without antialiasing, on one of three grids."""
    for axis, (source, target) in enumerate(zip(values.shape[:2], size, strict=True)):
        position = positions(source, target, grid).clip(0, source - 1)
        lower = position.astype(np.intp)
        upper = np.minimum(lower + 1, source - 1)
        fraction = (position - lower).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)).astype(np.float32)
        below, above = values.take(lower, axis), values.take(upper, axis)
        values = below + fraction * (above - below)
    return values


def positions(source: int, target: int, grid: Grid) -> NDArray[np.float32]:
    """Where each of `target` output pixels lies among `source` input pixels."""
    steps = np.arange(target, dtype=np.float32)
    if grid == "corners":  # OpenCV's warp knows 32 positions between two pixels
        return np.rint(steps * (source / target) * 32) / 32
    if grid == "edges":
        return steps * ((source - 1) / max(target - 1, 1))
    return (steps + 0.5) * (source / target) - 0.5


if __name__ == "__main__":
    main()
