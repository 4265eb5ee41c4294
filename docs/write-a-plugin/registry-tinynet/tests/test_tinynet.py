"""TinyNet keeps the promises of every encoder, and one of its own: its width."""

from __future__ import annotations

import numpy as np
import pytest
import registry
from registry.testing import conformance

TestTinyNet = conformance("tinynet")


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_width_scales_every_level(width: float):
    encoder = registry.build_encoder("tinynet", "tinynet", width=width)
    channels = [tensor.shape[-1] for tensor in encoder.pyramid_outputs.values()]
    assert channels == [width * count for count in (16, 32, 64, 96, 128)]


def test_preset_builds():
    model = registry.build("deeplab_v3_plus_tinynet", weights=None)
    assert model(np.zeros((1, 64, 96, 3), "float32")).shape == (1, 64, 96, 21)
