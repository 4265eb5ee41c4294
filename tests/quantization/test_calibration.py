"""Ranges as they are measured."""

import numpy as np
import pytest

import registry
from registry.backend import keras
from registry.config.quantization import CalibrationConfig, QuantizationConfig
from registry.errors import CalibrationError, ModelError, QuantizationError
from registry.quantization import calibrated, quantized
from registry.quantization.calibration import _percentile, _smallest_error


def ranges(model, name):
    variables = model.rounding_layers[name].ranges["output"]
    return float(variables["min"]), float(variables["max"])


def test_min_max_are_the_extremes_in_floating_point(quantized_model, images):
    form = quantized_model.placement.graph.to_keras()
    names = ["conv1_conv", "stack0_block0_out", "stack3_block1_2_conv", "segmentation_output"]
    values = keras.Model(form.inputs, [form.get_layer(name).output for name in names])
    results = values.predict(quantized_model.preprocessor(images), verbose=0)
    for name, result in zip(names, results, strict=True):
        np.testing.assert_allclose(ranges(quantized_model, name), (result.min(), result.max()), rtol=1e-4)
    group = [form.get_layer(f"aspp_conv_{number}").output for number in range(1, 5)]
    joint = np.concatenate(
        [
            part.ravel()
            for part in keras.Model(form.inputs, group).predict(
                quantized_model.preprocessor(images), verbose=0
            )
        ]
    )
    np.testing.assert_allclose(ranges(quantized_model, "aspp_conv_3"), (joint.min(), joint.max()), rtol=1e-4)


def histogram(values, bins=2048):
    counts, edges = np.histogram(values, bins)
    return counts.astype(np.int64), edges


def test_a_percentile_leaves_out_the_rarest():
    values = np.random.default_rng(0).normal(0, 1, 200_000)
    values[:5] = 40.0
    low, high = _percentile(*histogram(values), 99.9)
    expected = np.percentile(values, [0.05, 99.95])
    np.testing.assert_allclose([low, high], expected, atol=0.05)
    whole = _percentile(*histogram(values), 100.0)
    np.testing.assert_allclose(whole, (values.min(), values.max()), atol=0.05)


@pytest.mark.parametrize("outlier", [1.0, 4.0, 40.0])
def test_the_smallest_error_is_that_of_the_rounded_values(outlier):
    """Of the ranges that are tried, none rounds the values themselves better by more than the histogram is coarse."""
    values = np.random.default_rng(1).laplace(0, 1, 100_000)
    values[0], values[1] = outlier * values.max(), outlier * values.min()

    def error(low, high):
        step = (high - low) / 255
        return np.mean((np.clip(np.round(values / step) * step, low, high) - values) ** 2)

    chosen = error(*_smallest_error(*histogram(values), 8))
    best = min(error(share * values.min(), share * values.max()) for share in np.linspace(0.01, 1, 100))
    assert chosen < 1.05 * best + 1e-9


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_outliers_are_cut_off(float_model, images, method):
    model = quantized(float_model, QuantizationConfig())
    calibrated(model, images, CalibrationConfig(method=method, percentile=99.0), progress=False)
    whole = quantized(float_model, QuantizationConfig())
    calibrated(whole, images, CalibrationConfig(), progress=False)
    narrower = 0
    for name, layer in model.rounding_layers.items():
        if "output" in layer.ranges:
            low, high = ranges(model, name)
            lowest, highest = ranges(whole, name)
            assert lowest - 1e-3 * (highest - lowest) <= low <= high <= highest + 1e-3 * (highest - lowest)
            narrower += high - low < 0.99 * (highest - lowest)
    assert narrower > 5


def test_bad_images_and_bad_weights_are_refused(float_model, images):
    with pytest.raises(CalibrationError, match="finite"):
        registry.quantize(float_model, calibration=np.full((2, 64, 64, 3), np.nan))
    with pytest.raises(CalibrationError, match="needs images"):
        registry.quantize(float_model, calibration=images[:0])
    with pytest.raises(ModelError, match="method"):
        registry.quantize(float_model, calibration=images, method="median")
    model = quantized(float_model, QuantizationConfig())
    bias = model.rounding_layers["conv1_conv"].layer.bias
    bias.assign(np.full(bias.shape, np.inf))
    with pytest.raises(QuantizationError, match="NaN or infinity in conv1_conv"):
        calibrated(model, images, CalibrationConfig(), progress=False)
