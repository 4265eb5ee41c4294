"""What the caller leaves open, and what a model cannot do."""

import numpy as np
import pytest
from known_scores import Formula, oracle

from registry.errors import ModelError, ModelFileError
from registry.evaluation.protocol import checked_size, resolve_protocol
from registry.evaluation.subject import Subject, subject_of
from registry.models.preprocessing import SegmentationPreprocessor


def subject(**attributes):
    known = {
        "name": "m", "kind": "keras", "description": "", "run": None, "output": "logits", "squashing": "softmax",
        "threshold": 0.0, "num_classes": 5,
    }  # fmt: skip
    return Subject(**{**known, **attributes})


OPEN = subject(size_multiple=(16, 16), usual_size=(512, 512))
NAMELESS = subject(size_multiple=(16, 16))
FIXED = subject(input_size=(256, 320))
MASKS = subject(input_size=(256, 320), output="mask")


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (OPEN, {}, {"name": "whole"}),
        (FIXED, {}, {"name": "stretched", "size": (256, 320)}),
        (MASKS, {}, {"name": "stretched", "size": (256, 320)}),
        (OPEN, {"name": "stretched"}, {"name": "stretched", "size": (512, 512)}),
        (OPEN, {"name": "stretched", "size": (64, 96)}, {"name": "stretched", "size": (64, 96)}),
        (OPEN, {"size": (528, 528)}, {"name": "whole", "size": (528, 528)}),
        (FIXED, {"name": "whole"}, {"name": "whole", "size": (256, 320)}),
        (OPEN, {"name": "sliding"}, {"name": "sliding", "window": (512, 512), "stride": (341, 341)}),
        (FIXED, {"name": "sliding"}, {"name": "sliding", "window": (256, 320), "stride": (171, 213)}),
        (
            OPEN,
            {"name": "sliding", "window": (768, 768), "stride": (512, 512), "flip": True},
            {"name": "sliding", "window": (768, 768), "stride": (512, 512), "flip": True},
        ),
        (OPEN, {"scales": [0.5, 1]}, {"name": "whole", "scales": (0.5, 1.0)}),
    ],
)
def test_what_is_left_open_follows_from_the_model(model, options, expected):
    protocol = resolve_protocol(model, **options)
    everything = {"scales": (1.0,), "flip": False, "size": None, "window": None, "stride": None, **expected}
    assert {key: getattr(protocol, key) for key in everything} == everything
    assert protocol.to_dict()["description"] == str(protocol)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (OPEN, {"name": "slidng"}, "did you mean 'sliding'"),
        (OPEN, {"scales": ()}, "`scales`"),
        (OPEN, {"scales": (1.0, 1.0)}, "different numbers"),
        (OPEN, {"scales": (0.0,)}, "above 0"),
        (OPEN, {"scales": (float("nan"),)}, "`scales`"),
        (OPEN, {"scales": "1"}, "`scales`"),
        (OPEN, {"scales": (True,)}, "`scales`"),
        (OPEN, {"size": (513, 513)}, r"size=\(528, 528\)"),
        (OPEN, {"name": "sliding", "window": (769, 769)}, r"window=\(784, 784\)"),
        (OPEN, {"name": "sliding", "window": (64, 64), "stride": (64, 65)}, "windows must touch"),
        (OPEN, {"name": "sliding", "window": (64, 64), "size": (32, 32)}, "the window is the input size"),
        (OPEN, {"window": (64, 64)}, "protocol='sliding'"),
        (OPEN, {"stride": (64, 64)}, "protocol='sliding'"),
        (NAMELESS, {"name": "stretched"}, "needs `size`"),
        (NAMELESS, {"name": "sliding"}, "needs `window`"),
        (FIXED, {"size": (512, 512)}, "whose input is 256×320"),
        (FIXED, {"name": "sliding", "window": (512, 512)}, "whose input is 256×320"),
        (FIXED, {"scales": (0.5, 1.0)}, "protocol='sliding'"),
        (MASKS, {"flip": True}, "class indices"),
        (MASKS, {"name": "whole", "scales": (0.5,)}, "class indices"),
        (MASKS, {"name": "sliding"}, "output='logits'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_repair(model, options, message):
    with pytest.raises(ModelError, match=message):
        resolve_protocol(model, **options)


def test_a_protocol_says_itself():
    assert str(resolve_protocol(OPEN)) == "whole image, padded"
    assert str(resolve_protocol(FIXED)) == "stretched to 256×320"
    both = resolve_protocol(OPEN, "sliding", scales=(0.75, 1.0), flip=True)
    assert str(both) == "sliding window 512×512, stride 341×341, scales 0.75, 1, flipped"


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "512", (1, 2, 3), (512, None), 20000])
def test_sizes_are_whole_numbers(size):
    with pytest.raises(ModelError, match="`window` must be one or two whole numbers"):
        checked_size(size, "window")
    assert checked_size(512, "window") == (512, 512)
    assert checked_size([512, 1024], "window") == (512, 1024)


