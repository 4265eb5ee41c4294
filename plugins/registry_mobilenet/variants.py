"""What each MobileNet variant is, as data. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from registry.pyramid import EncoderSpec, Normalization
from registry_mobilenet.architectures import (
    Architecture,
    MobileNetV1,
    MobileNetV2,
    MobileNetV3,
    MobileNetV4,
)

__all__ = ["SPECS", "WidthOptions", "WidthV2Options", "WidthV3Options", "architecture_of"]

Alpha = Annotated[float, Field(strict=True, ge=0.1, le=4.0)]


class WidthOptions(BaseModel):
    """Options of the MobileNets of any width."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    alpha: Alpha = Field(default=1.0, description="Width multiplier: factor on the filters of every layer.")


class WidthV2Options(WidthOptions):
    """Options of MobileNetV2 of any width."""

    early_rate: StrictBool = Field(
        default=False,
        description="A convolution that loses its stride has the atrous rate of those after it, as in Model Garden "
        "and torchvision.",
    )


class WidthV3Options(WidthV2Options):
    """Options of MobileNetV3 of any width."""

    minimalistic: StrictBool = Field(
        default=False,
        description="Without squeeze-excite, hard-swish and 5×5 kernels, for accelerators that lack them.",
    )
    torch_padding: StrictBool = Field(
        default=False, description="Pad as PyTorch does, with its epsilon of batch normalization, 1.0e-5."
    )
    norm_epsilon: Annotated[float, Field(strict=True, gt=0.0, lt=1.0)] | None = Field(
        default=None, description="Of every batch normalization, where it is another one."
    )


_PAPERS: dict[type, str] = {
    MobileNetV1: "https://arxiv.org/abs/1704.04861",
    MobileNetV2: "https://arxiv.org/abs/1801.04381",
    MobileNetV3: "https://arxiv.org/abs/1905.02244",
    MobileNetV4: "https://arxiv.org/abs/2404.10518",
}

# −1 … 1, as TensorFlow's own trainings; PyTorch's take mean and deviation of ImageNet.
_HALF = Normalization(scale=1.0 / 127.5, offset=-1.0)
_IMAGENET = Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_APPLICATIONS = "https://storage.googleapis.com/tensorflow/keras-applications"
_V1_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}


def _v1_weights(alpha: float) -> dict[str, str]:
    return {"imagenet": f"{_APPLICATIONS}/mobilenet/mobilenet_{_V1_WIDTHS[alpha]}_224_tf_no_top.h5"}


def _v2_weights(alpha: float) -> dict[str, str]:
    file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5"
    return {"imagenet": f"{_APPLICATIONS}/mobilenet_v2/{file}"}


def _v3_weights(kind: str, md5: str, timm: str) -> dict[str, str]:
    """The same training, from tf-keras and as timm converted it."""
    file = f"weights_mobilenet_v3_{kind}_float_no_top_v2.h5"
    return {"imagenet": f"{_APPLICATIONS}/mobilenet_v3/{file}#md5={md5}", "timm": _timm(f"tf_{timm}.in1k")}


def _timm(name: str) -> str:
    return f"hf://timm/{name}/model.safetensors"


def _timm_weights(name: str, *tags: str) -> dict[str, str]:
    """Trainings of one network by timm, by tag; the first is also the default one."""
    handles = {tag: _timm(f"{name}.{tag}") for tag in tags}
    return {"imagenet": handles[tags[0]], **(handles if len(tags) > 1 else {})}


def _keras_hub_weights(name: str, timm: str) -> dict[str, str]:
    """KerasHub's conversion of timm's training, and timm's file."""
    return {
        "imagenet": f"kaggle://keras/mobilenetv3/keras/mobilenet_v3_{name}_imagenet/1",
        "timm": _timm(timm),
    }


