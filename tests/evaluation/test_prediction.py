"""Masks under each protocol against the same, written out with whole arrays."""

import numpy as np
import pytest
from known_scores import Formula, oracle, showing
from PIL import Image
from textbook import bilinear

from registry.errors import ModelError
from registry.evaluation.prediction import predict_mask
from registry.evaluation.protocol import resolve_protocol
from registry.evaluation.subject import Subject, subject_of
from registry.evaluation.views import PADDING, window_starts

SCALES = (0.5, 1.0, 1.75)


def masked(model, image, at=None, **options):
    subject = subject_of(model)
    return predict_mask(subject, resolve_protocol(subject, **options), image, at or image.shape[:2])


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def resized(image, size):
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def padded(image, size):
    canvas = np.full((*size, 3), PADDING, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def assert_best(mask, probabilities):
    """The mask is the argmax, but where two classes tie within rounding."""
    runner_up, best = np.sort(probabilities, axis=-1)[..., -2:].transpose(2, 0, 1)
    clear = best - runner_up > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(mask[clear], probabilities.argmax(-1)[clear])


@pytest.fixture
def image():
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((45, 37), Image.Resampling.BICUBIC))


@pytest.fixture
def uneven():
    """Scores that depend on the colours, on the place within what is seen, and not alike from left and right."""
    mixing = np.random.default_rng(4).normal(scale=0.03, size=(3, 4)).astype(np.float32)

    def scores(pixels):
        height, width = pixels.shape[:2]
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        place = np.stack([np.sin(rows), np.cos(columns / 3), columns / width, rows / height], -1)
        return pixels @ mixing + place

    return Formula(scores, 4, multiple=(4, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"name": "whole"},
        {"name": "whole", "flip": True},
        {"name": "whole", "size": (48, 64)},
        {"name": "sliding", "window": (16, 16)},
        {"name": "sliding", "window": (16, 12), "stride": (5, 7), "flip": True},
        {"name": "sliding", "window": (64, 64)},
    ],
    ids=str,
)
def test_an_oracle_is_right_under_every_protocol(blobs, options):
    model = oracle(5, multiple=(4, 4))
    for _, guess in blobs:
        np.testing.assert_array_equal(masked(model, showing(guess, guess).image, **options), guess)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("factor", [1, 2])
def test_an_oracle_of_two_classes_is_right_when_it_is_stretched(blobs, factor, flip):
    def scores(pixels):
        return np.stack([127.5 - pixels[..., 0], pixels[..., 0] - 127.5], -1)

    for _, guess in blobs:
        truth = guess % 2
        pixels = np.repeat(255 * truth[..., None], 3, axis=2).astype(np.uint8)
        size = factor * truth.shape[0], factor * truth.shape[1]
        mask = masked(Formula(scores, 2), pixels, name="stretched", size=size, flip=flip)
        np.testing.assert_array_equal(mask, truth)


def test_a_single_view_is_decided_on_its_scores(image, uneven):
    stretched = masked(uneven, image, name="stretched", size=(20, 24))
    assert_best(stretched, bilinear(uneven.scores(resized(image, (20, 24))), (37, 45)))
    whole = masked(uneven, image, name="whole")
    np.testing.assert_array_equal(whole, uneven.scores(padded(image, (40, 48)))[:37, :45].argmax(-1))


def test_the_mask_has_the_annotations_size(image, uneven):
    mask = masked(uneven, image, at=(70, 33), name="whole")
    assert_best(mask, bilinear(uneven.scores(padded(image, (40, 48)))[:37, :45], (70, 33)))


def test_scales_and_flip_average_probabilities(image, uneven):
    expected = np.zeros((37, 45, 4))
    for scale in SCALES:
        size = round(37 * scale), round(45 * scale)
        canvas = padded(resized(image, size), tuple(side + -side % 4 for side in size))
        expected += softmax(bilinear(uneven.scores(canvas)[: size[0], : size[1]], (37, 45)))
        mirrored = uneven.scores(canvas[:, ::-1])[:, ::-1]
        expected += softmax(bilinear(mirrored[: size[0], : size[1]], (37, 45)))
    mask = masked(uneven, image, name="whole", scales=SCALES, flip=True)
    assert_best(mask, expected)
    assert (mask != masked(uneven, image, name="whole")).any()


