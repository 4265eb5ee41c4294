"""Calibration images: every source gives the same pixels, and what would spoil a file is refused before converting."""

import numpy as np
import pytest
from PIL import Image

import registry
from registry.backend import tf
from registry.calibration import calibration_images
from registry.errors import ExportError, ModelError, RegistryWarning

SIZE = (32, 48)


@pytest.fixture
def folder(images, tmp_path):
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{index:02}.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image either")
    return tmp_path


def test_every_source_gives_the_same_images(images, folder):
    expected = calibration_images(images, SIZE)
    assert expected.shape == (10, *SIZE, 3)
    assert expected.dtype == np.uint8
    pairs = tf.data.Dataset.from_tensor_slices((images, images[..., 0]))
    for source in (
        folder,
        str(folder),
        sorted(folder.glob("[0-9]*.png")),
        [str(path) for path in sorted(folder.glob("[0-9]*.png"))],
        list(images),
        images.astype(np.float32),
        images.astype(np.int64),
        tf.data.Dataset.from_tensor_slices(images),
        tf.data.Dataset.from_tensor_slices(images.astype(np.float32)).batch(4),
        pairs,
        pairs.batch(3),
        pairs.map(lambda image, mask: {"image": image, "mask": mask}),
    ):
        np.testing.assert_array_equal(calibration_images(source, SIZE), expected)


def test_folders_are_searched_in_the_order_of_paths(images, folder):
    (folder / "more").mkdir()
    (folder / "09.png").rename(folder / "more" / "first.PNG")
    np.testing.assert_array_equal(calibration_images(folder, SIZE), calibration_images(images, SIZE))


def test_images_are_resized_as_the_runtime_does(images):
    large = np.asarray(Image.fromarray(images[0]).resize((200, 100)))
    given = calibration_images([large] * 8, (64, 64))
    np.testing.assert_array_equal(
        given[1], np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BILINEAR))
    )


def test_the_limit_takes_evenly_spaced_images():
    values = np.arange(100, 120, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (20, 4, 4, 3)).copy()
    images[:, 0, 0] += 1
    chosen = calibration_images(images, (4, 4), limit=10)
    assert chosen[:, 1, 1, 0].tolist() == list(range(100, 120, 2))
    endless = tf.data.Dataset.from_tensor_slices(images).repeat()
    assert len(calibration_images(endless, (4, 4), limit=15)) == 15


def test_black_and_white_occur_once(images):
    assert images.min() > 0
    assert images.max() < 255
    given = calibration_images(images, (64, 64))
    changed = np.argwhere(given != images)
    assert changed.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
    assert given[0, 0, 0].tolist()[:2] == [0, 255]
    whole = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), (8, 16, 16, 3))
    np.testing.assert_array_equal(calibration_images(whole, (16, 16)), whole)


def spoilt(images, value, dtype=np.float32):
    copy = images.astype(dtype)
    copy[3, 5, 5, 1] = value
    return copy


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda images: spoilt(images, np.nan), "image 3: 1 of .* NaN or infinite"),
        (lambda images: spoilt(images, np.inf), "image 3: 1 of .* NaN or infinite"),
        (lambda images: np.full((8, 4, 4, 3), np.nan), "NaN or infinite"),
        (lambda images: spoilt(images, -1), r"in 0…255(.|\n)*image 3: values -1…\d+"),
        (lambda images: spoilt(images, 256), r"image 3: values \d+…256"),
        (lambda images: images / 127.5 - 1, "before any normalization"),
        (lambda images: images / 255, "multiply images in 0…1 by 255"),
        (lambda images: np.full((9, 4, 4, 3), 7, np.uint8), "show something"),
        (lambda images: images[:0], "calibration needs images"),
        (lambda images: [], "calibration needs images"),
        (lambda images: tf.data.Dataset.from_tensor_slices(images).take(0), "calibration needs images"),
        (lambda images: images[0], r"shape \(N, height, width, 3\)"),
        (lambda images: images[..., :1], r"shape \(64, 64, 1\)"),
        (lambda images: images.transpose(0, 3, 1, 2), r"shape \(3, 64, 64\)"),
        (lambda images: [images[0], images[:2]], r"image 1: shape \(2, 64, 64, 3\)"),
        (lambda images: images > 5, "bool"),
        (lambda images: images.astype(complex), "complex128"),
        (lambda images: [np.empty((0, 4, 3), np.uint8)], r"shape \(0, 4, 3\)"),
        (lambda images: tf.data.Dataset.from_tensors({"photo": images}), "'image' or 'images'"),
        (lambda images: "absent", "folder(.|\n)*absent"),
        (lambda images: ["absent.png"], "readable(.|\n)*absent.png"),
    ],
)
def test_what_would_spoil_the_file_is_refused(trained_model, images, tmp_path, make, message):
    with pytest.raises(ExportError, match=message) as caught:
        registry.export(
            trained_model,
            tmp_path / "m.tflite",
            size=64,
            quantization="int8",
            calibration=make(images),
            progress=False,
        )
    assert "repair:" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(folder):
    (folder / "05.png").write_bytes(b"no image")
    with pytest.raises(ExportError, match=r"05\.png"):
        calibration_images(folder, SIZE)


@pytest.mark.parametrize("source", [5, b"photos", {"image": 1}, object()])
def test_sources_of_another_kind(source):
    with pytest.raises(ModelError, match="must be a folder"):
        calibration_images(source, SIZE)


@pytest.mark.parametrize("limit", [0, -1, 2.0, True, "8"])
def test_wrong_limits(images, limit):
    with pytest.raises(ModelError, match="positive number"):
        calibration_images(images, SIZE, limit=limit)


def test_few_images_bring_a_warning(images):
    with pytest.warns(RegistryWarning, match="7 calibration image"):
        calibration_images(images[:7], SIZE)


def test_dark_integers_are_pixels(images):
    assert calibration_images(images // 128, SIZE).shape == (10, *SIZE, 3)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_integer_modes_ask_for_images(trained_model, tmp_path, quantization):
    with pytest.raises(ExportError, match="calibration='photos/'"):
        registry.export(trained_model, tmp_path / "m.tflite", size=64, quantization=quantization)


def test_float_modes_refuse_images(trained_model, images, tmp_path):
    with pytest.raises(ExportError, match="would be ignored"):
        registry.export(trained_model, tmp_path / "m.tflite", size=64, calibration=images)