# name → architecture, parameters up to P5, MACs at 512×512, weights, normalization
_Row = tuple[Architecture, int, int, dict[str, str], Normalization]
_VARIANTS: dict[str, _Row] = {
    "mobilenet_v1_025": (MobileNetV1(alpha=0.25), 218_544, 213_024_768, _v1_weights(0.25), _HALF),
    "mobilenet_v1_050": (MobileNetV1(alpha=0.5), 829_536, 778_371_072, _v1_weights(0.5), _HALF),
    "mobilenet_v1_075": (MobileNetV1(alpha=0.75), 1_832_976, 1_696_038_912, _v1_weights(0.75), _HALF),
    "mobilenet_v1_100": (MobileNetV1(alpha=1.0), 3_228_864, 2_966_028_288, _v1_weights(1.0), _HALF),
    "mobilenet_v2_035": (MobileNetV2(alpha=0.35), 261_728, 266_350_592, _v2_weights(0.35), _HALF),
    "mobilenet_v2_050": (MobileNetV2(alpha=0.5), 496_304, 448_348_160, _v2_weights(0.5), _HALF),
    "mobilenet_v2_075": (MobileNetV2(alpha=0.75), 1_069_744, 1_006_952_448, _v2_weights(0.75), _HALF),
    "mobilenet_v2_100": (MobileNetV2(alpha=1.0), 1_843_264, 1_459_847_168, _v2_weights(1.0), _HALF),
    "mobilenet_v2_130": (MobileNetV2(alpha=1.3), 3_067_168, 2_475_319_296, _v2_weights(1.3), _HALF),
    "mobilenet_v2_140": (MobileNetV2(alpha=1.4), 3_553_728, 2_826_792_960, _v2_weights(1.4), _HALF),
    "mobilenet_v3_small_075": (
        MobileNetV3(size="small", alpha=0.75),
        583_160,
        217_902_848,
        _v3_weights("small_224_0.75", "ebdb5cc8e0b497cd13a7c275d475c819", "mobilenetv3_small_075"),
        _HALF,
    ),
    "mobilenet_v3_small_100": (
        MobileNetV3(size="small"),
        939_120,
        284_868_608,
        _v3_weights("small_224_1.0", "d3e8ec802a04aa4fc771ee12a9a9b836", "mobilenetv3_small_100"),
        _HALF,
    ),
    "mobilenet_v3_small_minimalistic_100": (
        MobileNetV3(size="small", minimalistic=True),
        441_000,
        264_749_056,
        _v3_weights(
            "small_minimalistic_224_1.0", "cde8136e733e811080d9fcd8a252f7e4", "mobilenetv3_small_minimal_100"
        ),
        _HALF,
    ),
    "mobilenet_v3_large_075": (
        MobileNetV3(size="large", alpha=0.75),
        1_808_736,
        792_181_120,
        _v3_weights("large_224_0.75", "40af19a13ebea4e2ee0c676887f69a2e", "mobilenetv3_large_075"),
        _HALF,
    ),
    "mobilenet_v3_large_100": (
        MobileNetV3(size="large"),
        2_996_352,
        1_112_096_640,
        _v3_weights("large_224_1.0", "07fb09a5933dd0c8eaafa16978110389", "mobilenetv3_large_100"),
        _HALF,
    ),
    "mobilenet_v3_large_minimalistic_100": (
        MobileNetV3(size="large", minimalistic=True),
        1_437_608,
        1_079_525_376,
        _v3_weights(
            "large_minimalistic_224_1.0", "ec5221f64a2f6d1ef965a614bdae7973", "mobilenetv3_large_minimal_100"
        ),
        _HALF,
    ),
    "mobilenet_v3_small_050_torch": (
        MobileNetV3(size="small", alpha=0.5, torch_padding=True),
        278_784,
        118_947_584,
        _keras_hub_weights("small_050", "mobilenetv3_small_050.lamb_in1k"),
        _IMAGENET,
    ),
    "mobilenet_v3_small_075_torch": (
        MobileNetV3(size="small", alpha=0.75, torch_padding=True),
        583_160,
        217_902_848,
        _timm_weights("mobilenetv3_small_075", "lamb_in1k"),
        _IMAGENET,
    ),
    "mobilenet_v3_small_100_torch": (
        MobileNetV3(size="small", torch_padding=True),
        939_120,
        284_868_608,
        _keras_hub_weights("small_100", "mobilenetv3_small_100.lamb_in1k"),
        _IMAGENET,
    ),
    "mobilenet_v3_large_100_torch": (
        MobileNetV3(size="large", torch_padding=True),
        2_996_352,
        1_112_096_640,
        _keras_hub_weights("large_100", "mobilenetv3_large_100.ra_in1k"),
        _IMAGENET,
    ),
    "mobilenet_v4_conv_small_050": (
        MobileNetV4(size="small", alpha=0.5),
        352_288,
        328_343_552,
        _timm_weights("mobilenetv4_conv_small_050", "e3000_r224_in1k"),
        _HALF,
    ),
    "mobilenet_v4_conv_small": (
        MobileNetV4(size="small"),
        1_284_192,
        958_676_992,
        _timm_weights("mobilenetv4_conv_small", "e2400_r224_in1k", "e1200_r224_in1k"),
        _IMAGENET,
    ),
    "mobilenet_v4_conv_medium": (
        MobileNetV4(size="medium"),
        7_268_496,
        4_310_941_696,
        _timm_weights(
            "mobilenetv4_conv_medium",
            "e500_r256_in1k",
            "e500_r224_in1k",
            "e250_r384_in12k_ft_in1k",
            "e250_r384_in12k",
            "e180_r384_in12k",
            "e180_ad_r384_in12k",
        ),
        _IMAGENET,
    ),
    "mobilenet_v4_conv_large": (
        MobileNetV4(size="large"),
        30_225_496,
        11_331_043_328,
        _timm_weights("mobilenetv4_conv_large", "e600_r384_in1k", "e500_r256_in1k"),
        _IMAGENET,
    ),
}