def test_scales_of_stretched_are_of_the_input(image, uneven):
    expected = np.zeros((37, 45, 4))
    for size in ((12, 8), (24, 16), (36, 24)):
        expected += softmax(bilinear(uneven.scores(resized(image, size)), (37, 45)))
    mask = masked(uneven, image, name="stretched", size=(24, 16), scales=(0.5, 1.0, 1.5))
    assert_best(mask, expected)
    uneven.seen.clear()
    masked(uneven, image, name="stretched", size=(24, 16), scales=(0.7,))
    assert uneven.seen[0].shape == (16, 12, 3)  # of 16.8 × 11.2, in steps of 4


def test_windows_average_probabilities_where_they_overlap(image, uneven):
    total, counts = np.zeros((37, 45, 4)), np.zeros((37, 45, 1))
    for top in (0, 9, 18, 21):
        for left in (0, 11, 22, 29):
            place = slice(top, top + 16), slice(left, left + 16)
            total[place] += softmax(uneven.scores(image[place]))
            counts[place] += 1
    mask = masked(uneven, image, name="sliding", window=(16, 16), stride=(9, 11))
    assert len(uneven.seen) == 16
    assert_best(mask, total / counts)


def test_windows_at_several_scales(image, uneven):
    expected = np.zeros((37, 45, 4))
    for scale in (1.0, 1.5):
        scaled = resized(image, (round(37 * scale), round(45 * scale)))
        total, counts = np.zeros((*scaled.shape[:2], 4)), np.zeros((*scaled.shape[:2], 1))
        for top in window_starts(scaled.shape[0], 32, 20):
            for left in window_starts(scaled.shape[1], 32, 20):
                place = slice(top, top + 32), slice(left, left + 32)
                for turn in (1, -1):
                    seen = scaled[place]
                    total[place] += softmax(uneven.scores(seen[:, ::turn])[:, ::turn])
                    counts[place] += 1
        expected += bilinear(total / counts, (37, 45))
    mask = masked(
        uneven, image, name="sliding", window=(32, 32), stride=(20, 20), scales=(1.0, 1.5), flip=True
    )
    assert_best(mask, expected)


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (100, 40, 30, [0, 30, 60]),
        (101, 40, 30, [0, 30, 60, 61]),
        (40, 40, 30, [0]),
        (10, 40, 30, [0]),
        (41, 40, 40, [0, 1]),
    ],
)
def test_the_last_window_is_shifted_inwards(length, window, stride, starts):
    assert window_starts(length, window, stride) == starts


