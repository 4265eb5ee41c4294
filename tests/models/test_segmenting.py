"""`model.segment` is `Segmenter.segment` on a model in Keras: the same pixels in, the same masks out."""

import io

import numpy as np
import pytest
from PIL import Image
from small_networks import SMALL_PRESET, randomize

import registry
from registry.errors import ImageError, ModelError
from registry.runtime.resample import mask_at_size

SIZE = (64, 96)
PRESET = SMALL_PRESET | {
    "input": {"size": SIZE, "normalization": {"scale": 0.02, "offset": [-2.0, -1.0, 0.5]}}
}


def photograph(height=50, width=133, seed=0):
    """Blobs of colour, of a size that no model takes."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def model():
    return randomize(registry.build(PRESET, weights=None))


def on(model, classes, activation=None):
    """Another classifier on the same backbone: the first classes, or the first against the second."""
    other = registry.DeepLabV3ImageSegmenter(model.backbone, classes, activation, model.preprocessor)
    (kernel,) = model.classifier[0].get_weights()
    kernel = kernel[..., :1] - kernel[..., 1:2] if classes == 1 else kernel[..., :classes]
    other.classifier[0].set_weights([kernel])
    return other


@pytest.fixture(scope="module")
def segmenter(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    registry.export(model, path)
    return registry.load(path)


def test_model_and_exported_file_give_the_same_mask(model, segmenter):
    for photo in (photograph(), photograph(*SIZE), photograph(200, 40, seed=1)):
        mask, exported = model.segment(photo), segmenter.segment(photo)
        assert mask.dtype == exported.dtype == np.uint8
        assert mask.shape == exported.shape == photo.shape[:2]
        assert len(np.unique(mask)) > 2
        # They differ at most where two classes are as good as equal.
        assert (mask != exported).mean() < 1e-3
        np.testing.assert_array_equal(segmenter.predict(photo), exported)


def test_the_definition(model):
    photo = photograph()
    stretched = np.asarray(Image.fromarray(photo).resize(SIZE[::-1], Image.Resampling.BILINEAR), np.float32)
    logits = model(stretched[None] * 0.02 + np.float32([-2, -1, 0.5])).numpy()[0]
    np.testing.assert_array_equal(model.segment(photo), mask_at_size(logits, photo.shape[:2], 0.0))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_logits_are_resized_not_probabilities(model, activation):
    """As in the exported file: between two pixels, probabilities and logits do not cross at the same place."""
    squashed = on(model, 5, activation)
    np.testing.assert_array_equal(squashed.segment(photograph(), size=SIZE), model.segment(photograph()))
    assert squashed.predict(photograph(*SIZE)[None]).max() <= 1


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_single_plane_is_compared_with_zero(model, activation):
    single = on(model, 1, activation)
    mask = single.segment(photograph(*SIZE), size=SIZE)
    scores = on(model, 1).predict(photograph(*SIZE)[None])[0, ..., 0]
    np.testing.assert_array_equal(mask, scores > 0)
    assert set(np.unique(mask)) == {0, 1}


def test_it_takes_what_people_have(model, tmp_path):
    photo = photograph()
    Image.fromarray(photo).save(tmp_path / "größe.png")
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "PNG")
    expected = model.segment(photo)
    for image in (
        tmp_path / "größe.png",
        str(tmp_path / "größe.png"),
        Image.fromarray(photo),
        stream.getvalue(),
    ):
        np.testing.assert_array_equal(model.segment(image), expected)
    with pytest.raises(ImageError, match="uint8"):
        model.segment(photo / 255.0)
    with pytest.raises(ImageError, match="must exist"):
        model.segment("absent.jpg")


def test_the_size_is_the_graphs_else_the_presets_else_the_callers(model):
    photo = photograph()
    assert not np.array_equal(model.segment(photo, size=(32, 32)), model.segment(photo))
    np.testing.assert_array_equal(model.segment(photo, size=64), model.segment(photo, size=(64, 64)))
    nameless = on(model, 5)
    with pytest.raises(ModelError, match="where neither the model nor its preset does"):
        nameless.segment(photo)
    np.testing.assert_array_equal(nameless.segment(photo, size=SIZE), model.segment(photo))


def test_a_graph_of_fixed_size(model):
    fixed = registry.build(PRESET, weights=None, image_shape=(*SIZE, 3), **{"input.size": [128, 128]})
    fixed.set_weights(model.get_weights())
    np.testing.assert_array_equal(fixed.segment(photograph()), model.segment(photograph()))
    with pytest.raises(ModelError, match="built for 64×96"):
        fixed.segment(photograph(), size=128)


@pytest.mark.parametrize("size", [0, (64,), (64, 64, 3), "64x64", 64.0, (True, 64)])
def test_wrong_sizes(model, size):
    with pytest.raises(ModelError, match="`size` must say"):
        model.segment(photograph(), size=size)


def test_a_size_that_the_strides_do_not_divide(model):
    with pytest.raises(ModelError, match="multiple of 16"):
        model.segment(photograph(), size=(60, 64))


def test_scores_that_are_not_finite(model):
    broken = on(model, 5)
    broken.classifier[0].set_weights([np.full_like(broken.classifier[0].get_weights()[0], np.nan)])
    with pytest.raises(ModelError, match="must be finite"):
        broken.segment(photograph(), size=32)


def test_new_weights_are_seen_at_once(model):
    other = on(model, 5, "softmax")
    before = other.segment(photograph(), size=SIZE)
    kernel = other.classifier[0].get_weights()[0]
    other.classifier[0].set_weights([kernel[..., ::-1]])
    np.testing.assert_array_equal(other.segment(photograph(), size=SIZE), 4 - before)


def test_names_and_colours_are_those_of_the_preset(model):
    assert (model.labels, model.palette) == ((), ())
    assert on(model, 2).labels == ()
    labels = [{"name": name, "color": [1, 2, 3]} for name in "ab"]
    for classes, names in ((2, ("a", "b")), (1, ())):  # one plane makes a mask of two values
        other = on(model, classes)
        other.set_preset_config(
            registry.describe(PRESET, num_classes=classes, labels=labels[:classes]).config
        )
        assert other.labels == names
        assert other.palette == ((1, 2, 3),) * len(names)


def test_it_leaves_no_part_in_the_model(model):
    other = on(model, 5, "softmax")
    before = [part.name for part in other.submodules]
    other.segment(photograph(), size=32)
    assert [part.name for part in other.submodules] == before
    assert set(other._trackable_children()) == set(on(model, 5, "softmax")._trackable_children())
