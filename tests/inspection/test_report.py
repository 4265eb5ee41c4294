import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from registry.errors import ModelError, OutputPathError
from registry.inspection import (
    Comparison,
    Report,
    benchmark,
    inspect_delegates,
    inspect_model,
    layer_errors,
    write_html,
    write_report,
)
from registry.inspection.markup import Markup, element, table

PARITY = {"images": 2, "max_abs": 0.01, "mask_agreement": 0.987}


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(image).resize((48, 32), Image.Resampling.BICUBIC)) for image in coarse]


@pytest.fixture
def report(files, images):
    inspection = inspect_model(files["int8"])
    masks = np.zeros((2, 32, 48), np.uint8)
    masks[1, :16, :24] = 3
    return Report(
        inspection=inspection,
        delegates=inspect_delegates(files["int8"], inspection),
        export={"size_bytes": 1, "parity": PARITY},
        latency=benchmark([files["int8"]], against=files["float"], runs=3, profile=True),
        pictures=[Comparison("a photograph", images[0], *masks)],
        layers=layer_errors(
            files["float"].read_bytes(),
            files["int8"].read_bytes(),
            [image[None].astype("f4") for image in images],
        ),
    )


class Tags(HTMLParser):
    """Checks that elements nest, and collects what they refer to."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.names = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.references += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text):
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def test_both_files_are_written_and_the_page_needs_nothing_else(report, tmp_path):
    json_path, html_path = write_report(tmp_path / "model.report", report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.report.html", "model.report.json"]
    document = json.loads(json_path.read_text(encoding="utf-8"))
    assert document["export"]["parity"] == PARITY
    assert document["inspection"]["macs"] == report.inspection.macs
    assert document["pictures"] == [{"name": "a photograph", "mask_agreement": 0.75}]
    assert document["layers"][0]["added_noise"] >= document["layers"][-1]["added_noise"]
    text = html_path.read_text(encoding="utf-8")
    tags = parsed(text)
    assert len(tags.references) == 4
    assert all(reference.startswith("data:image/png;base64,") for reference in tags.references)
    assert tags.names.isdisjoint({"script", "link", "iframe"})
    for heading in (
        "Masks",
        "Compared with the Keras model",
        "Delegates",
        "Latency",
        "Quantization error by layer",
    ):
        assert f"<h2>{heading}</h2>" in text


def test_a_page_can_be_made_of_the_file_alone(files, tmp_path):
    write_html(tmp_path / "page.html", Report(inspection=inspect_model(files["open"])))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parsed(text)
    assert "<h2>Latency</h2>" not in text


def test_what_comes_from_the_file_is_escaped(report, tmp_path):
    hostile = "<script>alert(1)</script>"
    inspection = replace(
        report.inspection,
        description=hostile,
        metadata=(hostile,),
        files=(hostile,),
        inputs=tuple(replace(tensor, name=hostile) for tensor in report.inspection.inputs),
        operations=tuple(
            replace(entry, layer=hostile, name=hostile) for entry in report.inspection.operations
        ),
    )
    pictures = [replace(picture, name=hostile) for picture in report.pictures]
    write_html(tmp_path / "page.html", replace(report, inspection=inspection, pictures=pictures))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert hostile not in text
    assert "&lt;script&gt;" in text
    assert "script" not in parsed(text).names


def test_nothing_is_written_where_it_cannot_be(report, tmp_path):
    with pytest.raises(OutputPathError):
        write_report(tmp_path / "absent" / "model", report)
    (tmp_path / "model.html").mkdir()
    with pytest.raises(OutputPathError):
        write_report(tmp_path / "model", report)
    assert [path.name for path in tmp_path.iterdir()] == ["model.html"]
    with pytest.raises(OutputPathError, match=r"end in \.html"):
        write_html(tmp_path / "page.txt", report)


def test_masks_of_two_sizes_are_refused(images):
    with pytest.raises(ModelError, match="of one size"):
        Comparison("x", images[0], np.zeros((4, 4), int), np.zeros((4, 5), int))


def test_pictures_are_made_small(images):
    wide = np.zeros((300, 3000, 3), np.uint8)
    mask = np.zeros((300, 3000), np.int64)
    figures = Comparison("wide", wide, mask, mask).figures()
    assert list(figures) == ["input", "float", "this file", "difference"]
    assert all(len(url) < 5000 for url in figures.values())


def test_every_layer_in_common_is_compared(files, images):
    errors = layer_errors(
        files["float"].read_bytes(),
        files["int8"].read_bytes(),
        [image[None].astype("f4") for image in images],
    )
    assert sorted(error.index for error in errors) == [1, 2, 3, 4, 5, 6, 7]
    assert all(10 < error.sqnr_db < 140 and error.added_noise >= 0 for error in errors)
    (first,) = [error for error in errors if error.index == 1]
    wide = layer_errors(
        files["float"].read_bytes(),
        files["int16"].read_bytes(),
        [image[None].astype("f4") for image in images],
    )
    assert min(error.sqnr_db for error in wide) > min(error.sqnr_db for error in errors)
    assert first.operation == "CONV_2D"


def test_a_file_beside_itself_has_no_error(files, images):
    content = files["float"].read_bytes()
    errors = layer_errors(content, content, [images[0][None].astype("f4")])
    assert {error.sqnr_db for error in errors} == {140.0}


def test_layers_need_images_and_two_files_of_one_graph(files):
    with pytest.raises(ModelError, match="0 images"):
        layer_errors(files["float"].read_bytes(), files["int8"].read_bytes(), [])


def test_markup_escapes_children_and_attributes():
    made = element("p", "<b>", Markup("<i>x</i>"), title='"&')
    assert made == '<p title="&quot;&amp;">&lt;b&gt;<i>x</i></p>'
    assert re.search(r'<td class="number">1</td>', table(("a", "b"), [("<", 1)], numbers=(1,)))
