"""Committed KerasHub directories load and give KerasHub's own outputs."""

from pathlib import Path

import numpy as np
import pytest
from check_keras_hub_parity import compare

import registry

PRESETS = Path(__file__).parent / "keras_hub_presets"
DIRECTORIES = sorted(path for path in PRESETS.iterdir() if path.is_dir())


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: path.name)
def test_outputs_equal_keras_hub(directory):
    rows = compare(directory)
    assert len(rows) == 2
    assert all(row.ok for row in rows), "\n".join(map(str, rows))


def test_a_directory_builds_like_a_preset_and_reports_what_it_loaded():
    model = registry.build(PRESETS / "resnet_v1_segmenter")
    assert model.num_classes == 4
    assert set(model.weights_report.loaded) == {layer.name for layer in model.layers if layer.weights}
    assert model.weights_report.fresh == ()
    assert model.preset_config.encoder.options["block_type"] == "basic_block"


def test_the_base_class_gives_the_subclass_of_the_preset():
    directory = PRESETS / "resnet_vd_backbone_sharded"
    assert type(registry.Backbone.from_preset(directory)) is registry.DeepLabV3Backbone
    segmenter = registry.ImageSegmenter.from_preset(PRESETS / "resnet_v1_segmenter", load_weights=False)
    assert type(segmenter) is registry.DeepLabV3ImageSegmenter
    assert segmenter.weights_report is None


def test_another_number_of_classes_keeps_the_backbone_and_starts_a_fresh_classifier():
    model = registry.build(PRESETS / "resnet_v1_segmenter", num_classes=7)
    reference = registry.build(PRESETS / "resnet_v1_segmenter")
    assert model.output_shape[-1] == 7
    assert model.weights_report.fresh == ("segmentation_output",)
    np.testing.assert_array_equal(
        model.get_layer("conv_projection").get_weights()[0],
        reference.get_layer("conv_projection").get_weights()[0],
    )


def test_a_backbone_directory_as_a_segmenter_warns_of_its_fresh_classifier():
    directory = PRESETS / "resnet_v2_backbone"
    with pytest.raises(registry.RegistryError, match="must be given"):
        registry.build(directory)
    assert registry.build(directory, num_classes=3).weights_report.fresh == ("segmentation_output",)
    yaml_of_same_shape = registry.build(directory, num_classes=3, weights=None).preset_config.model_dump(
        mode="json"
    )
    with pytest.warns(registry.RegistryWarning, match="holds no classifier"):
        registry.build(yaml_of_same_shape, weights=directory)
