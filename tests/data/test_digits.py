"""The generated task: reproducible, disjoint splits, masks that tell where the ink is."""

import numpy as np
import pytest

from registry.config.data import DigitsSource
from registry.data import digits, open_data
from registry.data.digits import LABELS, DigitsInPhotographs
from registry.errors import DataError


def test_an_example_depends_on_seed_split_and_number_alone():
    data = DigitsInPhotographs("train", 6)
    backwards = [data[index] for index in reversed(range(6))][::-1]
    for one, other in zip(data, backwards, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)
    longer = DigitsInPhotographs("train", 60)
    np.testing.assert_array_equal(longer[3].image, data[3].image)
    assert (DigitsInPhotographs("train", 6, seed=1)[3].image != data[3].image).any()
    assert (DigitsInPhotographs("val", 6)[3].image != data[3].image).any()


def test_splits_share_neither_digits_nor_photographs():
    ranges = [set(range(*bounds)) for bounds in digits._DIGITS.values()]
    photographs = [set(names) for names in digits._PHOTOGRAPHS.values()]
    for groups in (ranges, photographs):
        assert sum(map(len, groups)) == len(set.union(*groups))
    assert len(set.union(*ranges)) == 1797


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_class_occurs_and_every_image_shows_a_digit(split):
    data = DigitsInPhotographs(split, 60, size=(96, 128))
    masks = np.stack([example.mask for example in data])
    assert masks.shape == (60, 96, 128)
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) - {255} == set(range(len(LABELS))) == set(range(data.num_classes))
    ink = (masks > 0).mean((1, 2))
    assert 0.02 < ink.mean() < 0.2
    assert (ink > 0).mean() > 0.95  # an occluder may cover the only digit of an image


def test_the_mask_is_where_the_ink_is(monkeypatch):
    """With clutter, occluders and the camera switched off, ink differs from the photograph, the rest does not."""
    monkeypatch.setattr(digits, "_scribble", lambda canvas, chance: canvas)
    monkeypatch.setattr(digits, "_occluded", lambda canvas, mask, chance: canvas)
    monkeypatch.setattr(digits, "_photographed", lambda canvas, chance: np.asarray(canvas))
    inked = DigitsInPhotographs("test", 8)
    with_ink = list(inked)
    monkeypatch.setattr(digits, "_inked", lambda canvas, alpha, chance: canvas)
    for index, example in enumerate(with_ink):
        chance = np.random.default_rng((0, 2, index))
        photograph = np.asarray(digits._background(inked._photographs, (224, 224), chance), np.int16)
        changed = np.abs(example.image - photograph).max(-1) > 12
        assert changed[example.mask > 0].mean() > 0.97
        # Beyond the ink there are only its soft edge and, now and then, a shadow.
        assert changed[example.mask == 0].mean() < 0.1


def test_what_is_left_of_a_hidden_digit_is_ignored(monkeypatch):
    """Of every digit, more than so much is in sight, or nothing of it counts."""

    def half(canvas, mask, chance):
        mask[:, :48] = 0
        return canvas

    monkeypatch.setattr(digits, "_occluded", lambda canvas, mask, chance: canvas)
    whole = [example.mask for example in DigitsInPhotographs("train", 60, size=(64, 96), most_digits=1)]
    monkeypatch.setattr(digits, "_occluded", half)
    hidden = [example.mask for example in DigitsInPhotographs("train", 60, size=(64, 96), most_digits=1)]
    outcomes = set()
    for before, after in zip(whole, hidden, strict=True):
        if (before == after).all():
            continue  # no occluder
        in_sight = np.count_nonzero(after) / np.count_nonzero(before)
        left = set(np.unique(after)) - {0}
        assert left == (set() if not in_sight else {255} if in_sight < 0.6 else set(np.unique(before)) - {0})
        outcomes |= {"none"} if not left else {"ignored"} if left == {255} else {"named"}
    assert outcomes == {"none", "ignored", "named"}


def test_number_and_size_of_digits_are_as_asked_for():
    def extents(**options):
        data = DigitsInPhotographs("train", 40, size=(64, 64), **options)
        return [
            (np.ptp(np.nonzero(mask)[0]) + 1) / 64
            for mask in (example.mask for example in data)
            if mask.any()
        ]

    # Ink fills most of a digit's height.
    large, small = (
        extents(digit_size=(0.9, 0.95), most_digits=1),
        extents(digit_size=(0.3, 0.35), most_digits=1),
    )
    assert np.median(large) > 0.6 > 0.4 > np.median(small)
    alone = DigitsInPhotographs("train", 40, size=(64, 64), most_digits=1)
    assert max(len(np.unique(example.mask)) for example in alone) == 2


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("trian", 4), {}, "train"),
        (("train", 0), {}, "0 images"),
        (("train", 4), {"size": (32, 32)}, "64×64"),
        (("train", 4), {"digit_size": (0.5, 0.4)}, r"digit_size=\(0.5, 0.4\)"),
        (("train", 4), {"most_digits": 0}, "most_digits=0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, message):
    with pytest.raises(DataError, match=message):
        DigitsInPhotographs(*arguments, **options)


def test_it_is_a_sequence():
    data = DigitsInPhotographs("val", 3, size=(64, 64))
    assert len(data) == 3
    assert [example.name for example in data[1:]] == ["val-0-000001", "val-0-000002"]
    np.testing.assert_array_equal(data[-1].image, data[2].image)
    with pytest.raises(IndexError):
        data[3]


def test_a_recipe_s_digits_are_those_of_the_class():
    section = DigitsSource(reader="digits", split="val", count=4)
    opened, made = open_data(section), DigitsInPhotographs("val", 4)
    assert (opened.digit_size, opened.most_digits) == (made.digit_size, made.most_digits)
    np.testing.assert_array_equal(opened[3].image, made[3].image)
