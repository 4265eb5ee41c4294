"""Trees in the layouts of the real data sets, read back value by value."""

import json

import numpy as np
import pytest
from trees import (
    SIZE,
    ade20k_tree,
    cityscapes_tree,
    coco_tree,
    folder_tree,
    mask_of,
    pascal_voc_tree,
    write_image,
    write_indices,
)

from registry.data import ade20k, cityscapes, coco_panoptic, coco_stuff, folder_pairs, pascal_voc
from registry.data.cityscapes import TRAIN_IDS
from registry.data.coco import STUFF_LABELS
from registry.errors import DataError, ImageError
from registry.images import load_image


def names(dataset):
    return [sample.name for sample in dataset.samples]


def test_pascal_voc_reads_indices_not_colours(tmp_path):
    dataset = pascal_voc(pascal_voc_tree(tmp_path), "train")
    assert names(dataset) == ["a", "b"]
    example = dataset[0]
    np.testing.assert_array_equal(example.mask, mask_of(0, 1, 255))
    np.testing.assert_array_equal(example.image, load_image(dataset.samples[0].image))
    assert example.image.shape == (*SIZE, 3)


@pytest.mark.parametrize("root", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_pascal_voc_is_found_from_every_level(tmp_path, root):
    pascal_voc_tree(tmp_path)
    if root == "VOCdevkit":
        assert len(pascal_voc(tmp_path / root, "val")) == 1
    else:
        assert names(pascal_voc(tmp_path / root, "val")) == ["c"]


def test_trainaug_is_voc_train_and_sbd_without_voc_val(tmp_path):
    dataset = pascal_voc(pascal_voc_tree(tmp_path), "trainaug", sbd=tmp_path)
    assert names(dataset) == ["a", "b", "d", "e"]
    masks = {example.name: example.mask for example in dataset}
    np.testing.assert_array_equal(masks["b"], mask_of(0, 20))  # VOC's own annotation, not SBD's
    np.testing.assert_array_equal(masks["d"], mask_of(0, 7))


def test_trainaug_of_ready_made_files(tmp_path):
    base = pascal_voc_tree(tmp_path, with_sbd=False) / "VOCdevkit" / "VOC2012"
    with pytest.raises(DataError, match="SBD"):
        pascal_voc(tmp_path, "trainaug")
    for name in "abcde":
        write_indices(base / "SegmentationClassAug" / f"{name}.png", mask_of(1, 2))
    assert names(pascal_voc(tmp_path, "trainaug")) == ["a", "b", "d", "e"]
    pairs = "\n".join(f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in "ad")
    (base / "ImageSets" / "Segmentation" / "trainaug.txt").write_text(pairs)
    assert names(pascal_voc(tmp_path, "trainaug")) == ["a", "d"]


def test_a_damaged_mat_file_is_refused(tmp_path):
    dataset = pascal_voc(pascal_voc_tree(tmp_path), "trainaug", sbd=tmp_path)
    path = dataset.samples[2].mask
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DataError, match=r"GTcls\.Segmentation"):
        dataset[2]


def test_ade20k_counts_from_one_and_ignores_zero(tmp_path):
    dataset = ade20k(ade20k_tree(tmp_path), "train")
    assert (names(dataset), dataset.num_classes) == (["x1", "x2"], 150)
    np.testing.assert_array_equal(dataset[0].mask, mask_of(255, 0, 1, 149))
    assert names(ade20k(tmp_path / "ADEChallengeData2016", "val")) == ["y1"]


def test_ade20k_reports_values_beyond_its_classes(tmp_path):
    dataset = ade20k(ade20k_tree(tmp_path), "val")
    write_indices(dataset.samples[0].mask, mask_of(0, 151))
    with pytest.raises(DataError, match="151"):
        dataset[0]


def test_cityscapes_label_ids_become_train_ids(tmp_path):
    dataset = cityscapes(cityscapes_tree(tmp_path), "train")
    assert names(dataset) == ["bonn_000000_000019", "ulm_000001_000019"]
    np.testing.assert_array_equal(dataset[0].mask, mask_of(255, 0, 1, 2, 13, 255, 18, 255))
    assert sorted(TRAIN_IDS.values()) == list(range(19))


def test_cityscapes_takes_train_ids_where_they_are(tmp_path):
    dataset = cityscapes(cityscapes_tree(tmp_path), "train")
    label_ids = dataset.samples[0].mask
    write_indices(
        label_ids.with_name(label_ids.name.replace("labelIds", "labelTrainIds")), mask_of(0, 18, 255)
    )
    np.testing.assert_array_equal(cityscapes(tmp_path, "train")[0].mask, mask_of(0, 18, 255))


def test_coco_stuff_leaves_out_what_was_never_annotated(tmp_path):
    dataset = coco_stuff(coco_tree(tmp_path), "val")
    np.testing.assert_array_equal(dataset[0].mask, mask_of(0, 255, 11, 80, 170, 255))
    labels = [dataset.labels[index] for index in (0, 11, 80, 170)]
    assert labels == ["person", "stop sign", "banner", "wood"]
    assert len(STUFF_LABELS) == len(set(STUFF_LABELS)) == dataset.num_classes == 171


