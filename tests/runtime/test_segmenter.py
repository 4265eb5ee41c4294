import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.errors import ImageError, ModelError, ModelFileError
from registry.runtime import Segmenter
from registry.runtime.resample import argmax_at_size, nearest_at_size


def stretched(photo, size):
    return np.asarray(Image.fromarray(photo).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def test_prediction_is_the_argmax_of_the_resized_scores(models, photo):
    segmenter = Segmenter(models["float"])
    scores = segmenter.predict_scores(photo)
    mask = segmenter.predict(photo)
    assert scores.shape == (8, 12, 5)
    assert scores.dtype == np.float32
    assert mask.shape == photo.shape[:2]
    assert mask.dtype == np.uint8
    assert len(np.unique(mask)) > 1
    assert (mask == argmax_at_size(scores, photo.shape[:2])).all()


def test_scores_are_those_of_the_keras_model(models, keras_net, photo):
    expected = keras_net(stretched(photo, (32, 48)).astype(np.float32)[np.newaxis]).numpy()[0]
    np.testing.assert_allclose(
        Segmenter(models["float"]).predict_scores(photo), expected, rtol=1e-4, atol=1e-3
    )


def test_properties(models):
    segmenter = Segmenter(models["float"], labels=list("abcde"), num_threads=1)
    assert segmenter.input_size == (32, 48)
    assert segmenter.output_size == (8, 12)
    assert segmenter.num_classes == 5
    assert segmenter.labels == ("a", "b", "c", "d", "e")
    assert segmenter.path == models["float"]
    assert "float.tflite" in repr(segmenter)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_quantized_scores_follow_the_float_model(models, photo, kind):
    expected = Segmenter(models["float"]).predict_scores(photo)
    scores = Segmenter(models[kind]).predict_scores(photo)
    assert scores.dtype == np.float32
    assert np.abs(scores - expected).max() < 0.1 * expected.std()


def test_an_open_size_is_resized(models, photo):
    segmenter = Segmenter(models["open"], size=(64, 32))
    assert segmenter.input_size == (64, 32)
    assert segmenter.output_size == (16, 8)
    fixed = Segmenter(models["open"], size=(32, 48))
    np.testing.assert_allclose(
        fixed.predict_scores(photo), Segmenter(models["float"]).predict_scores(photo), rtol=1e-4, atol=1e-4
    )
    assert Segmenter(models["open"], size=64).input_size == (64, 64)


def test_an_open_batch_is_one(models, photo):
    assert (Segmenter(models["open_batch"]).predict(photo) == Segmenter(models["float"]).predict(photo)).all()


@pytest.mark.parametrize("kind", ["mask", "mask64"])
def test_a_mask_output_is_resized_to_the_nearest(models, photo, kind):
    expected = Segmenter(models["float"]).predict_scores(photo).argmax(-1)
    segmenter = Segmenter(models[kind])
    assert segmenter.num_classes is None
    mask = segmenter.predict(photo)
    assert mask.dtype == np.uint16
    assert (mask == nearest_at_size(expected, photo.shape[:2])).all()
    with pytest.raises(ModelError, match="class indices"):
        segmenter.predict_scores(photo)


def test_labels_tell_how_many_classes_a_mask_output_has(models, photo):
    segmenter = Segmenter(models["mask"], labels=list("abcde"))
    assert (segmenter.output_kind, segmenter.num_classes) == ("mask", 5)
    assert segmenter.predict(photo).dtype == np.uint8
    with pytest.raises(ModelFileError, match="class indices from 0 to 0"):
        Segmenter(models["mask"], labels=["only"]).predict(photo)


def test_a_single_plane_is_thresholded(models, photo):
    segmenter = Segmenter(models["binary"])
    assert segmenter.num_classes == 2
    assert (segmenter.output_kind, segmenter.threshold) == ("logits", 0.0)
    scores = segmenter.predict_scores(photo)
    assert scores.shape == (8, 12, 1)
    low, high = float(scores.min()) - 1, float(scores.max()) + 1
    assert (Segmenter(models["binary"], threshold=low).predict(photo) == 1).all()
    assert (Segmenter(models["binary"], threshold=high).predict(photo) == 0).all()
    middle = Segmenter(models["binary"], threshold=float(np.median(scores))).predict(photo)
    assert set(np.unique(middle)) == {0, 1}


def test_every_source_and_size_of_image(models, photo, tmp_path):
    segmenter = Segmenter(models["float"])
    Image.fromarray(photo).save(tmp_path / "photo.png")
    expected = segmenter.predict(photo)
    for source in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(photo)):
        assert (segmenter.predict(source) == expected).all()
    for size in [(1, 1), (1, 200), (32, 48), (500, 3)]:
        assert segmenter.predict(np.zeros((*size, 3), np.uint8)).shape == size
    with pytest.raises(ImageError):
        segmenter.predict(photo / 255)


def test_threads_share_one_instance(models, photo):
    segmenter = Segmenter(models["float"])
    pictures = [np.roll(photo, shift, axis=1) for shift in range(8)]
    expected = [segmenter.predict(picture) for picture in pictures]
    results = [None] * len(pictures)

    def work(index):
        results[index] = segmenter.predict(pictures[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((got == want).all() for got, want in zip(results, expected, strict=True))


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("two_outputs", "exactly one output"),
        ("pooled", r"\(1, height, width, classes\)"),
        ("gray_input", "one RGB image"),
    ],
)
def test_what_is_no_segmenter_is_refused(models, kind, message, trusted):
    with pytest.raises(ModelFileError, match=message) as caught:
        Segmenter(models[kind], trusted=trusted)
    assert caught.value.repair


@pytest.mark.parametrize("trusted", [False, True])
def test_sizes_that_do_not_fit_the_file(models, trusted):
    with pytest.raises(ModelError, match="leaves its input size open"):
        Segmenter(models["open"], trusted=trusted)
    with pytest.raises(ModelError, match="must equal the input size"):
        Segmenter(models["float"], size=(64, 64), trusted=trusted)
    assert Segmenter(models["float"], size=(32, 48), trusted=trusted).input_size == (32, 48)


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"size": (5, -1)},
        {"size": (1, 2, 3)},
        {"size": 1.5},
        {"size": "512"},
        {"size": True},
        {"num_threads": 0},
        {"num_threads": 2.0},
        {"num_threads": True},
        {"labels": ["a"]},
    ],
)
def test_arguments_out_of_range(models, arguments):
    with pytest.raises(ModelError):
        Segmenter(models["float"], trusted=True, **arguments)


def test_scores_that_are_not_finite_are_an_error(models, photo):
    with pytest.raises(ModelFileError, match="must be finite"):
        Segmenter(models["nan"]).predict(photo)


def test_tensorflow_is_not_imported(models):
    """The runtime stands alone: neither TensorFlow nor Keras, here nor in the child."""
    root = Path(__file__).parents[2]
    code = (
        "import sys; from registry.runtime import Segmenter; import numpy as np\n"
        "print(Segmenter(sys.argv[1]).predict(np.zeros((9, 7, 3), np.uint8)).shape)\n"
        "import registry.runtime.probe\n"
        "assert not {'tensorflow', 'tf_keras', 'keras', 'torch'} & {name.split('.')[0] for name in sys.modules}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(models["float"])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(9, 7)"