@pytest.mark.parametrize("model", [3, object(), "deeplab_v3_plus_resnet50_pascalvoc", "model.keras"])
def test_what_is_no_model_is_told_what_makes_one(model):
    with pytest.raises(ModelError, match=r"registry\.build"):
        subject_of(model)


def test_a_file_that_cannot_be_run_is_no_model(tmp_path):
    with pytest.raises(ModelFileError, match="must exist"):
        subject_of(tmp_path / "absent.tflite")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((None, None, None, 1), (None, None, None, 5)),
        ((None, 64, None, 3), (None, 64, None, 5)),
        ((None, None, None, 3), (None, 5)),
        ((None, None, None, 3), [(None, None, None, 5), (None, None, None, 5)]),
    ],
)
def test_a_keras_model_maps_images_to_scores(given, made):
    model = oracle(5)
    model.input_shape, model.output_shape = given, made
    with pytest.raises(ModelError, match="maps images"):
        subject_of(model)


def test_scores_must_be_finite():
    found = subject_of(Formula(lambda pixels: np.full((4, 4, 2), np.nan, np.float32), 2))
    with pytest.raises(ModelError, match="32 of 32 are NaN"):
        found.run(np.zeros((4, 4, 3), np.uint8))


def test_a_preprocessor_scales_but_does_not_resize():
    """As KerasHub's directories bring one: the protocol decides on sizes."""
    model = Formula(lambda pixels: pixels[..., :2], 2)
    model.preprocessor = preprocessor = SegmentationPreprocessor(
        image_size=(8, 8), scale=2.0, offset=1.0, crop_to_aspect_ratio=True
    )
    scores = subject_of(model).run(np.full((6, 20, 3), 3, np.uint8))
    assert scores.shape == (6, 20, 2)
    assert (scores == 7).all()
    assert model.preprocessor is preprocessor


def test_the_activation_of_a_model_from_elsewhere_is_that_of_its_last_layer():
    class Layer:
        @staticmethod
        def get_config():
            return {"activation": "softmax"}

    model = Formula(lambda pixels: np.full((2, 2, 4), 0.25, np.float32), 4)
    model.layers = (Layer(),)
    del Formula.activation
    try:
        np.testing.assert_allclose(
            subject_of(model).run(np.zeros((2, 2, 3), np.uint8)), np.log(0.25), rtol=1e-6
        )
    finally:
        Formula.activation = None


def test_a_keras_segmenter_tells_what_it_is(small_model):
    found = subject_of(small_model)
    assert found.kind == "keras"
    assert found.description == "Keras model, deeplab_v3_plus, resnet_custom, output stride 16"
    assert (found.num_classes, found.input_size, found.usual_size, found.size_multiple) == (
        5, None, (512, 512), (16, 16),
    )  # fmt: skip


def test_a_file_tells_what_it_is(small_file):
    found = subject_of(small_file)
    assert (found.name, found.kind, found.output, found.num_classes) == (
        "small.tflite",
        "tflite",
        "logits",
        5,
    )
    assert found.description == ".tflite file, float32, input 96×96, logits"
    assert (found.input_size, found.threshold) == ((96, 96), 0.0)
    assert subject_of(found) is found
