import pytest

from registry.catalog import describe, resolve
from registry.errors import ModelError
from registry.metadata import SegmenterMetadata, segmenter_metadata

PRESET = "deeplab_v3_plus_resnet50_pascalvoc"


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ("a\nb",)},
        {"labels": ("",)},
        {"labels": ("a\u2028b",)},
        {"labels": ("a",), "colors": ((0, 0, 0), (1, 1, 1))},
        {"colors": ((0, 0, 0),)},
        {"labels": ("a",), "colors": ((0, 0, 256),)},
        {"labels": ("a",), "colors": ((0, 0),)},
        {"mean": (0.0, 1.0), "std": (1.0, 1.0)},
        {"mean": (0.0,), "std": (1.0, 1.0, 1.0)},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
        {"input_range": (1.0, 1.0)},
        {"size": (0, 5)},
        {"activation": "relu"},
        {"output": "image"},
        {"name": "a\0b"},
        {"description": "x" * 100_000},
    ],
)
def test_what_cannot_be_written_is_refused(fields):
    with pytest.raises(ModelError):
        SegmenterMetadata(**fields)


def test_a_preset_describes_its_model():
    config = describe(PRESET).config
    metadata = segmenter_metadata(config, output="logits", size=(512, 512), name=PRESET, quantization="int8")
    assert metadata.labels == tuple(label.name for label in config.labels)
    assert metadata.colors[0] == (0, 0, 0)
    assert (metadata.activation, metadata.output) == ("softmax", "logits")
    assert not metadata.normalizes
    assert metadata.extra["architecture"] == "deeplab_v3_plus"
    assert metadata.extra["quantization"] == "int8"


@pytest.mark.parametrize(
    ("output", "classes", "declared", "expected"),
    [
        ("logits", 5, None, "softmax"),
        ("logits", 1, None, "sigmoid"),
        ("logits", 5, "sigmoid", "sigmoid"),
        ("probabilities", 5, "softmax", "none"),
        ("mask", 5, None, "none"),
    ],
)
def test_the_activation_is_what_the_graph_lacks(output, classes, declared, expected, small_preset):
    config = resolve({**small_preset, "num_classes": classes, "activation": declared}).config
    assert segmenter_metadata(config, output=output).activation == expected
    assert (
        segmenter_metadata(None, output=output, num_classes=classes, activation="none").activation == "none"
    )


def test_labels_of_another_number_of_classes_are_left_out():
    config = describe(PRESET).config
    assert segmenter_metadata(config, output="logits", num_classes=3).labels == ()
    assert segmenter_metadata(None, output="logits", num_classes=3).labels == ()
