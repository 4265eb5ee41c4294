"""What an evaluation leaves in a folder: a document, pictures, a page."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from known_scores import Images, oracle, showing
from PIL import Image

import registry
from registry.errors import OutputPathError
from registry.evaluation import ConfusionMatrix
from registry.evaluation.matrix_picture import draw_confusion_matrix
from registry.evaluation.worst import UNCOUNTED

LABELS = ("sky", "road", "<b>car</b>", "tree", "person")


class Tags(HTMLParser):
    """What a page refers to, and its text."""

    def __init__(self, page):
        super().__init__()
        self.references, self.names, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.references += [value for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def evaluation(blobs):
    examples = [showing(guess, truth, f"street/{number}.png") for number, (truth, guess) in enumerate(blobs)]
    return registry.evaluate(oracle(5), Images(examples, 5, labels=LABELS), boundary_iou=True, worst=2)


def test_a_folder_with_everything(evaluation, tmp_path):
    folder = tmp_path / "new" / "folder"
    paths = evaluation.write(folder)
    names = ["evaluation.json", "confusion_matrix.png", "worst_01.png", "worst_02.png", "evaluation.html"]
    assert paths == tuple(folder / name for name in names)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert json.loads(paths[0].read_text(encoding="utf-8")) == evaluation.to_dict()
    for path in paths[1:-1]:
        with Image.open(path) as picture:
            assert picture.mode == "RGB"
    evaluation.write(folder)  # over what is there


def test_the_page_needs_nothing_beside_it(evaluation, tmp_path):
    page = evaluation.write(tmp_path)[-1].read_text(encoding="utf-8")
    tags = Tags(page)
    assert tags.references
    assert all(reference.startswith("data:image/png;base64,") for reference in tags.references)
    assert {"script", "link", "b"} & set(tags.names) == {"b"}
    assert tags.names.count("b") == 4  # of the tiles; none that a class has smuggled in
    for label in LABELS:
        assert label in tags.text
    for image in evaluation.worst:
        assert str(image.score) in tags.text
    assert str(evaluation.protocol) in tags.text
    assert f"{evaluation.mean_iou:.2%}" in tags.text


def test_a_folder_that_cannot_be_made_is_told(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputPathError, match="must be one that can be made"):
        evaluation.write(tmp_path / "file" / "folder")


def test_pictures_of_an_image_show_what_is_wrong(evaluation):
    image = evaluation.worst[0]
    palette = np.array(evaluation.palette)
    figures = image.figures(evaluation.palette)
    assert list(figures) == ["image", "annotation", "prediction", "errors"]
    np.testing.assert_array_equal(figures["image"], image.image)
    np.testing.assert_array_equal(figures["prediction"], palette[image.predicted])
    assert (figures["annotation"][~image.counted] == UNCOUNTED).all()
    right = image.counted & (image.annotated == image.predicted)
    np.testing.assert_array_equal(figures["annotation"][right], figures["prediction"][right])
    red = (figures["errors"] == (214, 40, 40)).all(-1)
    np.testing.assert_array_equal(red, image.counted & ~right)
    picture = image.picture(evaluation.palette, evaluation.labels)
    assert picture.shape[1] == 4 * 150 + 5 * 12
    for pixels in figures.values():
        assert contains(picture, pixels)


def contains(picture, pixels):
    """Whether a picture shows these pixels somewhere in its upper part."""
    height, width = pixels.shape[:2]
    return any(
        (picture[top : top + height, left : left + width] == pixels).all()
        for top in range(40, 60)
        for left in range(12, picture.shape[1] - width, 162)
    )


@pytest.mark.parametrize("classes", [1, 2, 19, 150, 300])
def test_a_confusion_matrix_has_a_cell_per_pair_of_classes(classes):
    matrix = ConfusionMatrix(classes)
    matrix.counts += np.diag(np.full(classes, 10))
    if classes > 2:
        matrix.counts[0, :2] = 5
        matrix.counts[-1] = 0
    picture = draw_confusion_matrix(matrix, [f"a class with the number {index}" for index in range(classes)])
    assert picture.dtype == np.uint8
    assert (picture == (23, 105, 170)).all(-1).any()
    if classes > 2:
        assert (picture == (232, 235, 239)).all(-1).any()  # the row without annotated pixels
        half = np.rint(255 + 0.5**0.5 * (np.array((200, 40, 40)) - 255))
        assert (picture == half).all(-1).any()
    if classes == 150:
        assert picture.shape[1] > 150 * 14  # wide enough for names


def test_colours_are_the_models_own_where_it_has_them(small_model, blobs):
    from registry.config import Label

    examples = Images([showing(*blobs[2][::-1])], 5)
    config = small_model.preset_config
    labels = tuple(Label(name=f"n{index}", color=(index, 1, 2)) for index in range(5))
    small_model.set_preset_config(config.model_copy(update={"labels": labels}))
    try:
        evaluation = registry.evaluate(small_model, examples, protocol="stretched", size=32)
    finally:
        small_model.set_preset_config(config)
    assert evaluation.palette == tuple((index, 1, 2) for index in range(5))
    assert evaluation.labels == ("n0", "n1", "n2", "n3", "n4")
    plain = registry.evaluate(oracle(5), examples)
    assert plain.palette[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