@pytest.mark.parametrize("scales", [(1.0,), (0.5,), (0.5, 1.0)])
@pytest.mark.parametrize("stride", [1, 4])
def test_what_the_model_says_of_padding_has_no_influence(image, scales, stride):
    """Also where scores are coarser than pixels, and where they are enlarged."""

    def scores(pixels, beyond):
        coarse = pixels[::stride, ::stride].astype(np.float32)
        answer = np.stack([coarse[..., 0], coarse[..., 1], np.full(coarse.shape[:2], 120.0)], -1)
        outside = (pixels == PADDING).all(-1)
        height, width = (~outside).any(1).sum(), (~outside).any(0).sum()
        answer[-(-height // stride) :] = beyond
        answer[:, -(-width // stride) :] = beyond
        return answer.astype(np.float32)

    masks = [
        masked(
            Formula(lambda pixels, extreme=extreme: scores(pixels, extreme), 3, multiple=(16, 16)),
            image, name="whole", scales=scales, size=(64, 96),
        )
        for extreme in ((0, 0, 0), (0, 0, 1e4))
    ]  # fmt: skip
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("options", [{"name": "whole"}, {"name": "stretched", "size": (32, 32)}], ids=str)
def test_flipping_changes_nothing_for_a_model_that_is_equivariant(image, options):
    model = Formula(lambda pixels: pixels * np.float32(0.02), 3)
    once, twice = (masked(model, image, flip=flip, **options) for flip in (False, True))
    assert (once == twice).mean() > 0.999  # of ties, rounding decides


def test_the_order_of_probabilities_is_that_of_scores_for_one_pass(image, uneven):
    """A window as large as the image: the same as the whole image, though probabilities decide."""
    window = masked(uneven, image, name="sliding", window=(40, 48))
    whole = masked(uneven, image, name="whole", size=(40, 48))
    np.testing.assert_array_equal(window, whole)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_activation_makes_no_difference(image, activation):
    """Neither to the best class of resized scores, nor to averages."""
    mixing = np.random.default_rng(5).normal(scale=0.02, size=(3, 4)).astype(np.float32)

    def logits(pixels):
        return pixels[::2, ::2] @ mixing

    def activated(pixels):
        scores = logits(pixels)
        return softmax(scores) if activation == "softmax" else 1 / (1 + np.exp(-scores))

    bare, active = Formula(logits, 4, multiple=(2, 2)), Formula(activated, 4, multiple=(2, 2))
    active.activation = activation
    for options in ({"name": "stretched", "size": (20, 30)}, {"name": "whole"}):
        masks = [masked(model, image, **options) for model in (bare, active)]
        assert (masks[0] == masks[1]).mean() > 0.999
    if activation == "softmax":
        masks = [masked(model, image, scales=(1.0, 1.5), flip=True) for model in (bare, active)]
        assert (masks[0] == masks[1]).mean() > 0.999


def test_a_single_plane_is_decided_by_its_sign_and_averaged_by_the_sigmoid(image):
    def scores(pixels):
        return (pixels[..., :1] - 100) * np.float32(0.05)

    model = Formula(scores, 1)
    np.testing.assert_array_equal(masked(model, image), image[..., 0] > 100)
    half = resized(image, (18, 22))
    expected = 1 / (1 + np.exp(-scores(image.astype(np.float32))))[..., 0]
    expected = expected + 1 / (1 + np.exp(-bilinear(scores(half.astype(np.float32)), (37, 45))[..., 0]))
    mask = masked(model, image, scales=(0.5, 1.0))
    clear = np.abs(expected - 1) > 1e-5
    np.testing.assert_array_equal(mask[clear], (expected > 1)[clear])


def file_like(run, output, **options):
    """What a `.tflite` file becomes."""
    return Subject(
        name="file", kind="tflite", description="", run=run, output=output, squashing="softmax", threshold=0.5,
        num_classes=None, **options,
    )  # fmt: skip


def test_probabilities_are_averaged_as_they_are(image):
    def run(pixels):
        return softmax(pixels.astype(np.float32) * 0.1).astype(np.float32)

    subject = file_like(run, "probabilities")
    mask = predict_mask(
        subject, resolve_protocol(subject, "whole", flip=True, scales=(2.0,)), image, (37, 45)
    )
    assert_best(mask, bilinear(run(resized(image, (74, 90))), (37, 45)))


def test_class_indices_are_resized_by_their_nearest_neighbour(image):
    subject = file_like(
        lambda pixels: (pixels[::2, ::2, 0] > 100).astype(np.uint8), "mask", input_size=(48, 64)
    )
    whole = predict_mask(subject, resolve_protocol(subject, "whole"), image, (74, 90))
    coarse = padded(image, (48, 64))[::2, ::2, 0] > 100
    expected = np.kron(np.kron(coarse, np.ones((2, 2)))[:37, :45], np.ones((2, 2)))
    np.testing.assert_array_equal(whole, expected)
    stretched = predict_mask(subject, resolve_protocol(subject), image, (48, 64))
    seen = resized(image, (48, 64))[::2, ::2, 0] > 100
    np.testing.assert_array_equal(stretched, np.kron(seen, np.ones((2, 2))))


def test_an_image_that_does_not_fit_is_refused(image):
    model = oracle(5, size=(32, 64))
    with pytest.raises(ModelError, match="37×45 at scale 1, input 32×64") as refused:
        masked(model, image, name="whole")
    assert "sliding" in refused.value.repair
    assert masked(model, image, name="whole", scales=(0.5,), flip=True).shape == (37, 45)
    assert masked(model, image, name="sliding").shape == (37, 45)


def test_more_than_256_classes(image):
    model = Formula(lambda pixels: np.eye(300, dtype=np.float32)[pixels[..., 0].astype(int) + 40], 300)
    expected = image[..., 0].astype(int) + 40
    for options in ({}, {"flip": True}):
        mask = masked(model, image, **options)
        assert mask.dtype == np.uint16
        np.testing.assert_array_equal(mask, expected)
