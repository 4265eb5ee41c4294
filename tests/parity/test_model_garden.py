"""TF Model Garden's checkpoints load by its own names and give its own outputs."""

from pathlib import Path

import numpy as np
import pytest
from check_model_garden import compare, encoder, preset, write_drawn_checkpoint
from golden_models import LARGEST_DIFFERENCE, description_of
from seeded_arrays import garden_array

import registry
from registry.discovery import find_encoder
from registry.errors import WeightsMismatchError
from registry.weights.checkpoints import read_checkpoint

GOLDEN = Path(__file__).parent / "model_garden"


@pytest.mark.parametrize(
    ("name", "outputs", "unused"),
    [
        ("deeplab_v3_plus", 2, ()),
        ("deeplab_v3", 1, ()),
        ("separable_aspp", 2, ()),
        ("mobilenet", 2, ("Conv_1", "Conv_1_bn")),
        ("classifier", 8, ()),
    ],
)
def test_outputs_equal_model_garden(name, outputs, unused):
    model, differences = compare(GOLDEN / f"{name}.npz")
    assert len(differences) == outputs
    assert max(differences.values()) < LARGEST_DIFFERENCE, differences
    report = model.weights_report
    assert (report.fresh, report.unused) == ((), unused)
    assert set(report.loaded) == {layer.name for layer in model.layers if layer.weights}


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """A trainer's checkpoint of DeepLabV3+: description and prefix."""
    description = description_of(GOLDEN / "deeplab_v3_plus.npz")
    names = [name for name, _, _ in description["variables"]]
    # It is a real one: with moments and running averages beside the variables, and counters.
    for part in ("/optimizer/average/", "/ema_base_optimizer/momentum/", "save_counter/", "global_step/"):
        assert any(part in name for name in names)
    return description, write_drawn_checkpoint(tmp_path_factory.mktemp("garden") / "ckpt-7", description)


def test_a_checkpoint_of_the_whole_model_lends_its_backbone(trainer):
    description, prefix = trainer
    given = encoder(description)
    model = registry.build_encoder(given["plugin"], given["variant"], weights=prefix, **given["options"])
    assert model.weights_report.unused == ()
    assert set(model.weights_report.loaded) == {layer.name for layer in model.layers if layer.weights}
    name = "backbone/layer_with_weights-8/_conv2/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    values = model.get_layer("stack1_block1_2_conv").get_weights()[0]
    np.testing.assert_array_equal(values, garden_array(name, values.shape))


def test_other_classes_start_with_a_fresh_classifier(trainer):
    description, prefix = trainer
    model = registry.build(preset(description), num_classes=3, weights=f"{prefix}.index")
    assert model.weights_report.fresh == ("segmentation_output",)


def test_encoders_that_compute_otherwise_refuse_it(trainer):
    _, prefix = trainer
    plugin, spec = find_encoder("resnet", "resnet_101")
    with pytest.raises(WeightsMismatchError, match="pad as TensorFlow does") as caught:
        plugin.convert_weights("resnet_101", "here", read_checkpoint(prefix), spec.options())
    assert "resnet_custom" in str(caught.value)
