"""From a data set to scores: against scikit-learn, against the file of the same model."""

import json

import numpy as np
import pytest
from known_scores import Formula, Images, one_hot, oracle, showing
from sklearn.metrics import confusion_matrix, jaccard_score

import registry
from registry.data import DigitsInPhotographs, Example
from registry.errors import DataError, ModelError
from registry.evaluation import evaluate_alike


@pytest.fixture
def data(blobs):
    return Images(
        [
            showing(guess, truth, f"image {number}")
            for number, (truth, guess) in enumerate(blobs)
        ],
        5,
    )  # fmt: skip


def test_scores_are_those_of_scikit_learn(data, blobs):
    truth, guess = (np.concatenate([pair[side].ravel() for pair in blobs]) for side in (0, 1))
    counted = truth != 255
    evaluation = registry.evaluate(oracle(5), data)
    np.testing.assert_array_equal(
        evaluation.confusion.counts, confusion_matrix(truth[counted], guess[counted])
    )
    per_class = jaccard_score(truth[counted], guess[counted], average=None)
    assert evaluation.mean_iou == pytest.approx(per_class.mean())
    assert [score.iou for score in evaluation.classes] == pytest.approx(per_class)
    for score, pair in zip(evaluation.images, blobs, strict=True):
        image_truth, image_guess = (side[pair[0] != 255] for side in pair)
        assert score.mean_iou == pytest.approx(jaccard_score(image_truth, image_guess, average="macro"))
        assert score.pixel_accuracy == pytest.approx((image_truth == image_guess).mean())


def test_precision_and_accuracy_of_a_class(data):
    evaluation = registry.evaluate(oracle(5), data)
    counts = evaluation.confusion.counts
    for score in evaluation.classes:
        assert score.accuracy == counts[score.index, score.index] / counts[score.index].sum()
        assert score.precision == counts[score.index, score.index] / counts[:, score.index].sum()
        assert score.pixels == counts[score.index].sum()


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"protocol": "sliding", "window": 16}], ids=str)
def test_a_perfect_model_has_a_mean_iou_of_one(blobs, options):
    perfect = [(np.where(guess == truth, truth, 255).astype(np.uint8), guess) for truth, guess in blobs]
    data = Images([showing(guess, truth) for truth, guess in perfect], 5)
    evaluation = registry.evaluate(oracle(5, multiple=(8, 8)), data, boundary_iou=True, **options)
    assert evaluation.mean_iou == evaluation.scores.pixel_accuracy == 1.0
    assert evaluation.boundary.mean() == 1.0
    assert evaluation.scores.pixels == sum((truth != 255).sum() for truth, _ in perfect)


def test_an_image_without_annotation_counts_nothing():
    nothing = np.full((8, 8), 255, np.uint8)
    data = Images([showing(np.zeros((8, 8), int), nothing, "empty")], 5)
    evaluation = registry.evaluate(oracle(5), data)
    assert evaluation.scores.pixels == 0
    assert evaluation.images[0].mean_iou is None
    assert evaluation.worst == ()
    assert "nothing that counts" in str(evaluation.images[0])
    assert "empty" not in str(evaluation)


def test_an_ignore_label_may_be_a_class_of_the_model():
    truth = np.array([[0, 1, 2, 0]], np.uint8)
    guess = np.array([[1, 1, 2, 2]], np.uint8)
    evaluation = registry.evaluate(oracle(3), Images([showing(guess, truth)], 3, ignore_label=0))
    assert evaluation.scores.pixels == 2
    assert evaluation.mean_iou == 1.0


def test_the_worst_images_come_first(data, blobs):
    order = sorted(range(3), key=lambda index: registry.evaluate(oracle(5), data).images[index].mean_iou)
    evaluation = registry.evaluate(oracle(5), data, worst=2)
    assert [image.score.name for image in evaluation.worst] == [f"image {index}" for index in order[:2]]
    worst, (truth, guess) = evaluation.worst[0], blobs[order[0]]
    np.testing.assert_array_equal(worst.predicted, guess)
    np.testing.assert_array_equal(worst.counted, truth != 255)
    assert registry.evaluate(oracle(5), data, worst=0).worst == ()


