"""Overlays, masks and differences as pictures that a page shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.batch.results import Look, class_shares
from registry.drawing import mask_image, overlay, pascal_voc_colormap
from registry.evaluation import mean_iou_of_masks
from registry.runtime.resample import nearest_at_size

__all__ = ["answer_of", "difference_of", "shown"]

_LONGEST_SIDE = 1280
"""Pixels of a picture's longer side on the page; masks keep the image's size."""


def shown(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image at the size at which the page shows it."""
    scale = _LONGEST_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def answer_of(pixels: NDArray[np.uint8], mask: NDArray[Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Mask, overlay and legend of one model's answer.

    Args:
        pixels: uint8 (H, W, 3).
        mask: class indices (H, W).
        facts: `labels` and `palette` of the model.

    Returns:
        JSON-ready: `height`, `width`, `classes` with colours, `mask` and `overlay` as data URLs.
    """
    look = Look(labels=tuple(facts["labels"]), palette=tuple((r, g, b) for r, g, b in facts["palette"]))
    small = shown(pixels)
    small_mask = nearest_at_size(mask, (small.shape[0], small.shape[1]))
    colored = overlay(small, small_mask, look.colors, 0.6, transparent=look.transparent)
    colors = np.array(look.palette) if look.palette else pascal_voc_colormap()
    classes = [
        {**one, "color": "#{:02x}{:02x}{:02x}".format(*map(int, colors[one["index"] % len(colors)]))}
        for one in class_shares(mask, look.labels)
    ]
    return {
        "height": mask.shape[0],
        "width": mask.shape[1],
        "classes": classes,
        "mask": _url(mask_image(mask, look.colors), "PNG"),
        "overlay": _url(Image.fromarray(colored), "WEBP", quality=88),
        "photo": _url(Image.fromarray(small), "WEBP", quality=88),
    }


def difference_of(
    pixels: NDArray[np.uint8], one: NDArray[Any], other: NDArray[Any], labels: Sequence[str]
) -> dict[str, Any]:
    """Where two masks differ: a heat map over the darkened image, and which classes changed places.

    Args:
        pixels: uint8 (H, W, 3).
        one: class indices (H, W).
        other: the same shape.
        labels: class names, or none.

    Returns:
        JSON-ready: `agreement`, share of equal pixels; `mean_iou` of the two over classes that either has; `heat_map`
        as a data URL; `changes`, the most frequent pairs of classes.
    """
    differs = one != other
    pairs = one[differs].astype(np.int64) << 32 | other[differs].astype(np.int64)
    kinds, counts = np.unique(pairs, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:10]

    def named(index: int) -> str:
        return labels[index] if index < len(labels) else f"class {index}"

    changes = [
        {
            "from": named(int(kinds[place] >> 32)),
            "to": named(int(kinds[place] & 0xFFFFFFFF)),
            "pixels": int(counts[place]),
            "fraction": round(float(counts[place]) / one.size, 6),
        }
        for place in order
    ]
    return {
        "agreement": 1 - float(differs.mean()),
        "mean_iou": mean_iou_of_masks(one, other),
        "changes": changes,
        "heat_map": _url(Image.fromarray(_heat(shown(pixels), differs)), "WEBP", quality=88),
    }


def _heat(pixels: NDArray[np.uint8], differs: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The share of differing pixels below each pixel of the page, from the image's gray over red to yellow."""
    share = Image.fromarray(differs.astype(np.uint8) * 255).resize(
        (pixels.shape[1], pixels.shape[0]), Image.Resampling.BOX
    )
    heat = np.asarray(share, np.float32)[..., None] / 255
    gray = pixels.mean(axis=2, keepdims=True, dtype=np.float32) * np.float32(0.5)
    hot = np.concatenate([np.full_like(heat, 255), 220 * heat, np.zeros_like(heat)], axis=2)
    strength = np.minimum(1, heat * 2)
    mixed: NDArray[np.uint8] = (gray * (1 - strength) + hot * strength).round().astype(np.uint8)
    return mixed


def _url(image: Image.Image, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
