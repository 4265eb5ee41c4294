"""torchvision's DeepLabV3 loads by its own names and gives torchvision's own outputs."""

from pathlib import Path

import pytest
from check_torchvision import compare, encoder, preset
from golden_models import LARGEST_DIFFERENCE, description_of
from torch_files import loaded

import registry
from registry.errors import WeightsMismatchError


@pytest.mark.parametrize("name", ["deeplabv3_small", "mobilenet_v3_small"])
def test_outputs_equal_torchvision(name):
    model, differences = compare(Path(__file__).parent / "torchvision" / f"{name}.npz")
    assert len(differences) == 2
    assert max(differences.values()) < LARGEST_DIFFERENCE, differences
    report = model.weights_report
    assert report.fresh == ()
    assert set(report.loaded) == {layer.name for layer in model.layers if layer.weights}
    # Its auxiliary classifier has no place here, and is the only part without one.
    assert report.unused
    assert all(name.startswith("aux_classifier.") for name in report.unused)


def test_a_mobilenet_that_computes_otherwise_is_refused():
    description = description_of(Path(__file__).parent / "torchvision" / "mobilenet_v3_small.npz")
    config = preset(description)
    config["encoder"]["options"] |= {"norm_epsilon": 1e-5, "early_rate": False}
    with pytest.raises(WeightsMismatchError, match=r'"norm_epsilon": 0.001, "early_rate": true') as caught:
        loaded(lambda file: registry.build(config, weights=file), description["variables"])
    assert caught.value.received == "encoder 'mobilenet_v3_small_custom'"


def test_imagenet_names_load_into_the_encoder():
    description = description_of(Path(__file__).parent / "torchvision" / "mobilenet_v3_small.npz")
    variables = [
        (f"features.{name.removeprefix('backbone.')}", shape)
        for name, shape in description["variables"]
        if name.startswith("backbone.")
    ]
    given = encoder(description)
    model = loaded(
        lambda file: registry.build_encoder(
            given["plugin"], given["variant"], weights=file, **given["options"]
        ),
        variables,
    )
    assert set(model.weights_report.loaded) == {layer.name for layer in model.layers if layer.weights}
    assert model.weights_report.unused == ()