def test_pictures_of_large_images_are_kept_small():
    mask = np.zeros((700, 1000), np.uint8)
    evaluation = registry.evaluate(oracle(2), Images([showing(mask, mask)], 2))
    assert evaluation.worst[0].image.shape == (336, 480, 3)
    assert evaluation.worst[0].predicted.shape == (336, 480)


def test_limit_takes_the_first_images_and_progress_hears_of_each(data):
    heard = []
    evaluation = registry.evaluate(oracle(5), data, limit=2, progress=lambda *news: heard.append(news))
    assert heard == [("image 0", 1, 2), ("image 1", 2, 2)]
    assert [score.name for score in evaluation.images] == ["image 0", "image 1"]
    assert len(registry.evaluate(oracle(5), data, limit=100).images) == 3


def test_names_come_from_the_data_then_from_the_model_then_are_numbers(data, small_model):
    data.labels = tuple("abcde")
    assert registry.evaluate(oracle(5), data).labels == ("a", "b", "c", "d", "e")
    data.labels = ()
    assert registry.evaluate(oracle(5), data).labels[3] == "class 3"


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({"num_classes": 4}, {}, ModelError, "5 classes of formula, 4 of invented"),
        ({}, {"limit": 0}, ModelError, "`limit`"),
        ({}, {"worst": -1}, ModelError, "`worst`"),
        ({}, {"protocol": "stretched"}, ModelError, "needs `size`"),
        ({}, {"window": 8}, ModelError, "sliding"),
        ({}, {"size": "large"}, ModelError, "`size`"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_image(data, changes, options, error, message):
    data.__dict__.update(changes)
    model = oracle(5)
    with pytest.raises(error, match=message):
        registry.evaluate(model, data, **options)
    assert model.seen == []


def test_no_images_are_no_evaluation():
    with pytest.raises(DataError, match="list without name, num_classes, ignore_label, labels"):
        registry.evaluate(oracle(5), [])
    with pytest.raises(DataError, match="at least one image"):
        registry.evaluate(oracle(5), Images([], 5))


KEYS = {
    "": {
        "model", "dataset", "protocol", "scores", "classes", "confusion_matrix", "images", "worst",
        "seconds_per_image",
    },
    "model": {"name", "kind", "description"},
    "dataset": {"name", "images", "num_classes", "ignore_label"},
    "protocol": {"name", "scales", "flip", "size", "window", "stride", "description"},
    "scores": {
        "mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "iou", "pixels", "boundary_iou",
    },
}  # fmt: skip


def test_the_document_for_machines_keeps_its_form(data):
    evaluation = registry.evaluate(oracle(5), data, boundary_iou=True)
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert document == evaluation.to_dict()
    for section, keys in KEYS.items():
        assert set(document[section] if section else document) == keys
    assert set(document["classes"][0]) == {
        "index", "name", "iou", "accuracy", "precision", "boundary_iou", "pixels",
    }  # fmt: skip
    assert set(document["images"][0]) == {"name", "mean_iou", "pixel_accuracy"}
    assert np.sum(document["confusion_matrix"]) == document["scores"]["pixels"]
    assert document["scores"]["mean_iou"] == evaluation.mean_iou
    assert document["dataset"] == {"name": "invented", "images": 3, "num_classes": 5, "ignore_label": 255}


def test_the_text_for_people_has_a_line_for_each_class(data):
    data.labels = ("sky", "road", "car", "tree", "a class of a long name")
    evaluation = registry.evaluate(oracle(5), data, boundary_iou=True)
    lines = str(evaluation).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("class"))
    assert [line.split("  ")[0].strip() for line in lines[start + 1 :]] == list(data.labels)
    assert len({len(line) for line in lines[start:]}) == 1
    assert f"mean IoU   {evaluation.mean_iou:.2%}" in str(evaluation)


