"""A check finds everything at once, and its statistics are those of the sound examples."""

import sys

import numpy as np
import pytest
from PIL import Image
from trees import folder_tree, mask_of, pascal_voc_tree, write_image, write_indices

from registry.data import (
    DigitsInPhotographs,
    Example,
    check_data,
    folder_pairs,
    pack,
    pascal_voc,
    shared_images,
    tfrecord,
)
from registry.data.checking import _picked
from registry.data.report import median_frequency_weights
from registry.errors import DataError, EnvironmentUnsupportedError


class Drawn:
    """Examples that come from no file."""

    name, labels = "drawn", ()

    def __init__(self, masks, *, num_classes=3, ignore_label=255, images=None):
        self.masks = [np.asarray(mask, np.uint8) for mask in masks]
        self.images = images or [
            np.random.default_rng(number).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
            for number, mask in enumerate(self.masks)
        ]
        self.num_classes, self.ignore_label = num_classes, ignore_label

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        return Example(f"drawn {index}", self.images[index], self.masks[index])


def kinds(findings):
    return [finding.kind for finding in findings]


def test_statistics_are_those_of_all_pixels(tmp_path):
    data = DigitsInPhotographs("val", 9, size=(64, 80))
    report = check_data(data)
    assert report.findings == tuple(note for note in report.notes if note.kind == "absent classes")
    masks = np.stack([example.mask for example in data])
    pixels = np.concatenate([example.image.reshape(-1, 3) for example in data]).astype(np.float64)
    for entry in report.classes:
        assert entry.name == data.labels[entry.index]
        assert entry.pixels == (masks == entry.index).sum()
        assert entry.images == (masks == entry.index).any((1, 2)).sum()
        assert entry.share == pytest.approx((masks == entry.index).mean())
    np.testing.assert_allclose(report.mean, pixels.mean(0))
    np.testing.assert_allclose(report.deviation, pixels.std(0))
    assert (report.checked, report.total, report.ignored, report.unknown) == (9, 9, 0.0, {})
    assert report.sizes.heights == (64, 64, 64)
    assert report.sizes.most_frequent == (64, 80)


def test_ignored_pixels_belong_to_no_class():
    report = check_data(Drawn([[[0, 1, 255, 255]] * 40, [[1] * 40] * 40, [[2] * 40] * 40]))
    assert [entry.pixels for entry in report.classes] == [40, 40 + 1600, 1600]
    assert report.ignored == pytest.approx(80 / (160 + 3200))
    assert sum(entry.share for entry in report.classes) == pytest.approx(1)


def test_an_ignore_label_may_lie_among_the_classes():
    """DeepLab's shards of ADE20K: classes 1 … 150, and 0 is ignored."""
    report = check_data(Drawn([[[0, 1, 2, 0]] * 40, [[1] * 40] * 40], ignore_label=0))
    assert [entry.pixels for entry in report.classes] == [0, 1640, 40]
    assert (report.errors, kinds(report.notes)) == ((), ["extreme size"])
    assert report.ignored == pytest.approx(80 / 1760)


def test_weights_are_the_medians_share_of_each_frequency():
    # Class 0: 90 of 100 pixels in all images; class 1: 5 of the 50 of the image that shows it; class 2: 5 of 50.
    assert median_frequency_weights([90, 5, 5, 0], [100, 50, 50, 0]) == pytest.approx([0.1 / 0.9, 1, 1, 1])
    assert median_frequency_weights([30, 10], [40, 40]) == pytest.approx([0.5 / 0.75, 0.5 / 0.25])
    assert median_frequency_weights([0, 0], [0, 0]) == [1, 1]
    halves = np.zeros((40, 40))
    halves[:, 20:] = 1
    report = check_data(Drawn([halves, np.zeros((40, 40)), np.full((40, 40), 2)]))
    # Frequencies: 0.75 (2400 of 3200), 0.5 (800 of 1600), 1 (1600 of 1600).
    np.testing.assert_allclose(report.class_weights, [1, 1.5, 0.75])