# Layers of the weight sources that lie beyond P5: classifiers and what feeds only them.
_UNUSED: dict[type, tuple[str, ...]] = {
    MobileNetV1: (),
    MobileNetV2: ("Conv_1", "Conv_1_bn"),
    MobileNetV3: ("conv_head", "classifier"),
    MobileNetV4: ("conv_head", "norm_head", "classifier"),
}

# Any width; these have no published weights of their own.
_CUSTOM: dict[str, tuple[type[WidthOptions], Callable[[Any], Architecture]]] = {
    "mobilenet_v1_custom": (WidthOptions, lambda options: MobileNetV1(alpha=options.alpha)),
    "mobilenet_v2_custom": (WidthV2Options, lambda options: MobileNetV2(**options.model_dump())),
    "mobilenet_v3_small_custom": (
        WidthV3Options,
        lambda options: MobileNetV3(size="small", **options.model_dump()),
    ),
    "mobilenet_v3_large_custom": (
        WidthV3Options,
        lambda options: MobileNetV3(size="large", **options.model_dump()),
    ),
}


def architecture_of(variant: str, options: BaseModel | None = None) -> Architecture:
    """Architecture of a variant; those of any width take it from their options, or have width 1."""
    if variant in _CUSTOM:
        kind, architecture = _CUSTOM[variant]
        return architecture(kind() if options is None else options)
    return _VARIANTS[variant][0]


def _named(name: str, row: _Row) -> EncoderSpec:
    architecture, parameters, macs, weights, normalization = row
    return EncoderSpec(
        name=name,
        channels=architecture.channels(),
        output_strides=(8, 16, 32),
        normalization=normalization,
        weights=weights,
        unused_weights=_UNUSED[type(architecture)],
        parameters=parameters,
        macs=macs,
        license="Apache-2.0",
        paper=_PAPERS[type(architecture)],
        description=_sentence(architecture),
    )


def _custom(name: str) -> EncoderSpec:
    options, architecture = _CUSTOM[name]
    example = architecture(options())
    # At its default width it is a named variant.
    _, parameters, macs, *_ = next(row for row in _VARIANTS.values() if row[0] == example)
    return EncoderSpec(
        name=name,
        channels=lambda given: architecture(given).channels(),
        output_strides=(8, 16, 32),
        options=options,
        normalization=_HALF,
        unused_weights=_UNUSED[type(example)],
        parameters=parameters,
        macs=macs,
        license="Apache-2.0",
        paper=_PAPERS[type(example)],
        description=f"{_title(example)} of any width.",
    )


def _title(architecture: Architecture) -> str:
    size = getattr(architecture, "size", "")
    return " ".join(word for word in (type(architecture).__name__, size) if word)


def _sentence(architecture: Architecture) -> str:
    parts = [f"{_title(architecture)} of width {architecture.alpha:g}"]
    if isinstance(architecture, MobileNetV3):
        parts += ["minimalistic"] if architecture.minimalistic else []
        parts += ["padded and trained in PyTorch's way"] if architecture.torch_padding else []
    return ", ".join(parts) + "."


SPECS: tuple[EncoderSpec, ...] = (
    *(_named(name, row) for name, row in _VARIANTS.items()),
    *(_custom(name) for name in _CUSTOM),
)
