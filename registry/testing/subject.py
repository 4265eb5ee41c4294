"""The variant that is looked at: its description, and its models at every output stride, built once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from registry.assembly import PyramidEncoder
from registry.assembly import build as assemble
from registry.backend import keras
from registry.discovery import load_plugin
from registry.pyramid import level_stage
from registry.testing.outcomes import Inapplicable
from registry.testing.randomizing import randomize

__all__ = ["Subject"]

Size = tuple[int | None, int | None]

OPEN: Size = (None, None)
_SMALLEST_PROBE = 64
_MEASURED_IMAGES = 4
_SHARES_OF_NOISE = (1.0, 0.0, 0.5, 0.25)


class Subject:
    """One encoder variant under check.

    Args:
        plugin: name of the plugin.
        variant: name of the variant.
    """

    def __init__(self, plugin: str, variant: str) -> None:
        self.plugin = plugin
        self.loaded = load_plugin(plugin)
        self.spec = self.loaded.encoder(variant)
        self._built: dict[tuple[int, Size], Any] = {}
        self._randomized: dict[int, Any] = {}
        # Layer names that Keras counts up start from 1 again, as in a process that builds nothing else.
        keras.backend.clear_session()

    @cached_property
    def has_default_options(self) -> bool:
        """Whether every option has a default."""
        try:
            self.spec.options()
        except ValidationError:
            return False
        return True

    @cached_property
    def options(self) -> dict[str, Any]:
        """Options to build with: the defaults, or else the first example that the options model gives.

        Raises:
            Inapplicable: it gives none.
        """
        if self.has_default_options:
            return {}
        examples = self.spec.options.model_json_schema().get("examples")
        if not examples:
            raise Inapplicable("its options have no defaults, and the options model gives no example")
        return dict(examples[0])

    @property
    def strides(self) -> list[int]:
        """Output strides, the undilated network's first."""
        return sorted(self.spec.output_strides, reverse=True)

    @property
    def unit(self) -> int:
        """Multiples of it are divided evenly by the stride of every level."""
        return max(self.strides)

    @property
    def probe(self) -> int:
        """A small side in pixels: enough for the variant, a multiple of every stride."""
        unit = self.unit
        return -(-max(self.spec.min_size, _SMALLEST_PROBE) // unit) * unit

    def build(self, output_stride: int, size: Size = OPEN) -> Any:
        """Build the encoder anew."""
        return PyramidEncoder(
            self.plugin, self.spec.name, output_stride, (*size, 3), self.options, name="encoder"
        )

    def unchecked_graph(self) -> Any:
        """The undilated network as the plugin gives it, not held to the pyramid contract."""
        inputs = keras.layers.Input((*OPEN, 3), name="inputs")
        options = self.spec.options.model_validate(self.options)
        return keras.Model(inputs, self.loaded.build(self.spec.name, inputs, max(self.strides), options))

    def encoder(self, output_stride: int | None = None, size: Size = OPEN) -> Any:
        """The encoder, built once, whose weights each check sets as it likes; None asks for the undilated network."""
        key = (output_stride or max(self.strides), size)
        if key not in self._built:
            self._built[key] = self.build(*key)
        return self._built[key]

    def randomized(self, output_stride: int | None = None) -> Any:
        """The open encoder with the weights of a network that lives, the same at every output stride."""
        stride = output_stride or max(self.strides)
        if stride not in self._randomized:
            model = self.build(stride)
            if self._randomized:
                like = next(iter(self._randomized.values()))
                model.set_weights(like.get_weights())
            else:
                randomize(model, self.images(self.probe, self.probe, count=_MEASURED_IMAGES))
            self._randomized[stride] = model
        return self._randomized[stride]

    @cached_property
    def segmenter(self) -> Any:
        """A small DeepLabV3 on the encoder at its smallest output stride, where most is dilated."""
        deepest = max(self.encoder().pyramid_outputs, key=level_stage)
        model = assemble(
            {
                "encoder": {
                    "plugin": self.plugin,
                    "variant": self.spec.name,
                    "output_stride": min(self.strides),
                    "options": self.options,
                },
                "architecture": {
                    "name": "deeplab_v3",
                    "spatial_pyramid_pooling_key": deepest,
                    "dilation_rates": [2],
                    "aspp": {"filters": 16, "image_pooling": False},
                },
                "num_classes": 4,
            },
            weights=None,
        )
        return randomize(model, self.images(self.probe, self.probe, count=_MEASURED_IMAGES))

    def images(self, height: int, width: int, *, count: int = 1) -> NDArray[np.float32]:
        """Images (count, height, width, 3), normalized as the variant asks for, the same at every call."""
        pixels = self.pixels(height, width, count=count).astype(np.float32)
        normalization = self.spec.normalization
        scaled = pixels * np.asarray(normalization.scale) + np.asarray(normalization.offset)
        return scaled.astype(np.float32)

    @staticmethod
    def pixels(height: int, width: int, *, count: int = 1) -> NDArray[np.uint8]:
        """RGB in 0…255, uint8 (count, height, width, 3): ramps, noise and what lies between, over the whole range."""
        rng = np.random.default_rng(17)
        rows, columns = np.mgrid[0:height, 0:width]
        images = []
        for number in range(count):
            turn = number // len(_SHARES_OF_NOISE)
            down, across = (rows / height + turn / 3) % 1, (columns / width + turn / 5) % 1
            ramps = np.stack([down, across, (down + across) / 2], axis=-1)
            share = _SHARES_OF_NOISE[number % len(_SHARES_OF_NOISE)]
            images.append(share * rng.uniform(size=ramps.shape) + (1 - share) * ramps)
        return (255 * np.asarray(images)).astype(np.uint8)