@pytest.fixture
def broken(tmp_path):
    """Eight pairs, one for each thing that can be wrong with a file, and two sound ones."""
    for number, name in enumerate("abcdefgh"):
        write_image(tmp_path / "images" / f"{name}.png", seed=number, size=(40, 48))
        write_indices(tmp_path / "masks" / f"{name}.png", mask_of(0, 1, 2, 255, size=(40, 48)))
    data = (tmp_path / "images" / "b.png").read_bytes()
    (tmp_path / "images" / "b.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "masks" / "c.png").write_bytes(b"no image")
    write_indices(tmp_path / "masks" / "d.png", mask_of(0, 1, size=(48, 40)))
    write_indices(tmp_path / "masks" / "e.png", mask_of(0, 7, 9, 9, size=(40, 48)))
    write_indices(tmp_path / "masks" / "f.png", np.zeros((40, 48, 3), np.uint8))
    (tmp_path / "images" / "g.png").write_bytes(b"")
    write_indices(tmp_path / "masks" / "g.png", mask_of(8, size=(40, 48)))
    return folder_pairs(tmp_path, num_classes=3)


def test_everything_is_found_at_once(broken, tmp_path):
    steps = []
    report = check_data(broken, progress=lambda *step: steps.append(step))
    assert steps == [(number, 8) for number in range(1, 9)]
    assert [(finding.name, finding.kind) for finding in report.errors] == [
        ("b", "unreadable image"),
        ("c", "unreadable mask"),
        ("d", "size mismatch"),
        ("e", "unknown values"),
        ("f", "unreadable mask"),
        ("g", "unreadable image"),
        ("g", "unknown values"),
    ]
    details = [finding.detail for finding in report.errors]
    for detail, name in zip(details, ("images/b", "masks/c", "masks/d", "masks/e", "masks/f"), strict=False):
        assert str(tmp_path / name) in detail
    assert "image 48×40, mask 40×48" in details[2]
    assert "7 (480 pixels), 9 (960 pixels)" in details[3]
    assert report.unknown == {7: 480, 8: 1920, 9: 960}


def test_statistics_leave_out_what_has_an_error(broken):
    report, sound = check_data(broken), check_data(broken[:1])
    assert report.mean != sound.mean
    both = [broken[0], broken[7]]
    np.testing.assert_allclose(report.mean, np.mean([example.image.mean((0, 1)) for example in both], 0))
    assert [entry.images for entry in report.classes] == [2, 2, 2]
    assert set(report.picks) == {0, 7}


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_change_nothing(broken, threads):
    assert check_data(broken, threads=threads).to_dict() == check_data(broken).to_dict()


def test_masks_that_say_little_are_noted():
    nothing, background = np.full((40, 40), 255), np.zeros((40, 40))
    report = check_data(Drawn([nothing, background, mask_of(0, 1, 2, size=(40, 40))]))
    assert [(note.name, note.kind) for note in report.findings] == [
        ("drawn 0", "empty mask"),
        ("drawn 1", "background alone"),
    ]
    report = check_data(Drawn([nothing, nothing]))
    assert kinds(report.errors) == ["no class at all"]
    assert "palette" in report.errors[0].detail
    report = check_data(Drawn([background]))
    assert (report.errors, kinds(report.notes)) == ((), ["background alone", "absent classes"])
    assert report.notes[1].detail == "1, 2"


@pytest.mark.parametrize(
    ("size", "message"), [((31, 90), "fewer than 32"), ((40, 201), "more than 5 times"), ((40, 200), None)]
)
def test_extreme_sizes_are_noted(size, message):
    report = check_data(Drawn([mask_of(0, 1, 2, size=size)]))
    assert kinds(report.notes) == (["extreme size"] if message else [])
    assert all(message in note.detail for note in report.notes)
    assert report.errors == ()


def test_the_same_file_twice_is_noted(tmp_path):
    folder_tree(tmp_path)
    (tmp_path / "images" / "three.jpg").write_bytes((tmp_path / "images" / "one.jpg").read_bytes())
    write_indices(tmp_path / "masks" / "three.png", mask_of(2))
    write_image(tmp_path / "images" / "two.jpg", seed=5)
    report = check_data(folder_pairs(tmp_path, num_classes=3))
    (note,) = [note for note in report.notes if note.kind == "duplicate"]
    assert (note.name, note.detail) == ("three", "the same image file as one")


def test_what_parts_share_is_a_leak(tmp_path):
    masks = [mask_of(0, 1, 2, size=(40, 40))] * 4
    images = Drawn(masks).images
    parts = {
        "train": Drawn(masks[:3], images=images[:3]),
        "validation": Drawn(masks[:2], images=images[2:]),
        "test": Drawn(masks[:1], images=images[3:]),
    }
    findings = shared_images({part: check_data(data) for part, data in parts.items()})
    assert [(one.kind, one.severity, one.name, one.detail) for one in findings] == [
        ("image of train in validation", "error", "drawn 2", "is drawn 0 of validation"),
        ("image of validation in test", "note", "drawn 1", "is drawn 0 of test"),
    ]


def test_files_and_shards_of_them_share_their_images(tmp_path):
    data = pascal_voc(pascal_voc_tree(tmp_path), "train")
    pack(data, tmp_path, "train")
    shards = tfrecord(tmp_path, num_classes=21)
    reports = {"train": check_data(data), "validation": check_data(shards)}
    assert len(shared_images(reports)) == 2
    assert reports["train"].classes == reports["validation"].classes


def test_a_limit_is_spread_over_the_whole():
    data = DigitsInPhotographs("val", 100, size=(64, 64))
    report = check_data(data, limit=4)
    assert (report.checked, report.total) == (4, 100)
    assert report.picks == (0, 25, 50, 75)
    assert "4 of 100 images" in str(report)
    with pytest.raises(DataError, match="at least one"):
        check_data(data, limit=0)


def test_a_damaged_record_does_not_hide_the_others(tmp_path):
    (path,) = pack(pascal_voc(pascal_voc_tree(tmp_path), "train"), tmp_path, "train")
    shards = tfrecord(tmp_path, num_classes=21)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    report = check_data(shards)
    ((name, kind, detail),) = [(error.name, error.kind, error.detail) for error in report.errors]
    assert (name, kind) == ("example 0", "unreadable example")
    assert "record 0 at byte 0" in detail
    assert report.classes[20].images == 1


def test_a_missing_package_is_no_finding(tmp_path, monkeypatch):
    data = pascal_voc(pascal_voc_tree(tmp_path), "trainaug", sbd=tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(EnvironmentUnsupportedError, match="SciPy"):
        check_data(data)


def test_picks_show_all_classes_with_few_examples():
    random = np.random.default_rng(0)
    for _ in range(20):
        shown = {
            index: int(random.integers(0, 2**20)) & int(random.integers(0, 2**20)) for index in range(100)
        }
        everything = 0
        for bits in shown.values():
            everything |= bits
        pixels = np.array([everything >> number & 1 for number in range(20)])
        picks = _picked(shown, pixels)
        covered = 0
        for index in picks:
            covered |= shown[index]
        assert covered == everything
        assert len(picks) == len(set(picks)) == 12
        assert list(picks) == sorted(picks)
    # One class each: as many as a sheet has room for.
    assert len(_picked({index: 1 << index for index in range(150)}, np.ones(150))) == 48
    assert _picked({3: 1, 5: 1}, np.ones(1)) == (3, 5)


def test_a_report_lists_some_of_each_kind_and_counts_all():
    images = [np.zeros((40, 40, 3), np.uint8)] * 30
    text = str(check_data(Drawn([mask_of(0, 9, size=(40, 40))] * 30, images=images)))
    assert "unknown values (30)" in text
    assert text.count("drawn: drawn") == 10
    assert "… and 20 more" in text
    assert "30 errors, 29 notes" in text
    assert "9 (24,000 pixels)" in text
    assert "sizes" not in text  # there is no sound example to speak of


def test_rotated_photographs_are_measured_as_they_are_seen(tmp_path):
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "a.jpg", exif=exif)
    write_indices(tmp_path / "masks" / "a.png", mask_of(0, 1, size=(60, 40)))
    report = check_data(folder_pairs(tmp_path, num_classes=2))
    assert report.findings == ()
    assert (report.sizes.heights[0], report.sizes.widths[0]) == (60, 40)
