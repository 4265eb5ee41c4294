"""Where annotated images come from: one section per reader of `registry.data`.

Relative paths lie under the data root that the caller names, by default the working directory.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictInt, StrictStr

from registry.architecture import Fraction, PositiveInt, Section
from registry.config.scalars import Channel, Color, Word

__all__ = [
    "Ade20kSource",
    "CityscapesSource",
    "CocoPanopticSource",
    "CocoStuffSource",
    "DataSource",
    "DigitsSource",
    "FolderSource",
    "PascalVocSource",
    "TFRecordSource",
    "source_sections",
]

_ROOT = Field(description="Folder of the data set, as its archives unpack.")


class PascalVocSource(Section):
    """Pascal VOC 2012, with SBD's annotations for the split `trainaug`."""

    reader: Literal["pascal_voc"]
    root: Annotated[Word, _ROOT]
    split: Literal["train", "val", "trainval", "trainaug"]
    sbd: Word | None = Field(default=None, description="SBD's folder with `cls`, for `trainaug`.")


class Ade20kSource(Section):
    """ADE20K's scene parsing benchmark."""

    reader: Literal["ade20k"]
    root: Annotated[Word, _ROOT]
    split: Literal["train", "val"]


class CityscapesSource(Section):
    """Cityscapes."""

    reader: Literal["cityscapes"]
    root: Annotated[Word, _ROOT]
    split: Literal["train", "val", "train_extra", "test"]
    annotations: Literal["gtFine", "gtCoarse"] = "gtFine"


class CocoPanopticSource(Section):
    """COCO's panoptic annotations, read as classes."""

    reader: Literal["coco_panoptic"]
    root: Annotated[Word, _ROOT]
    split: Literal["train", "val"]


class CocoStuffSource(Section):
    """COCO-Stuff's pixel maps."""

    reader: Literal["coco_stuff"]
    root: Annotated[Word, _ROOT]
    split: Literal["train", "val"]


class FolderSource(Section):
    """Pairs of images and masks of one's own."""

    reader: Literal["folder"]
    root: Annotated[Word, _ROOT]
    split: Word | None = Field(
        default=None, description="Name of a list `<split>.txt` in `root`, or of a folder in both; null: all."
    )
    images: Word = Field(
        default="images", description="Folder of the images; `{split}` stands for the split."
    )
    masks: Word = Field(default="masks", description="Folder of the masks, likewise.")
    image_suffix: StrictStr = Field(default="", description="What follows the common name in image files.")
    mask_suffix: StrictStr = Field(default="", description="What follows the common name in mask files.")
    num_classes: PositiveInt | None = Field(default=None, description="Null: as many as the model has.")
    palette: tuple[Color, ...] = Field(default=(), description="Colour per class, for masks of colours.")
    ignore_colors: tuple[Color, ...] = Field(default=(), description="Colours that do not count.")
    values: tuple[tuple[StrictInt, StrictInt], ...] = Field(
        default=(), description="Pairs of stored value and class, for masks whose values are not the classes."
    )
    ignore_label: Channel = 255


class TFRecordSource(Section):
    """Shards of `tf.train.Example`, in the features of DeepLab and Model Garden."""

    reader: Literal["tfrecord"]
    root: Annotated[Word, Field(description="Folder of the shards.")]
    pattern: Word = Field(default="*.tfrecord", description="Which of its files, as a glob.")
    num_classes: PositiveInt | None = Field(default=None, description="Null: as many as the model has.")
    ignore_label: Channel = 255


class DigitsSource(Section):
    """Generated images: handwritten digits in photographs."""

    reader: Literal["digits"]
    split: Literal["train", "val", "test"]
    count: PositiveInt = Field(description="Number of examples.")
    size: tuple[Annotated[int, Field(strict=True, ge=64)], Annotated[int, Field(strict=True, ge=64)]] = Field(
        default=(224, 224), description="Height and width in pixels."
    )
    seed: Annotated[int, Field(strict=True, ge=0)] = Field(
        default=0, description="Another seed gives other images of the same split."
    )
    digit_size: tuple[Fraction, Fraction] = Field(
        default=(0.28, 0.6), description="Smallest and largest digit, as shares of the image's shorter side."
    )
    most_digits: PositiveInt = Field(default=3, description="Largest number of digits in an image.")


DataSource = Annotated[
    PascalVocSource
    | Ade20kSource
    | CityscapesSource
    | CocoPanopticSource
    | CocoStuffSource
    | FolderSource
    | TFRecordSource
    | DigitsSource,
    Field(discriminator="reader"),
]


def source_sections() -> dict[str, type[Section]]:
    """The section of each reader, by the word that a recipe writes under `reader`."""
    sections: tuple[type[Section], ...] = get_args(get_args(DataSource)[0])
    return {get_args(section.model_fields["reader"].annotation)[0]: section for section in sections}
