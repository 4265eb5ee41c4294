"""An encoder of a plugin as a model, held to the pyramid contract when it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from registry.backend import keras
from registry.discovery import LoadedPlugin, find_encoder
from registry.errors import ModelError, PyramidContractError, nearest
from registry.models.base import Backbone, untracked
from registry.models.encoder import attach_pyramid, pyramid_shapes
from registry.models.symbolic import shapes_as_stated
from registry.pyramid import EncoderSpec, check_pyramid, reported_stride

__all__ = ["PyramidEncoder"]


@keras.saving.register_keras_serializable(package="atrous")
class PyramidEncoder(Backbone):
    """An encoder of a plugin as a functional model, held to the pyramid contract when it is built.

    Args:
        plugin: name of the encoder plugin.
        variant: encoder variant of that plugin.
        output_stride: one of the variant's output strides; None takes the undilated network's.
        image_shape: (height, width, 3); None leaves a side open.
        options: the variant's own options, a mapping or its validated model.
        **kwargs: `name` and `trainable` of `tf_keras.Model`.

    Output and `pyramid_outputs`: level → (batch, height ÷ stride, width ÷ stride, channels).

    Raises:
        PluginError: the plugin cannot serve.
        UnknownEncoderError: it has no such variant.
        ModelError: output stride, options or image shape do not fit the variant.
        PyramidContractError: the plugin did not deliver what its `EncoderSpec` promises.
    """

    def __init__(
        self,
        plugin: str,
        variant: str,
        output_stride: int | None = None,
        image_shape: Sequence[int | None] = (None, None, 3),
        options: Mapping[str, Any] | BaseModel | None = None,
        **kwargs: Any,
    ) -> None:
        loaded, spec = find_encoder(plugin, variant)
        stride = spec.checked_output_stride(output_stride)
        shape = _encoder_image_shape(spec, image_shape)
        validated = options if isinstance(options, BaseModel) else _validated_options(spec, options or {})
        inputs = keras.layers.Input(shape, name="inputs")
        with shapes_as_stated():
            pyramid = dict(loaded.build(variant, inputs, stride, validated))
        _hold_to_contract(loaded, spec, validated, stride, inputs, pyramid)
        super().__init__(inputs=inputs, outputs=pyramid, **kwargs)
        self._remember(
            pyramid,
            spec,
            {
                "plugin": plugin,
                "variant": variant,
                "output_stride": stride,
                "image_shape": shape,
                "options": validated.model_dump(mode="json"),
            },
        )

    @untracked
    def _remember(self, pyramid: dict[str, Any], spec: EncoderSpec, arguments: dict[str, Any]) -> None:
        self.spec = spec
        self._arguments = arguments
        attach_pyramid(self, pyramid)

    @property
    def output_stride(self) -> int:
        """Stride of the deepest level."""
        return int(self._arguments["output_stride"])

    @property
    def level_strides(self) -> dict[str, int]:
        """Stride of each level, as the contract has it."""
        return {level: reported_stride(level, self.output_stride) for level in self.pyramid_outputs}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-ready."""
        return {"name": self.name, "trainable": self.trainable, **self._arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PyramidEncoder:
        """Rebuild through the plugin of that name."""
        del custom_objects
        return cls(**config)


def _encoder_image_shape(spec: EncoderSpec, image_shape: Sequence[int | None]) -> tuple[int | None, ...]:
    shape = tuple(image_shape)
    if len(shape) != 3 or shape[2] != 3:
        raise ModelError(
            "`image_shape` must be (height, width, 3)",
            received=image_shape,
            repair="(None, None, 3) leaves sizes open",
        )
    for side in shape[:2]:
        if side is not None and (not isinstance(side, int) or side < spec.min_size):
            raise ModelError(
                f"encoder {spec.name!r} needs images of at least {spec.min_size}×{spec.min_size} pixels",
                received=shape,
                repair="enlarge image_shape, or leave a side open with None",
            )
    return shape


def _validated_options(spec: EncoderSpec, options: Mapping[str, Any]) -> BaseModel:
    try:
        return spec.options.model_validate(dict(options))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'options'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ModelError(
            f"the options of encoder {spec.name!r} are {', '.join(spec.options.model_fields) or 'none'}",
            received=problems,
            repair="; ".join(nearest(str(key), spec.options.model_fields) for key in options)
            or "give the options that it requires",
        ) from error


def _hold_to_contract(
    loaded: LoadedPlugin,
    spec: EncoderSpec,
    options: BaseModel,
    stride: int,
    inputs: Any,
    pyramid: dict[str, Any],
) -> None:
    foreign = [level for level, tensor in pyramid.items() if not hasattr(tensor, "_keras_history")]
    if foreign:
        raise PyramidContractError(
            f"encoder {spec.name!r} of {loaded.origin} must deliver a KerasTensor per level",
            received=", ".join(f"{level}: {type(pyramid[level]).__name__}" for level in foreign),
            repair="return outputs of tf_keras layers that were applied to `inputs`",
        )
    # Two sizes, not square, both multiples of every stride: one alone could hide a fixed size behind a stride.
    unit = max(spec.min_size, 32)
    unit += -unit % 32
    check_pyramid(
        pyramid_shapes(inputs, pyramid, ((2 * unit, 3 * unit), (3 * unit, 4 * unit))),
        channels=spec.channels_for(options),
        output_stride=stride,
        encoder=spec.name,
        origin=loaded.origin,
    )
