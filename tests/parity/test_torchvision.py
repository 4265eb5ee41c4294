"""torchvision's DeepLabV3 loads by its own names and gives torchvision's own outputs."""

from pathlib import Path

from check_torchvision import compare
from golden_models import LARGEST_DIFFERENCE


def test_outputs_equal_torchvision():
    model, differences = compare(Path(__file__).parent / "torchvision" / "deeplabv3_small.npz")
    assert len(differences) == 2
    assert max(differences.values()) < LARGEST_DIFFERENCE, differences
    report = model.weights_report
    assert report.fresh == ()
    assert set(report.loaded) == {layer.name for layer in model.layers if layer.weights}
    # Its auxiliary classifier has no place here, and is the only part without one.
    assert report.unused
    assert all(name.startswith("aux_classifier.") for name in report.unused)