def test_coco_panoptic_segments_become_classes(tmp_path):
    dataset = coco_panoptic(coco_tree(tmp_path), "val")
    assert (dataset.num_classes, dataset.labels) == (2, ("person", "rug-merged"))
    np.testing.assert_array_equal(dataset[0].mask, mask_of(255, 0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("categories"), "KeyError"),
        (lambda content: content["annotations"][0].update(file_name="../up.png"), "plain file name"),
        (lambda content: content["annotations"][0]["segments_info"][0].update(category_id=3), "KeyError"),
    ],
)
def test_a_wrong_panoptic_file_is_refused(tmp_path, change, message):
    path = coco_tree(tmp_path) / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        coco_panoptic(tmp_path, "val")


def test_panoptic_segments_must_be_listed(tmp_path):
    path = coco_tree(tmp_path) / "annotations" / "panoptic_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segments_info"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="ids 7"):
        coco_panoptic(tmp_path, "val")[0]


def test_folder_pairs_by_name(tmp_path):
    dataset = folder_pairs(folder_tree(tmp_path, suffix="_mask"), num_classes=3, mask_suffix="_mask")
    assert names(dataset) == ["one", "two"]
    np.testing.assert_array_equal(dataset[1].mask, mask_of(0, 1, 2, 255))
    assert [example.name for example in dataset[1:]] == ["two"]


def test_folder_splits_by_list_and_by_folder(tmp_path):
    folder_tree(tmp_path)
    (tmp_path / "val.txt").write_text("two.jpg\n\n")
    assert names(folder_pairs(tmp_path, "val", num_classes=3)) == ["two"]
    write_image(tmp_path / "images" / "test" / "three.png")
    write_indices(tmp_path / "masks" / "test" / "three.png", mask_of(1))
    assert names(folder_pairs(tmp_path, "test", num_classes=3)) == ["three"]
    other = {"images": "{split}_images", "masks": "{split}_masks"}
    write_image(tmp_path / "dev_images" / "four.png")
    write_indices(tmp_path / "dev_masks" / "four.png", mask_of(1))
    assert names(folder_pairs(tmp_path, "dev", num_classes=3, **other)) == ["four"]


def test_colours_become_classes(tmp_path):
    palette = [(0, 0, 0), (128, 64, 128), (255, 255, 255)]
    index = mask_of(0, 1, 2, 1)
    colors = np.array([*palette, (9, 9, 9)], np.uint8)
    write_image(tmp_path / "images" / "a.png")
    write_indices(tmp_path / "masks" / "a.png", colors[index])
    dataset = folder_pairs(tmp_path, num_classes=3, palette=palette)
    np.testing.assert_array_equal(dataset[0].mask, index)
    write_indices(tmp_path / "masks" / "a.png", colors[mask_of(0, 3, 2)])
    with pytest.raises(DataError, match=r"\(9, 9, 9\)"):
        dataset[0]
    ignoring = folder_pairs(tmp_path, num_classes=3, palette=palette, ignore_colors=[(9, 9, 9)])
    np.testing.assert_array_equal(ignoring[0].mask, mask_of(0, 255, 2))


def test_values_become_classes(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    write_indices(tmp_path / "masks" / "a.png", mask_of(0, 255, 128))
    dataset = folder_pairs(tmp_path, num_classes=2, values={0: 0, 255: 1})
    np.testing.assert_array_equal(dataset[0].mask, mask_of(0, 1, 255))


def test_sixteen_bit_masks_hold_more_than_255_classes(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    write_indices(tmp_path / "masks" / "a.png", mask_of(0, 255, 700, 65535, dtype=np.uint16))
    mask = folder_pairs(tmp_path, num_classes=701, ignore_label=65535)[0].mask
    assert mask.dtype == np.uint16
    np.testing.assert_array_equal(mask, mask_of(0, 255, 700, 65535, dtype=np.uint16))


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda root: (root / "masks" / "two.png").unlink(), {}, "two without a mask"),
        (lambda root: (root / "images" / "one.jpg").unlink(), {}, "one without an image"),
        (lambda root: write_image(root / "images" / "one.png"), {}, "one file only"),
        (lambda root: None, {"images": "pictures"}, "no folder"),
        (lambda root: None, {"palette": [(0, 0, 0)]}, "one colour per class"),
        (lambda root: None, {"palette": [(0, 0, 0)] * 3, "values": {0: 0}}, "keep one"),
        (lambda root: None, {"split": "nothing"}, "no folder"),
    ],
)
def test_folders_that_do_not_fit_are_refused(tmp_path, change, arguments, message):
    change(folder_tree(tmp_path))
    with pytest.raises(DataError, match=message):
        folder_pairs(tmp_path, num_classes=3, **arguments)


def test_sizes_and_values_are_checked_when_read(tmp_path):
    dataset = folder_pairs(folder_tree(tmp_path), num_classes=2)
    with pytest.raises(DataError, match=r"one\.png: 2"):
        dataset[0]
    write_indices(tmp_path / "masks" / "one.png", mask_of(0, 1, size=(8, 6)))
    with pytest.raises(DataError, match="image 8×6, mask 6×8"):
        dataset[0]


def test_an_annotation_stored_with_loss_is_refused(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    write_image(tmp_path / "masks" / "a.jpg")
    with pytest.raises(ImageError, match="without loss"):
        folder_pairs(tmp_path, num_classes=2)[0]


@pytest.mark.parametrize("reader", [pascal_voc, ade20k, cityscapes, coco_stuff, coco_panoptic])
def test_an_unknown_split_names_the_known_ones(tmp_path, reader):
    with pytest.raises(DataError, match="train"):
        reader(tmp_path, "trian")
    with pytest.raises(DataError):
        reader(tmp_path, "train")
