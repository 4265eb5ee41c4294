"""COCO: panoptic annotations (arXiv:1801.00868) read as classes, and COCO-Stuff's pixel maps (arXiv:1612.03716).

The trees are the data sets' own: `train2017/*.jpg`; `annotations/panoptic_train2017.json` with
`annotations/panoptic_train2017/*.png`, whose colours are segment ids; `stuffthingmaps/train2017/*.png`, whose values
are category ids less one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from registry.data.dataset import IGNORE_LABEL, Dataset, Mask, Sample
from registry.data.layouts import existing, require_folder, require_split
from registry.data.masks import lookup_table, packed_colors, read_indices, remapped
from registry.errors import DataError
from registry.images import load_indices

__all__ = ["STUFF_LABELS", "coco_panoptic", "coco_stuff"]

_SPLITS = ("train", "val")

# Category ids 1 … 182 in order; `-` marks the eleven that COCO never annotated.
_CATEGORIES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -, -,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet, -, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, -, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush, -, banner, blanket, branch, bridge, building-other, bush, cabinet, cage,
cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit,
furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain,
mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river,
road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other,
wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""
_NAMES = [name.strip() for name in _CATEGORIES.replace("\n", " ").split(",")]
_STUFF_VALUES = [value for value, name in enumerate(_NAMES) if name != "-"]

STUFF_LABELS = tuple(_NAMES[value] for value in _STUFF_VALUES)
"""Names of COCO-Stuff's 171 classes: 80 things, then 91 kinds of stuff."""

_STUFF_TABLE = lookup_table({value: index for index, value in enumerate(_STUFF_VALUES)}, other=IGNORE_LABEL)


def coco_stuff(root: Path, split: str) -> Dataset:
    """Open COCO-Stuff's pixel maps: 171 classes.

    Args:
        root: the folder with `train2017`, `val2017` and `stuffthingmaps`.
        split: `train` (118,287) or `val` (5,000).

    Raises:
        DataError: the tree is incomplete.
    """
    folder = f"{require_split(split, _SPLITS)}2017"
    root = Path(root)
    images = require_folder(root / folder, "COCO's tree holds train2017, val2017 and stuffthingmaps")
    masks = root / "stuffthingmaps" / folder
    samples = (
        Sample(image.stem, image, masks / f"{image.stem}.png") for image in sorted(images.glob("*.jpg"))
    )
    origin = f"COCO-Stuff {split}"
    return Dataset(origin, existing(samples, origin), 171, _read_stuff, labels=STUFF_LABELS)


def _read_stuff(sample: Sample) -> Mask:
    return remapped(read_indices(sample.mask), _STUFF_TABLE)


def coco_panoptic(root: Path, split: str) -> Dataset:
    """Open COCO's panoptic annotations as classes: segments of one category become one class, crowds count too.

    Args:
        root: the folder with `train2017`, `val2017` and `annotations`.
        split: `train` (118,287) or `val` (5,000).

    Returns:
        A data set with the categories of the JSON file as classes, in the order of their ids (133 in COCO).

    Raises:
        DataError: the tree is incomplete or the JSON file is not of this format.
    """
    folder = f"{require_split(split, _SPLITS)}2017"
    root = Path(root)
    path = root / "annotations" / f"panoptic_{folder}.json"
    content = _read_json(path)
    try:
        categories = sorted(content["categories"], key=lambda category: int(category["id"]))
        classes = {int(category["id"]): index for index, category in enumerate(categories)}
        names = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        segments: dict[str, dict[int, int]] = {}
        samples = []
        for annotation in content["annotations"]:
            image = names[int(annotation["image_id"])]
            mask = str(annotation["file_name"])
            sample = Sample(
                Path(image).stem, root / folder / _plain(image), path.with_suffix("") / _plain(mask)
            )
            samples.append(sample)
            segments[sample.name] = {
                int(segment["id"]): classes[int(segment["category_id"])]
                for segment in annotation["segments_info"]
            }
        labels = tuple(str(category["name"]) for category in categories)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "COCO's panoptic JSON lists categories, images and annotations with segments_info",
            received=f"{path}: {type(error).__name__}: {error}",
            repair="fetch the panoptic annotations again",
        ) from error
    origin = f"COCO panoptic {split}"
    ignore_label = IGNORE_LABEL if len(classes) <= IGNORE_LABEL else 65535

    def read_mask(sample: Sample) -> Mask:
        return _read_panoptic(sample, segments[sample.name], ignore_label)

    return Dataset(origin, existing(samples, origin), len(classes), read_mask, ignore_label, labels)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            "COCO's panoptic annotations need their JSON file",
            received=f"{path}: {error}",
            repair="unpack panoptic_annotations_trainval2017.zip and the archives inside of it",
        ) from error


def _plain(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not a plain file name")
    return name


def _read_panoptic(sample: Sample, segments: Mapping[int, int], ignore_label: int) -> Mask:
    colors = load_indices(sample.mask)
    if colors.ndim != 3:
        raise DataError(
            "a panoptic annotation holds segment ids as colours",
            received=f"{sample.mask}: one value per pixel",
            repair="use the PNG files of the panoptic annotations",
        )
    ids, inverse = np.unique(packed_colors(colors), return_inverse=True)
    unknown = [int(number) for number in ids if number and int(number) not in segments]
    if unknown:
        raise DataError(
            "every segment of a panoptic annotation must be listed in its JSON file",
            received=f"{sample.mask}: ids {', '.join(map(str, unknown[:5]))}",
            repair="use the JSON file and the PNG files of the same release",
        )
    # Id 0 is what nobody annotated.
    table = np.array([segments.get(int(number), ignore_label) for number in ids])
    mask: Mask = (
        table[inverse].reshape(colors.shape[:2]).astype(np.uint8 if ignore_label < 256 else np.uint16)
    )
    return mask
