"""What every plugin should test: it is found, it is light, it keeps its promise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import registry
from registry.backend import keras
from registry.pyramid import check_pyramid

from registry_tinynet import TINYNET, TinyNetOptions, registry_build_encoder


def build(output_stride: int, options: TinyNetOptions) -> keras.Model:
    inputs = keras.layers.Input((None, None, 3))
    return keras.Model(inputs, registry_build_encoder(inputs, output_stride, options))


def test_listing_imports_no_tensorflow():
    program = "import sys, registry_tinynet; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("output_stride", TINYNET.output_strides)
@pytest.mark.parametrize("width", [0.5, 1.0])
def test_pyramid(output_stride: int, width: float):
    options = TinyNetOptions(width=width)
    model = build(output_stride, options)
    check_pyramid(
        {size: model.compute_output_shape((1, *size, 3)) for size in [(64, 64), (96, 160)]},
        channels=TINYNET.channels_for(options),
        output_stride=output_stride,
        encoder="tinynet",
        origin="this test",
    )


def test_parameters():
    assert build(32, TinyNetOptions()).count_params() == TINYNET.parameters


@pytest.mark.parametrize("output_stride", [8, 16])
def test_atrous_rates_replace_strides_exactly(output_stride: int):
    strided, dilated = build(32, TinyNetOptions()), build(output_stride, TinyNetOptions())
    dilated.set_weights(strided.get_weights())
    image = np.random.default_rng(0).normal(size=(1, 256, 256, 3)).astype("float32")
    step = 32 // output_stride
    np.testing.assert_allclose(
        dilated(image)["P5"][:, ::step, ::step], strided(image)["P5"], rtol=1e-4, atol=1e-6
    )


def test_preset_builds():
    model = registry.build("deeplab_v3_plus_tinynet", weights=None)
    assert model(np.zeros((1, 64, 96, 3), "float32")).shape == (1, 64, 96, 21)
