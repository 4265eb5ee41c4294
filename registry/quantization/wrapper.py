"""A layer that computes with rounded kernels and gives rounded results, on tensorflow-model-optimization's wrapper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import QuantizeWrapperV2

from registry.backend import keras, tf
from registry.quantization.quantizers import FixedRange, KernelRounding, RangeObserver
from registry.quantization.rules import Fixed, Own, Rule, Same, Steps

__all__ = ["RESULT", "LayerQuantization", "QuantizedLayer"]

RESULT = "output"
"""Name of a layer's own result among those that are rounded."""


class LayerQuantization(tfmot.quantization.keras.QuantizeConfig):
    """How one layer is quantized: tensorflow-model-optimization's `QuantizeConfig`, from a rule.

    Args:
        rule: of the layer.
        weight_bits: of kernels.
        activation_bits: of results.
        momentum: of the observers.
        shared: variables of the range of a group of tensors; the first layer of the group makes them.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        weight_bits: int = 8,
        activation_bits: int = 8,
        momentum: float = 0.99,
        shared: dict[str, Any] | None = None,
    ) -> None:
        self.rule = rule
        self.weight_bits, self.activation_bits, self.momentum = weight_bits, activation_bits, momentum
        self.shared = shared
        self.kernels = dict((rule.kernels if isinstance(rule, Own | Steps) else None) or {})

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """Kernels, and what rounds them."""
        return [
            (getattr(layer, name), KernelRounding(axes, self.weight_bits))
            for name, axes in self.kernels.items()
        ]

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """None: an activation is part of the result."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Let the layer compute with rounded kernels."""
        for name, kernel in zip(self.kernels, quantize_weights, strict=True):
            setattr(layer, name, kernel)

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """None."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """What rounds the result."""
        if isinstance(self.rule, Same):
            return [RangeObserver(self.activation_bits, shared=self.shared, frozen=True)]
        if isinstance(self.rule, Fixed):
            return [FixedRange(self.rule.low, self.rule.high, self.activation_bits)]
        return [self.observer(self.shared)]

    def observer(self, shared: dict[str, Any] | None = None) -> RangeObserver:
        """An observer of one tensor."""
        return RangeObserver(self.activation_bits, self.momentum, shared)

    def get_config(self) -> dict[str, Any]:
        """A rule is code: quantized models are rebuilt from their preset, not from this."""
        raise NotImplementedError


class QuantizedLayer(QuantizeWrapperV2):
    """A layer as it computes in a quantized file: rounded kernels, rounded results, those in between included.

    Args:
        layer: the layer, built or not.
        quantize_config: how it is quantized.
        **kwargs: of a Keras layer; the name is the layer's own, unless it is given.
    """

    def __init__(self, layer: Any, quantize_config: LayerQuantization, **kwargs: Any) -> None:
        super().__init__(layer, quantize_config, **{"name": layer.name, **kwargs})
        self.watch: Callable[[dict[str, Any], Any], None] | None = None
        """Told of each result, with the variables of its range; nothing is rounded while it is set."""

    def build(self, input_shape: Any) -> None:
        """Build the layer, and an observer for each of its results.

        In the place of tensorflow-model-optimization's own, which counts steps in a variable that nothing reads here.
        """
        keras.layers.Wrapper.build(self, input_shape)
        self._trainable_weights.extend(self.layer.trainable_weights)
        config = self.quantize_config
        self._weight_vars = [
            (kernel, quantizer, quantizer.build(kernel.shape, kernel.name, self))
            for kernel, quantizer in config.get_weights_and_quantizers(self.layer)
        ]
        steps = config.rule.names if isinstance(config.rule, Steps) else ()
        self._observers = {name: config.observer() for name in steps}
        self._output_quantizers = config.get_output_quantizers(self.layer)
        if isinstance(config.rule, Own | Steps):
            self._observers[RESULT] = self._output_quantizers[0]
        self._observed = {
            name: observer.build(None, name, self) for name, observer in self._observers.items()
        }
        self._output_quantizer_vars = self._observed.get(RESULT) or self._output_quantizers[0].build(
            None, RESULT, self
        )

    @property
    def ranges(self) -> dict[str, dict[str, Any]]:
        """Name of a result → its variables `min` and `max`; the layer's own result is `RESULT`."""
        return self._observed

    @property
    def observers(self) -> dict[str, RangeObserver]:
        """Name of a result → what rounds it."""
        return self._observers

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        """Compute with rounded kernels, and round."""
        if training is None:
            training = keras.backend.learning_phase()
        with self._rounded_kernels(training):
            result = self._computed(inputs, training, kwargs)
        return self._rounded(self._output_quantizers[0], result, training, self._output_quantizer_vars)

    @contextmanager
    def _rounded_kernels(self, training: Any) -> Iterator[None]:
        """Let the layer find rounded kernels in its attributes, by which Keras and checkpoints know its variables."""
        kernels = {name: getattr(self.layer, name) for name in self.quantize_config.kernels}
        try:
            if self.watch is None:
                for name, (kernel, quantizer, variables) in zip(kernels, self._weight_vars, strict=True):
                    object.__setattr__(self.layer, name, quantizer(kernel, training, weights=variables))
            yield
        finally:
            for name, variable in kernels.items():
                object.__setattr__(self.layer, name, variable)

    def _computed(self, inputs: Any, training: Any, kwargs: dict[str, Any]) -> Any:
        rule = self.quantize_config.rule
        if not isinstance(rule, Steps):
            return self.layer.call(inputs, **kwargs)
        return rule.compute(
            self.layer,
            inputs,
            lambda name, value: self._rounded(self._observers[name], value, training, self._observed[name]),
        )

    def _rounded(self, quantizer: Any, value: Any, training: Any, variables: Any) -> Any:
        if self.watch is not None:
            if isinstance(quantizer, RangeObserver) and not isinstance(self.quantize_config.rule, Same):
                self.watch(variables, value)
            return value
        if isinstance(training, bool | int):
            return quantizer(value, bool(training), weights=variables)
        return tf.cond(
            tf.cast(training, tf.bool),
            lambda: quantizer(value, True, weights=variables),
            lambda: quantizer(value, False, weights=variables),
        )
