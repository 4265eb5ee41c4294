"""Does the encoder reach a phone: float32, int8, and ready for quantization-aware training?"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry.backend import keras, tf
from registry.exporting import export
from registry.rewrites import inference_form
from registry.testing.outcomes import Finding, Note
from registry.testing.subject import Subject

__all__ = ["check_float32", "check_int8", "check_quantization_aware"]

_CALIBRATION_IMAGES = 8
_STOCK_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


def check_float32(subject: Subject) -> Iterator[Finding]:
    """Export a DeepLabV3 on the encoder: builtin and native operations only, equal to Keras within 1e-3."""
    dilated = [
        layer.name
        for layer in subject.encoder(min(subject.strides)).layers
        if type(layer) in _STOCK_CONVOLUTIONS and max(layer.dilation_rate) > 1
    ]
    if dilated:
        yield Finding(
            "dilated convolutions must be native at every size: those of tf_keras rearrange their input and back, "
            "unless its size happens to be a multiple of the rate",
            f"tf_keras layers with a dilation_rate: {', '.join(dilated[:6])}",
            "use registry.models.layers.conv2d and depthwise_conv2d",
        )
    yield from _export_findings(subject, "float32")


def check_int8(subject: Subject) -> Iterator[Finding]:
    """Export it with int8 weights and activations: nothing may stay in float."""
    yield from _export_findings(subject, "int8")


def _export_findings(subject: Subject, mode: Any) -> Iterator[Finding]:
    model = subject.segmenter
    pixels = None
    if mode == "int8":
        pixels = subject.pixels(subject.probe, subject.probe, count=_CALIBRATION_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        # What is not native, not builtin, not integer or not equal to Keras is an ExportError, hence a finding.
        export(
            model,
            Path(folder, "encoder.tflite"),
            size=subject.probe,
            quantization=mode,
            calibration=pixels,
            progress=False,
        )
    yield from ()


def check_quantization_aware(subject: Subject) -> Iterator[Finding | Note]:
    """Look at every layer of the inference form as tensorflow-model-optimization will.

    A layer class that its registry does not know needs a QuantizeConfig; that is possible for any layer that is
    rebuilt from its configuration, and impossible for one that is not.
    """
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit.default_8bit_quantize_registry import (  # noqa: E501
        Default8BitQuantizeRegistry,
    )

    registry = Default8BitQuantizeRegistry()
    form, _ = inference_form(subject.randomized(min(subject.strides)), (subject.probe, subject.probe))
    unknown: Counter[str] = Counter()
    for layer in form.layers:
        if isinstance(layer, keras.layers.InputLayer) or registry.supports(layer):
            continue
        obstacle = _obstacle(layer)
        if obstacle:
            yield Finding(
                "quantization-aware training must be able to annotate every layer of the inference form",
                f"{layer.name} ({type(layer).__name__}): {obstacle}",
                "build from layers of tf_keras and registry.models, or register the class with "
                "keras.saving.register_keras_serializable and complete its get_config",
            )
        else:
            unknown[type(layer).__name__] += 1
    if unknown:
        counted = ", ".join(f"{name} ×{count}" for name, count in sorted(unknown.items()))
        yield Note(f"layers that need a QuantizeConfig of their own: {counted}")


def _obstacle(layer: Any) -> str:
    """Why no QuantizeConfig could help; empty if one could."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return "a batch normalization that no rewrite removes"
    if isinstance(layer, keras.Model | keras.layers.Lambda) or type(layer).__name__.endswith("Lambda"):
        return "not a layer of its own"
    name = keras.saving.get_registered_name(type(layer))
    if not type(layer).__module__.startswith("tf_keras.") and ">" not in name:
        return "its class is not registered, so no quantized model of it can be loaded"
    if len(tf.nest.flatten(layer.output)) != 1:
        return "it gives several tensors"
    try:
        rebuilt = type(layer).from_config(layer.get_config())
    except Exception as error:  # whatever the plugin's own class raises
        return f"it cannot be rebuilt from its configuration: {type(error).__name__}: {error}"
    return (
        "" if rebuilt.get_config() == layer.get_config() else "its configuration does not survive a rebuild"
    )
