"""Which input sizes a model is exported for, and what the files are called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from registry.errors import ModelError

__all__ = ["requested_sizes", "sized_path"]


def requested_sizes(model: Any, size: Any) -> tuple[list[tuple[int, int]], bool]:
    """Check the model's input and output, and the sizes asked for.

    Args:
        model: `tf_keras.Model`.
        size: height and width in pixels, one number for both, a list of such pairs, or None for the model's own
            fixed size or its preset's.

    Returns:
        The sizes (height, width), and whether a list was asked for.

    Raises:
        ModelError: the model does not map one image to one output, or a size does not fit.
    """
    _require_one_image(model)
    several = (
        isinstance(size, Sequence) and len(size) > 0 and all(isinstance(item, Sequence) for item in size)
    )
    several = several and not isinstance(size, str)
    sizes = [_checked_size(model, item) for item in (size if several else (size,))]
    if len(set(sizes)) < len(sizes):
        raise ModelError("each size makes one file", received=size, repair="name every size once")
    return sizes, several


def sized_path(path: str | os.PathLike[str], size: tuple[int, int]) -> Path:
    """`model.tflite` and (512, 768) → `model_512x768.tflite`."""
    plain = Path(path)
    return plain.with_name(f"{plain.stem}_{size[0]}x{size[1]}{plain.suffix}")


def _require_one_image(model: Any) -> None:
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or model.inputs[0].shape[-1] != 3:
        raise ModelError(
            "a model to export has one image input, (batch, height, width, 3)",
            received=[tuple(tensor.shape) for tensor in model.inputs],
            repair="export a segmenter that registry.build returned, or a model of that form",
        )
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 4:
        raise ModelError(
            "a model to export has one output, (batch, height, width, classes)",
            received=[tuple(tensor.shape) for tensor in model.outputs],
            repair="make a tf_keras.Model with the one output that you want on the device",
        )


def _checked_size(model: Any, size: Any) -> tuple[int, int]:
    fixed = tuple(model.inputs[0].shape[1:3])
    wanted = _pair(model, fixed, size)
    if any(side is not None and side != want for side, want in zip(fixed, wanted, strict=True)):
        raise ModelError(
            f"the model is built for {fixed[0]}×{fixed[1]} pixels",
            received=wanted,
            repair="leave `size` out, or build the model with image_shape=(None, None, 3)",
        )
    check = getattr(model, "check_input_shape", None)
    if check is not None:
        check((1, *wanted, 3))
    return wanted


def _pair(model: Any, fixed: tuple[int | None, ...], size: Any) -> tuple[int, int]:
    if size is None:
        preset = getattr(model, "preset_config", None)
        candidates: Any = fixed if None not in fixed else preset.input.size if preset is not None else None
    else:
        candidates = (
            (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
        )
    if (
        candidates is None
        or len(candidates) != 2
        or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in candidates)
    ):
        raise ModelError(
            "`size` must be the input height and width in pixels, two positive integers or one for both, or a list "
            "of such pairs",
            received=size,
            repair="for instance size=(512, 512)",
        )
    return candidates[0], candidates[1]