class FromModel(Images):
    """Photographs, annotated by a model and then changed in a fifth of the blocks, so that scores mean something."""

    def __init__(self, model, size, count=8):
        rng = np.random.default_rng(0)
        examples = []
        for example in DigitsInPhotographs("test", count, size=size):
            height, width = example.mask.shape
            canvas = np.full((1, 96, 96, 3), 128, np.float32)
            canvas[0, :height, :width] = example.image
            mask = model.predict(canvas)[0, :height, :width].argmax(-1)
            blocks = rng.random((height // 8, width // 8)) < 0.2
            changed = np.kron(blocks, np.ones((8, 8), bool))
            mask[: changed.shape[0], : changed.shape[1]][changed] = rng.integers(5)
            mask[example.mask == 3] = 255
            examples.append(Example(example.name, example.image, mask.astype(np.uint8)))
        super().__init__(examples, 5)


@pytest.fixture(scope="module")
def annotated(small_model):
    return FromModel(small_model, (72, 88))


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": "stretched"},
        {"protocol": "whole"},
        {"protocol": "whole", "scales": (0.5, 1.0), "flip": True},
        {"protocol": "sliding", "scales": (1.0, 1.75)},
    ],
    ids=str,
)
def test_a_keras_model_and_its_float_file_have_the_same_scores(small_model, small_file, annotated, options):
    keras, file = evaluate_alike([small_model, small_file], annotated, **options)
    assert keras.protocol == file.protocol
    assert keras.mean_iou > 0.05
    assert abs(keras.mean_iou - file.mean_iou) < 1e-3
    different = np.abs(keras.confusion.counts - file.confusion.counts).sum() / 2
    assert different < 1e-3 * keras.scores.pixels


def test_one_view_of_a_file_is_what_its_segmenter_predicts(small_file, annotated):
    segmenter = registry.Segmenter(small_file, trusted=True)
    evaluation = registry.evaluate(segmenter, annotated, worst=len(annotated))
    masks = {example.name: segmenter.predict(example.image) for example in annotated}
    for image in evaluation.worst:
        np.testing.assert_array_equal(image.predicted, masks[image.score.name])


def test_models_are_compared_under_one_protocol(small_model, small_file, annotated):
    first, second = evaluate_alike([small_model, small_file], annotated, limit=1)
    assert first.protocol == second.protocol
    assert str(first.protocol) == "stretched to 96×96"
    (alone,) = evaluate_alike([small_model], annotated, limit=1)
    assert str(alone.protocol) == "whole image, padded"


def test_images_of_many_sizes_do_not_make_many_graphs(small_model):
    sizes = [(64 + 16 * number, 160 - 16 * number) for number in range(5)]
    data = Images([DigitsInPhotographs("test", 1, size=size)[0] for size in sizes], 5)
    for example in data:
        example.mask[example.mask > 4] = 255
    registry.evaluate(small_model, data)
    before = small_model._inference().experimental_get_tracing_count()
    registry.evaluate(small_model, data)
    assert small_model._inference().experimental_get_tracing_count() == before
    assert before < 5


def test_a_binary_model_has_two_classes():
    truth = np.array([[0, 1, 1, 255]], np.uint8)
    model = Formula(lambda pixels: pixels[..., :1] - 5, 1)
    evaluation = registry.evaluate(model, Images([showing(np.array([[0, 1, 0, 0]]), truth)], 2))
    assert evaluation.scores.iou == (0.5, 0.5)
    three = Formula(lambda pixels: one_hot(pixels[..., 0].astype(int), 3), 3)
    with pytest.raises(ModelError, match="3 classes of formula"):
        registry.evaluate(three, Images([showing(truth, truth)], 2))
