"""segmentation_models.pytorch's DeepLabs load by its own names and give its own outputs."""

from pathlib import Path

import numpy as np
import pytest
from check_segmentation_models import compare, preset
from golden_models import LARGEST_DIFFERENCE, description_of
from seeded_arrays import torch_array
from torch_files import loaded

import registry
from registry.errors import WeightsMismatchError

GOLDEN = Path(__file__).parent / "segmentation_models"


@pytest.mark.parametrize("name", ["plus", "plus_stride_8", "v3", "timm"])
def test_outputs_equal_segmentation_models(name):
    model, differences = compare(GOLDEN / f"{name}.npz")
    assert len(differences) == 2
    assert max(differences.values()) < LARGEST_DIFFERENCE, differences
    report = model.weights_report
    assert (report.fresh, report.unused) == ((), ())
    assert set(report.loaded) == {layer.name for layer in model.layers if layer.weights}


@pytest.fixture
def plus():
    description = description_of(GOLDEN / "plus.npz")
    return preset(description), description["variables"]


def load(variables, config):
    return loaded(lambda file: registry.build(config, weights=file), variables)


def test_what_no_file_shows_must_be_in_the_preset(plus):
    config, variables = plus
    config["architecture"] |= {"align_corners": False}
    config["architecture"]["aspp"] |= {"output_convolution": "none"}
    with pytest.raises(WeightsMismatchError) as caught:
        load(variables, config)
    assert caught.value.received == "align_corners: false, aspp.output_convolution: none"
    assert "align_corners: true, aspp.output_convolution: separable" in caught.value.repair


def test_an_encoder_that_was_dilated_otherwise_is_refused(plus):
    config, variables = plus
    config["encoder"]["options"] = {}
    with pytest.raises(WeightsMismatchError, match=r'with the options \{"early_rate": true\}'):
        load(variables, config)
    config["encoder"] |= {"plugin": "mobilenet", "variant": "mobilenet_v2_100"}
    with pytest.raises(WeightsMismatchError, match="'mobilenet_v2_100', which has no early_rate"):
        load(variables, config)
    # Undilated, there is no difference.
    config["encoder"] = {"plugin": "resnet", "variant": "resnet_18", "output_stride": 32}
    config["architecture"]["upsampling_size"] = "auto"
    assert load(variables, config).weights_report.fresh == ()


def test_the_encoder_alone_loads_where_the_whole_is_refused(plus):
    _, variables = plus
    config = {
        "encoder": {"plugin": "resnet", "variant": "resnet_18"},
        "architecture": {"name": "deeplab_v3"},
        "num_classes": 3,
    }
    with pytest.raises(WeightsMismatchError, match="encoder_weights"):
        load(variables, config)
    model = loaded(lambda file: registry.build(config, encoder_weights=file), variables)
    report = model.weights_report
    assert set(report.loaded) == {layer.name for layer in model.encoder.layers if layer.weights}
    assert "segmentation_output" in report.unused
    np.testing.assert_array_equal(
        model.get_layer("conv1_conv").get_weights()[0].transpose(3, 2, 0, 1),
        torch_array("encoder.conv1.weight", (64, 3, 7, 7)),
    )
