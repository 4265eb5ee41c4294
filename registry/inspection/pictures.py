"""Pictures for a report: an image, the masks of two models, and where they differ."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from registry.drawing import pascal_voc_colormap
from registry.errors import ModelError

__all__ = ["Comparison", "data_url"]

_WIDEST = 480
_SAME = (235, 238, 241)
_DIFFERENT = (214, 40, 40)


@dataclass(frozen=True, eq=False)
class Comparison:
    """One image through two models.

    Args:
        name: what to call it.
        image: uint8 RGB (height, width, 3).
        reference: class per pixel by the float model, (h, w); its size may differ from the image's.
        quantized: class per pixel by the file, of the same size as `reference`.
        palette: RGB colour per class; None takes Pascal VOC's.
    """

    name: str
    image: NDArray[np.uint8]
    reference: NDArray[Any]
    quantized: NDArray[Any]
    palette: ArrayLike | None = None

    def __post_init__(self) -> None:
        if np.shape(self.reference) != np.shape(self.quantized) or np.ndim(self.reference) != 2:
            raise ModelError(
                "two masks to compare are (height, width) and of one size",
                received=f"{np.shape(self.reference)} and {np.shape(self.quantized)}",
                repair="resize the scores of both to the same size before the argmax",
            )

    @property
    def agreement(self) -> float:
        """Share of pixels with the same class, 0…1."""
        return float(np.mean(np.asarray(self.reference) == np.asarray(self.quantized)))

    def figures(self) -> dict[str, str]:
        """Caption → picture as a data URL: input, both masks, difference."""
        differs = np.asarray(self.reference) != np.asarray(self.quantized)
        difference = np.array([_SAME, _DIFFERENT], np.uint8)[differs.astype(np.intp)]
        return {
            "input": data_url(self.image),
            "float": data_url(self._coloured(self.reference), smooth=False),
            "this file": data_url(self._coloured(self.quantized), smooth=False),
            "difference": data_url(difference, smooth=False),
        }

    def _coloured(self, mask: NDArray[Any]) -> NDArray[np.uint8]:
        colors = pascal_voc_colormap() if self.palette is None else np.asarray(self.palette, np.uint8)
        return colors[np.asarray(mask, np.intp) % len(colors)]


def data_url(pixels: NDArray[np.uint8], *, smooth: bool = True, widest: int = _WIDEST) -> str:
    """Pixels as a PNG inside of a URL, no wider than a report shows.

    Args:
        pixels: uint8 RGB (height, width, 3).
        smooth: whether to interpolate when it is made smaller; not for colours that stand for classes.
        widest: width in pixels above which it is made smaller.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    if picture.width > widest:
        size = (widest, max(1, round(picture.height * widest / picture.width)))
        picture = picture.resize(size, Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
