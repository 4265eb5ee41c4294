"""The same masks from a pipeline of Apache Beam, run by its DirectRunner."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

import registry
from registry.errors import EnvironmentUnsupportedError


def test_a_pipeline_gives_the_masks_of_the_segmenter(tflite, segmenter, photos, tmp_path):
    import apache_beam as beam
    from apache_beam.testing.util import assert_that

    paths = [str(photos / "0.png"), str(photos / "deep" / "3.png"), str(photos / "deep" / "damaged.png")]
    content = (photos / "1.png").read_bytes()
    expected = segmenter.segment(photos / "1.png")
    out = tmp_path / "out"

    def check_files(answers):
        by_key = {answer["key"]: answer for answer in answers}
        assert set(by_key) == {"0", "3", "damaged"}
        assert "can be decoded" in by_key["damaged"]["error"]
        assert by_key["0"]["mask"] == str(out / "0_mask.png")

    def check_bytes(answers):
        (answer,) = answers
        with Image.open(io.BytesIO(answer["mask_png"])) as image:
            assert (np.asarray(image) == expected).all()
        assert answer["classes"][0]["name"] == "no"

    with beam.Pipeline("DirectRunner") as pipeline:
        files = pipeline | "paths" >> beam.Create(paths) | "to files" >> registry.beam_segment(tflite, out)
        pairs = (
            pipeline
            | "pairs" >> beam.Create([("street/1", content)])
            | "to bytes" >> registry.beam_segment(tflite, labels=["no", "red"])
        )
        assert_that(files, check_files, label="files")
        assert_that(pairs, check_bytes, label="bytes")
    assert sorted(path.name for path in out.rglob("*")) == [
        "0_mask.png", "0_overlay.png", "3_mask.png", "3_overlay.png",
    ]  # fmt: skip
    with Image.open(out / "3_mask.png") as image:
        assert (np.asarray(image) == segmenter.segment(paths[1])).all()


def test_without_beam_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(EnvironmentUnsupportedError, match=r"atrous\[beam\]"):
        registry.beam_segment("model.tflite")
