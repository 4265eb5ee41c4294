"""What the runtime makes of a file's metadata."""

import io
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from registry.errors import RegistryWarning
from registry.metadata import SegmenterMetadata, read_metadata, write_metadata
from registry.metadata.grafting import new_head
from registry.metadata.schema import encode
from registry.runtime import Segmenter


@pytest.fixture
def photo():
    coarse = np.random.default_rng(2).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((24, 16), Image.Resampling.BICUBIC))


@pytest.fixture
def opened(tmp_path):
    def open_content(content, **options):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return Segmenter(path, trusted=True, num_threads=1, **options)

    return open_content


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_names_and_colours_come_from_the_file(kind, contents, metadata, opened, photo):
    plain = opened(contents[kind])
    assert (plain.labels, plain.palette, plain.metadata) == ((), (), None)
    expected = plain.predict(photo)
    segmenter = opened(write_metadata(contents[kind], metadata))
    assert segmenter.labels == metadata.labels
    assert segmenter.palette == metadata.colors
    assert segmenter.metadata == metadata
    assert (segmenter.predict(photo) == expected).all()


def test_the_callers_labels_win(contents, metadata, opened):
    segmenter = opened(write_metadata(contents["float32"], metadata), labels=list("abcd"))
    assert segmenter.labels == ("a", "b", "c", "d")
    assert opened(write_metadata(contents["float32"], metadata), labels=[]).labels == ()


def test_the_normalization_of_a_file_is_followed(contents, opened, photo):
    content = contents["float32"]
    plain, centred = (
        opened(content),
        SegmenterMetadata(mean=(127.5,), std=(2.0,), input_range=(-63.75, 63.75)),
    )
    scores = plain.predict_scores(photo)
    shifted = opened(write_metadata(content, centred)).predict_scores(photo)
    black = plain.predict_scores(np.zeros_like(photo))
    grey = plain.predict_scores(np.full_like(photo, 255)) / 2  # the model is linear: the scores of 127.5
    np.testing.assert_allclose(shifted, (scores - black - grey) / 2, rtol=1e-4, atol=1e-3)


def test_each_channel_has_its_own_normalization(contents, opened, photo):
    content = contents["float32"]
    reddish = SegmenterMetadata(mean=(0.0, 0.0, 0.0), std=(1.0, 1e9, 1e9))
    only_red = photo * np.array([1, 0, 0], np.uint8)
    np.testing.assert_allclose(
        opened(write_metadata(content, reddish)).predict_scores(photo),
        opened(content).predict_scores(only_red),
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_plane_of_probabilities_is_undecided_at_one_half(contents, opened, photo):
    content = contents["binary"]
    scores = opened(content).predict_scores(photo)[..., 0]
    logits = opened(write_metadata(content, SegmenterMetadata(output="logits")))
    probabilities = write_metadata(content, SegmenterMetadata(output="probabilities"))
    assert (logits.predict(photo) == (scores > 0)).all()
    segmenter = opened(probabilities)
    assert (segmenter.output_kind, segmenter.threshold) == ("probabilities", 0.5)
    assert (segmenter.predict(photo) == (scores > 0.5)).all()
    assert (opened(probabilities, threshold=2.0).predict(photo) == (scores > 2)).all()


def test_damaged_metadata_does_not_stop_the_model(contents, metadata, opened, photo):
    content = write_metadata(contents["float32"], metadata).replace(b"M001", b"M666")
    with pytest.warns(RegistryWarning, match="left aside"):
        segmenter = opened(content)
    assert (segmenter.labels, segmenter.metadata) == ((), None)
    assert (segmenter.predict(photo) == opened(contents["float32"]).predict(photo)).all()


def test_labels_that_do_not_fit_are_left_aside(contents, metadata, opened):
    two = replace(metadata, labels=("a", "b"), colors=((1, 1, 1), (2, 2, 2)))
    with pytest.warns(RegistryWarning, match="2 labels for 4 planes"):
        segmenter = opened(write_metadata(contents["float32"], two))
    assert (segmenter.labels, segmenter.palette) == ((), ())


def test_one_name_for_one_plane_is_no_cause_for_a_warning(contents, metadata, opened):
    one = replace(metadata, labels=("road",), colors=())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert opened(write_metadata(contents["binary"], one)).labels == ()


def test_metadata_of_others_is_read(contents, metadata):
    """Their files have no `atrous.json`, and a labels file that may be compressed."""
    stream = io.BytesIO(new_head(contents["float32"], encode(metadata)) + contents["float32"])
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "a\nb\nc\nd\n")
    known = read_metadata(stream.getvalue())
    assert known.labels == ("a", "b", "c", "d")
    assert (known.colors, known.output, dict(known.extra)) == ((), None, {})
    assert (known.activation, known.size, known.name) == ("softmax", (16, 24), "Straße")
