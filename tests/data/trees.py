"""Small trees in the layouts of the real data sets."""

import json

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = (6, 8)


def write_image(path, seed=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def write_indices(path, values, *, palette=False):
    """Write a gray or an indexed PNG of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values))
    if palette:
        # Colours that have nothing to do with the indices: only a reader that keeps indices gets them right.
        image.putpalette([255 - (7 * number) % 256 for number in range(768)])
    image.save(path)


def mask_of(*values, size=SIZE, dtype=np.uint8):
    """A mask in which these values stand in turn."""
    return np.resize(np.array(values, dtype), size)


def pascal_voc_tree(root, *, with_sbd=True):
    """VOC train a b, val c; SBD train b d, val c e: trainaug is a b d e."""
    voc = root / "VOCdevkit" / "VOC2012"
    masks = {"a": mask_of(0, 1, 255), "b": mask_of(0, 20), "c": mask_of(5, 255)}
    for name in "abcde":
        write_image(voc / "JPEGImages" / f"{name}.jpg", seed=ord(name))
    for name, mask in masks.items():
        write_indices(voc / "SegmentationClass" / f"{name}.png", mask, palette=True)
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in {"train": "ab", "val": "c", "trainval": "abc"}.items():
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
    if with_sbd:
        sbd = root / "benchmark_RELEASE" / "dataset"
        (sbd / "cls").mkdir(parents=True)
        for name, values in {"b": (1, 2), "c": (3,), "d": (0, 7), "e": (0, 15)}.items():
            content = {"GTcls": {"Boundaries": np.zeros(3), "Segmentation": mask_of(*values)}}
            savemat(sbd / "cls" / f"{name}.mat", content)
        (sbd / "train.txt").write_text("b\nd\n")
        (sbd / "val.txt").write_text("c\ne\n")
    return root


def ade20k_tree(root):
    base = root / "ADEChallengeData2016"
    for folder, names in {"training": ("x1", "x2"), "validation": ("y1",)}.items():
        for name in names:
            write_image(base / "images" / folder / f"{name}.jpg")
            write_indices(base / "annotations" / folder / f"{name}.png", mask_of(0, 1, 2, 150))
    return root


def cityscapes_tree(root):
    for city, name in (("bonn", "bonn_000000_000019"), ("ulm", "ulm_000001_000019")):
        write_image(root / "leftImg8bit" / "train" / city / f"{name}_leftImg8bit.png")
        write_indices(
            root / "gtFine" / "train" / city / f"{name}_gtFine_labelIds.png",
            mask_of(0, 7, 8, 11, 26, 29, 33, 34),
        )
    return root


def coco_tree(root):
    write_image(root / "val2017" / "000000000139.jpg")
    # 0-based ids: 0 person, 11 never annotated, 12 stop sign, 91 banner, 181 wood, 255 nothing
    write_indices(root / "stuffthingmaps" / "val2017" / "000000000139.png", mask_of(0, 11, 12, 91, 181, 255))
    ids = mask_of(0, 3226956, 7, dtype=np.uint32)
    colors = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
    write_indices(root / "annotations" / "panoptic_val2017" / "000000000139.png", colors)
    content = {
        "categories": [
            {"id": 200, "name": "rug-merged", "isthing": 0, "color": [1, 2, 3]},
            {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
        ],
        "images": [{"id": 139, "file_name": "000000000139.jpg", "height": 6, "width": 8}],
        "annotations": [
            {
                "image_id": 139,
                "file_name": "000000000139.png",
                "segments_info": [
                    {"id": 3226956, "category_id": 1, "iscrowd": 0},
                    {"id": 7, "category_id": 200, "iscrowd": 0},
                ],
            }
        ],
    }
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))
    return root


def folder_tree(root, *, suffix=""):
    for name in ("one", "two"):
        write_image(root / "images" / f"{name}.jpg")
        write_indices(root / "masks" / f"{name}{suffix}.png", mask_of(0, 1, 2, 255))
    return root
