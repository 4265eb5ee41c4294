"""The images that a model gets most wrong: kept small while it is evaluated, drawn for people afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from registry.data import Example
from registry.evaluation.scoring import ImageScore
from registry.images import stretched
from registry.metadata import Color
from registry.runtime import draw_legend, pascal_voc_colormap
from registry.runtime.resample import nearest_at_size

__all__ = ["WorstImage", "WorstImages", "colors_of"]

UNCOUNTED: Color = (224, 224, 192)
"""What annotations show where nothing counts, as Pascal VOC's own do."""

_WIDEST, _TALLEST = 480, 640
_WRONG = (214, 40, 40)
_INK, _SOFT = (27, 35, 48), (102, 112, 133)
_MARGIN, _NARROWEST = 12, 150


@dataclass(frozen=True, eq=False)
class WorstImage:
    """An image, its annotation and the mask, at most 480 pixels wide and 640 high.

    Args:
        score: of the image at its full size.
        image: uint8 RGB (h, w, 3).
        annotated: class indices and the ignore label (h, w).
        predicted: class indices (h, w).
        counted: bool (h, w), where the annotation is no ignore label.
    """

    score: ImageScore
    image: NDArray[np.uint8]
    annotated: NDArray[Any]
    predicted: NDArray[Any]
    counted: NDArray[np.bool_]

    @classmethod
    def of(
        cls, example: Example, predicted: NDArray[Any], score: ImageScore, ignore_label: int
    ) -> WorstImage:
        """Make small copies."""
        height, width = example.mask.shape
        factor = min(1.0, _WIDEST / width, _TALLEST / height)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        annotated = nearest_at_size(example.mask, size)
        return cls(
            score,
            np.array(stretched(example.image, size)),
            annotated,
            nearest_at_size(predicted, size),
            annotated != ignore_label,
        )

    def figures(self, palette: Sequence[Color]) -> dict[str, NDArray[np.uint8]]:
        """Caption → uint8 RGB picture: the image, both masks in colour, what is wrong in red.

        Args:
            palette: RGB per class.
        """
        colors = np.array(palette, np.uint8)
        annotation = np.full((*self.annotated.shape, 3), UNCOUNTED, np.uint8)
        annotation[self.counted] = colors[self.annotated[self.counted]]
        faded = np.asarray(Image.fromarray(self.image).convert("L"), np.float32) * 0.4 + 140
        errors = np.repeat(faded.astype(np.uint8)[..., np.newaxis], 3, axis=2)
        errors[self.counted & (self.annotated != self.predicted)] = _WRONG
        return {
            "image": self.image,
            "annotation": annotation,
            "prediction": colors[self.predicted],
            "errors": errors,
        }

    def picture(self, palette: Sequence[Color], labels: Sequence[str]) -> NDArray[np.uint8]:
        """All figures side by side, with captions and a legend of the classes that occur.

        Args:
            palette: RGB per class.
            labels: name per class.

        Returns:
            uint8 RGB (h, w, 3).
        """
        figures = self.figures(palette)
        height, width = self.image.shape[:2]
        column = max(width, _NARROWEST)  # narrower ones have no room for their captions
        font_size = 13 + column // 60
        font, line = ImageFont.load_default(font_size), font_size + 7
        top = _MARGIN + 2 * line
        canvas = Image.new("RGB", (4 * column + 5 * _MARGIN, top + height + _MARGIN), "white")
        draw = ImageDraw.Draw(canvas)
        draw.text((_MARGIN, _MARGIN // 2), str(self.score), fill=_INK, font=font)
        for place, (caption, pixels) in enumerate(figures.items()):
            left = _MARGIN + place * (column + _MARGIN)
            draw.text((left, _MARGIN // 2 + line), caption, fill=_SOFT, font=font)
            canvas.paste(Image.fromarray(pixels), (left, top))
        present = {*np.unique(self.annotated[self.counted]).tolist(), *np.unique(self.predicted).tolist()}
        names = [name if index in present else "" for index, name in enumerate(labels)]
        if not self.counted.all():
            names, palette = [*names, "not counted"], [*palette, UNCOUNTED]
        legend = draw_legend(names, np.array(palette), width=canvas.width, font_size=font_size)
        return np.concatenate([np.asarray(canvas), legend])


class WorstImages:
    """Keeps the images of the lowest mean IoU.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[tuple[float, int, WorstImage]] = []
        self._offered = 0

    def offer(self, example: Example, predicted: NDArray[Any], score: ImageScore, ignore_label: int) -> None:
        """Keep an image if it is among the worst; of equal ones, the first."""
        self._offered += 1
        if score.mean_iou is None or not self._count:
            return
        rank = score.mean_iou, self._offered
        if len(self._kept) == self._count:
            if rank >= self._kept[-1][:2]:
                return
            self._kept.pop()
        self._kept.append((*rank, WorstImage.of(example, predicted, score, ignore_label)))
        self._kept.sort(key=lambda entry: entry[:2])

    def in_order(self) -> tuple[WorstImage, ...]:
        """The images, the worst first."""
        return tuple(image for _, _, image in self._kept)


def colors_of(count: int, palette: Sequence[Color]) -> tuple[Color, ...]:
    """A colour for every class: the model's own where it has them, else Pascal VOC's, which repeat after 256."""
    if len(palette) == count:
        return tuple(palette)
    colors = pascal_voc_colormap().tolist()
    return tuple(tuple(colors[index % len(colors)]) for index in range(count))
