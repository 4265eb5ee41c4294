"""DeepLabV3 and DeepLabV3+ with the constructor of KerasHub's classes, and what the papers have beyond it.

"Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587 (V3), and "Encoder-Decoder with
Atrous Separable Convolution for Semantic Image Segmentation", arXiv:1802.02611 (V3+).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from registry.backend import keras
from registry.errors import ModelError, nearest
from registry.models.arguments import (
    check_image_shape,
    require_image_shape,
    require_positive_integer,
    require_positive_integers,
    require_rate,
    upsampling_factors,
)
from registry.models.aspp import atrous_spatial_pyramid_pooling
from registry.models.base import CLASSIFIER, Backbone, ImageSegmenter, deserialize, untracked
from registry.models.encoder import attach_pyramid, level_strides, pyramid_of, retrace
from registry.models.layers import bilinear_upsampling, conv_bn_relu, separable_conv_bn_relu

__all__ = ["CLASSIFIER", "DeepLabV3Backbone", "DeepLabV3ImageSegmenter"]


@keras.saving.register_keras_serializable(package="atrous")
class DeepLabV3Backbone(Backbone):
    """Features of DeepLabV3, or of DeepLabV3+ where `low_level_feature_key` is given, at the input's size.

    The graph continues the encoder's own tensors and is flat: no model is nested in it.

    Args:
        image_encoder: functional `tf_keras.Model` with `pyramid_outputs`, level → tensor.
        spatial_pyramid_pooling_key: level that ASPP reads, for instance `P5`.
        upsampling_size: bilinear factor on the ASPP output, one or (rows, columns). With low-level features it
            must bring ASPP to their stride; without, it must divide the ASPP level's stride.
        dilation_rates: atrous rates of the 3×3 ASPP branches.
        low_level_feature_key: level that the V3+ decoder adds, for instance `P2`; None builds V3.
        projection_filters: channels that the low-level features are reduced to.
        image_shape: input shape without the batch; None leaves a side open.
        aspp_filters: channels of the ASPP branches and projection.
        aspp_separable: depthwise separable 3×3 branches.
        aspp_depthwise_norm: normalize and activate between the halves of ASPP's separable convolutions.
        aspp_output_convolution: 3×3 convolution after the projection, `none`, `plain` or `separable`.
        aspp_dropout: dropout rate after the ASPP projection.
        aspp_atrous: include ASPP's 3×3 branches; without them `dilation_rates` is not used.
        image_pooling: include ASPP's global branch.
        decoder_filters: channels of the convolutions after upsampling and concatenation.
        decoder_convolutions: how many of them; KerasHub's model has one, the V3+ paper two, the V3 paper none.
        decoder_kernel_size: their kernel size; KerasHub 1, the V3+ paper 3.
        decoder_separable: depthwise separable ones.
        decoder_depthwise_norm: normalize and activate between their halves.
        batch_norm_momentum: of ASPP and decoder.
        batch_norm_epsilon: of ASPP and decoder.
        hidden_activation: after every normalization of ASPP and decoder, for instance `relu` or `swish`.
        align_corners: upsample with corner pixels on corner pixels, instead of half-pixel centres.
        **kwargs: `name` and `trainable` of `tf_keras.Model`.

    Input: (batch, height, width, 3); output: (batch, height, width, channels of the last convolution), where
    height and width are multiples of the ASPP level's stride.

    Raises:
        ModelError: an argument does not fit the encoder or the others.
    """

    def __init__(
        self,
        image_encoder: Any,
        spatial_pyramid_pooling_key: str,
        upsampling_size: int | Sequence[int],
        dilation_rates: Sequence[int],
        low_level_feature_key: str | None = None,
        projection_filters: int = 48,
        image_shape: Sequence[int | None] = (None, None, 3),
        *,
        aspp_filters: int = 256,
        aspp_separable: bool = False,
        aspp_depthwise_norm: bool = True,
        aspp_output_convolution: str = "none",
        aspp_dropout: float = 0.0,
        aspp_atrous: bool = True,
        image_pooling: bool = True,
        decoder_filters: int = 256,
        decoder_convolutions: int = 1,
        decoder_kernel_size: int = 1,
        decoder_separable: bool = False,
        decoder_depthwise_norm: bool = True,
        batch_norm_momentum: float = 0.99,
        batch_norm_epsilon: float = 1e-3,
        hidden_activation: str = "relu",
        align_corners: bool = False,
        **kwargs: Any,
    ) -> None:
        pyramid = pyramid_of(image_encoder)
        keys = [spatial_pyramid_pooling_key]
        if low_level_feature_key is not None:
            keys.append(low_level_feature_key)
        for argument, key in zip(
            ("spatial_pyramid_pooling_key", "low_level_feature_key"), keys, strict=False
        ):
            if key not in pyramid:
                raise ModelError(
                    f"`{argument}` must be a level of the encoder, which has {', '.join(pyramid)}",
                    received=key,
                    repair=nearest(str(key), pyramid),
                )
        pyramid = {key: pyramid[key] for key in keys}
        rates = require_positive_integers(dilation_rates, "dilation_rates")
        for argument, value in (
            ("projection_filters", projection_filters),
            ("aspp_filters", aspp_filters),
            ("decoder_filters", decoder_filters),
            ("decoder_kernel_size", decoder_kernel_size),
        ):
            require_positive_integer(value, argument)
        require_positive_integer(decoder_convolutions, "decoder_convolutions", smallest=0)
        require_rate(aspp_dropout, "aspp_dropout")
        if aspp_output_convolution not in ("none", "plain", "separable"):
            raise ModelError(
                "`aspp_output_convolution` must be none, plain or separable",
                received=aspp_output_convolution,
                repair="none, as in the papers",
            )
        shape = require_image_shape(image_shape)
        inputs = image_encoder.inputs[0]
        strides = level_strides(inputs, pyramid)
        aspp_stride = strides[spatial_pyramid_pooling_key]
        check_image_shape(shape, aspp_stride)
        if tuple(inputs.shape[1:]) != shape:
            inputs, pyramid = retrace(inputs, pyramid, shape)
        factors = upsampling_factors(upsampling_size, aspp_stride, strides.get(low_level_feature_key or ""))

        common: dict[str, Any] = {
            "batch_norm": {"momentum": batch_norm_momentum, "epsilon": batch_norm_epsilon},
            "activation": hidden_activation,
        }
        x = atrous_spatial_pyramid_pooling(
            pyramid[spatial_pyramid_pooling_key],
            rates if aspp_atrous else (),
            filters=aspp_filters,
            separable=aspp_separable,
            depthwise_norm=aspp_depthwise_norm,
            output_convolution=aspp_output_convolution,
            image_pooling=image_pooling,
            dropout=aspp_dropout,
            **common,
        )
        x = bilinear_upsampling(x, factors, name="encoder_output_upsampling", align_corners=align_corners)
        if low_level_feature_key is not None:
            low_level = conv_bn_relu(
                pyramid[low_level_feature_key],
                projection_filters,
                names=("decoder_conv", "decoder_norm", "decoder_relu"),
                **common,
            )
            x = keras.layers.Concatenate(name="encoder_decoder_concat")([x, low_level])
        head_convolution: Any = conv_bn_relu
        if decoder_separable:
            head_convolution = partial(separable_conv_bn_relu, depthwise_norm=decoder_depthwise_norm)
        for number in range(1, decoder_convolutions + 1):
            x = head_convolution(x, decoder_filters, decoder_kernel_size, names=_head_names(number), **common)
        final = (aspp_stride[0] // factors[0], aspp_stride[1] // factors[1])
        outputs = bilinear_upsampling(
            x, final, name="backbone_output_upsampling", align_corners=align_corners
        )
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self._remember(
            image_encoder=image_encoder,
            pyramid=pyramid,
            decoder_features=x,
            final_upsampling=final,
            multiple=aspp_stride,
            arguments={
                "spatial_pyramid_pooling_key": spatial_pyramid_pooling_key,
                "upsampling_size": upsampling_size
                if isinstance(upsampling_size, int)
                else tuple(upsampling_size),
                "dilation_rates": list(rates),
                "low_level_feature_key": low_level_feature_key,
                "projection_filters": projection_filters,
                "image_shape": shape,
                "aspp_filters": aspp_filters,
                "aspp_separable": aspp_separable,
                "aspp_depthwise_norm": aspp_depthwise_norm,
                "aspp_output_convolution": aspp_output_convolution,
                "aspp_dropout": aspp_dropout,
                "aspp_atrous": aspp_atrous,
                "image_pooling": image_pooling,
                "decoder_filters": decoder_filters,
                "decoder_convolutions": decoder_convolutions,
                "decoder_kernel_size": decoder_kernel_size,
                "decoder_separable": decoder_separable,
                "decoder_depthwise_norm": decoder_depthwise_norm,
                "batch_norm_momentum": batch_norm_momentum,
                "batch_norm_epsilon": batch_norm_epsilon,
                "hidden_activation": hidden_activation,
                "align_corners": align_corners,
            },
        )

    @untracked
    def _remember(
        self,
        *,
        image_encoder: Any,
        pyramid: dict[str, Any],
        decoder_features: Any,
        final_upsampling: tuple[int, int],
        multiple: tuple[int, int],
        arguments: dict[str, Any],
    ) -> None:
        self.image_encoder = image_encoder
        self.decoder_features = decoder_features
        self.final_upsampling = final_upsampling
        self._size_multiple = multiple
        self._arguments = arguments
        attach_pyramid(self, pyramid)

    def __getattr__(self, name: str) -> Any:
        """Constructor arguments read as attributes, as on KerasHub's class."""
        arguments = self.__dict__.get("_arguments", {})
        if name in arguments:
            return arguments[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def size_multiple(self) -> tuple[int, int]:
        """Stride of the ASPP level: input heights and widths must be multiples of it."""
        return self._size_multiple

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, the encoder serialized."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "image_encoder": keras.saving.serialize_keras_object(self.image_encoder),
            "pyramid_layers": _layer_outputs(self.image_encoder),
            **self._arguments,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> DeepLabV3Backbone:
        """Rebuild from `get_config`."""
        config = dict(config)
        pyramid_layers = config.pop("pyramid_layers", {})
        if isinstance(config["image_encoder"], dict):
            encoder = deserialize(config["image_encoder"], custom_objects)
            if not getattr(encoder, "pyramid_outputs", None):
                attach_pyramid(encoder, _outputs_of_layers(encoder, pyramid_layers))
            config["image_encoder"] = encoder
        return cls(**config)


@keras.saving.register_keras_serializable(package="atrous")
class DeepLabV3ImageSegmenter(ImageSegmenter):
    """DeepLabV3(+) with its classifier: logits, or probabilities, per pixel of the input.

    A 1×1 convolution and a bilinear upsampling are linear maps over different axes and commute, so the classifier
    runs at the decoder's stride and its logits are upsampled: KerasHub's answers without 256 channels at full
    resolution.

    Args:
        backbone: a `DeepLabV3Backbone`.
        num_classes: number of classes, background included.
        activation: applied to the upsampled logits; None returns logits.
        preprocessor: callable that `predict`, `fit` and `evaluate` apply, or None.
        classifier_bias: give the classifier a bias, as TensorFlow DeepLab and torchvision do and KerasHub does not.
        **kwargs: `name` and `trainable` of `tf_keras.Model`.

    Input: (batch, height, width, 3); output: (batch, height, width, num_classes), float32 unless a mixed
    precision policy is set.

    Raises:
        ModelError: `num_classes` is not a positive integer, or `backbone` is not a `DeepLabV3Backbone`.
    """

    def __init__(
        self,
        backbone: DeepLabV3Backbone,
        num_classes: int,
        activation: Any = None,
        preprocessor: Any = None,
        *,
        classifier_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(backbone, DeepLabV3Backbone):
            raise ModelError(
                "`backbone` must be a registry.DeepLabV3Backbone",
                received=f"{type(backbone).__module__}.{type(backbone).__qualname__}",
                repair="wrap your encoder: DeepLabV3Backbone(image_encoder=…, …)",
            )
        require_positive_integer(num_classes, "num_classes")
        x = keras.layers.Conv2D(num_classes, 1, use_bias=classifier_bias, name=CLASSIFIER)(
            backbone.decoder_features
        )
        x = bilinear_upsampling(
            x,
            backbone.final_upsampling,
            name=f"{CLASSIFIER}_upsampling",
            align_corners=backbone.align_corners,
        )
        if activation is not None:
            x = keras.layers.Activation(activation, name=f"{CLASSIFIER}_activation")(x)
        super().__init__(inputs=backbone.inputs, outputs=x, **kwargs)
        self._remember(backbone, num_classes, activation, classifier_bias)
        self.preprocessor = preprocessor

    @untracked
    def _remember(
        self, backbone: DeepLabV3Backbone, num_classes: int, activation: Any, classifier_bias: bool
    ) -> None:
        self.classifier_bias = classifier_bias
        self.backbone = backbone
        self.num_classes = num_classes
        self.activation = activation

    @property
    def encoder(self) -> Any:
        """The backbone's `image_encoder`."""
        return self.backbone.image_encoder

    @property
    def size_multiple(self) -> tuple[int, int]:
        """Stride of the ASPP level: input heights and widths must be multiples of it."""
        return self.backbone.size_multiple

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, backbone and preprocessor serialized."""
        activation = self.activation
        return {
            "name": self.name,
            "trainable": self.trainable,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_classes": self.num_classes,
            "activation": keras.activations.serialize(activation) if callable(activation) else activation,
            "preprocessor": self.preprocessor and keras.saving.serialize_keras_object(self.preprocessor),
            "classifier_bias": self.classifier_bias,
            "preset_config": self.preset_config and self.preset_config.model_dump(mode="json"),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> DeepLabV3ImageSegmenter:
        """Rebuild from `get_config`."""
        config = dict(config)
        preset_config = config.pop("preset_config", None)
        for part in ("backbone", "preprocessor"):
            if isinstance(config.get(part), dict):
                config[part] = deserialize(config[part], custom_objects)
        model = cls(**config)
        if preset_config is not None:
            model.restore_preset_config(preset_config)
        return model


def _head_names(number: int) -> tuple[str, str, str]:
    suffix = "" if number == 1 else f"_{number}"
    return (
        f"segmentation_head_conv{suffix}",
        f"segmentation_head_norm{suffix}",
        f"segmentation_head_relu{suffix}",
    )


def _layer_outputs(encoder: Any) -> dict[str, list[Any]]:
    """Where each pyramid tensor comes from: level → [layer name, node index, tensor index]."""
    return {
        level: [tensor.node.layer.name, tensor._keras_history.node_index, tensor._keras_history.tensor_index]
        for level, tensor in pyramid_of(encoder).items()
    }


def _outputs_of_layers(encoder: Any, layers: dict[str, list[Any]]) -> dict[str, Any]:
    pyramid = {}
    for level, (name, node_index, tensor_index) in layers.items():
        node = encoder.get_layer(name)._inbound_nodes[node_index]
        outputs = node.outputs if isinstance(node.outputs, (list, tuple)) else [node.outputs]
        pyramid[level] = outputs[tensor_index]
    return pyramid
