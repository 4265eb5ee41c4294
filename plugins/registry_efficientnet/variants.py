"""What each EfficientNet variant is, as data. Nothing here imports TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from registry.pyramid import EncoderSpec, Normalization
from registry_efficientnet.architecture import Architecture, lite, mobile, v2

__all__ = ["ARCHITECTURES", "SPECS", "EfficientNetOptions"]


class EfficientNetOptions(BaseModel):
    """Options of every variant."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    drop_connect_rate: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="Probability with which training drops the last residual branch (stochastic depth).",
    )


# tf-keras's B files hold standard deviations where its Normalization layer expects variances, and its graph divides
# by their root once more, so that the trained network saw (pixel/255 - mean) / deviation.
_IMAGENET = Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_V2_PIXELS = Normalization(scale=1 / 128, offset=-1.0)
# Lite was trained on (pixel - 127) / 128; timm, whose files these are, rounds that to mean and deviation 0.5.
_LITE_PIXELS = Normalization(scale=1 / 128, offset=-127 / 128)

_V1_PAPER = "https://arxiv.org/abs/1905.11946"
_V2_PAPER = "https://arxiv.org/abs/2104.00298"
_TF_KERAS_V1 = "https://storage.googleapis.com/keras-applications/efficientnet"
_TF_KERAS_V2 = "https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2/efficientnetv2-"

# What follows the last block: the layers of classification, and tf-keras's own normalization of pixels.
_UNUSED = ("top_conv", "top_bn", "predictions", "normalization")


@dataclass(frozen=True, kw_only=True)
class _Member:
    """One size: its architecture, parameters up to P5, MACs at 512×512 and published weights by name."""

    architecture: Architecture
    parameters: int
    macs: int
    weights: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class _Family:
    title: str
    what: str
    paper: str
    normalization: Normalization
    # what follows `efficientnet_` in the name → member
    members: dict[str, _Member]

    def specs(self) -> list[EncoderSpec]:
        return [
            EncoderSpec(
                name=f"efficientnet_{size}",
                channels=member.architecture.channels(),
                output_strides=(8, 16, 32),
                options=EfficientNetOptions,
                normalization=self.normalization,
                weights=member.weights,
                unused_weights=_UNUSED,
                parameters=member.parameters,
                macs=member.macs,
                license="Apache-2.0",
                paper=self.paper,
                description=f"{self.title}{_size_in_words(size)}: {self.what}.",
            )
            for size, member in self.members.items()
        ]


def _size_in_words(size: str) -> str:
    """`v2_b0` → B0, `lite0` → Lite0, `b0_symmetric` → B0."""
    return size.removeprefix("v2_").removesuffix("_symmetric").title()


def _timm(model: str, *tags: str) -> dict[str, str]:
    """Safetensors of timm, each named after its tag."""
    return {tag: f"hf://timm/{model}.{tag}/model.safetensors" for tag in tags}


def _mobile(
    size: str, width: float, depth: float, parameters: int, macs: int, md5: str, *tags: str
) -> _Member:
    imagenet = {"imagenet": f"{_TF_KERAS_V1}{size}_notop.h5#md5={md5}"}
    return _Member(
        architecture=mobile(width, depth),
        parameters=parameters,
        macs=macs,
        weights=imagenet | _timm(f"tf_efficientnet_{size}", *tags),
    )


def _v2(size: str, architecture: Architecture, parameters: int, macs: int, md5: str, *tags: str) -> _Member:
    imagenet = {"imagenet": f"{_TF_KERAS_V2}{size}_notop.h5#md5={md5}"}
    return _Member(
        architecture=architecture,
        parameters=parameters,
        macs=macs,
        weights=imagenet | _timm(f"tf_efficientnetv2_{size}", *tags),
    )


def _lite(size: str, width: float, depth: float, parameters: int, macs: int) -> _Member:
    return _Member(
        architecture=lite(width, depth),
        parameters=parameters,
        macs=macs,
        weights={"imagenet": f"hf://timm/tf_efficientnet_{size}.in1k/model.safetensors"},
    )


def _symmetric(member: _Member, **presets: str) -> _Member:
    """The same network padded as PyTorch does; its weights are KerasHub presets, `<name>/<version>`."""
    hub = "kaggle://keras/efficientnet/keras/efficientnet_"
    return replace(
        member,
        architecture=member.architecture.symmetric(),
        weights={source: hub + preset for source, preset in presets.items()},
    )


# timm's further checkpoints of B* expect other pixels (`ap_in1k`), as do V2-B3's of ImageNet-21k: not listed.
_AA, _IN1K, _NS, _RA = "aa_in1k", "in1k", "ns_jft_in1k", "ra_in1k"
_FT, _IN21K = "in21k_ft_in1k", "in21k"

# fmt: off
# size, width, depth, parameters, MACs, md5 of tf-keras's file, timm's tags
_MOBILE = {
    "b0": _mobile("b0", 1.0, 1.0, 3_634_844, 1_901_490_688, "50bc09e76180e00e4465e1a485ddc09d", _AA, _IN1K, _NS),
    "b1": _mobile("b1", 1.0, 1.1, 6_160_512, 2_859_911_680, "74c4e6b3e1f6a1eea24c589628592432", _AA, _IN1K, _NS),
    "b2": _mobile("b2", 1.1, 1.2, 7_267_314, 3_302_964_160, "111f8e2ac8aa800a7a99e3239f7bfb39", _AA, _IN1K, _NS),
    "b3": _mobile("b3", 1.2, 1.4, 10_187_560, 4_862_783_552, "af6d107764bb5b1abb91932881670226", _AA, _IN1K, _NS),
    "b4": _mobile("b4", 1.4, 1.8, 16_863_832, 7_628_067_168, "ebc24e6d6c33eaebbd558eafbeedf1ba", _AA, _IN1K, _NS),
    "b5": _mobile("b5", 1.6, 2.2, 27_456_752, 12_010_576_704, "38879255a25d3c92d5e44e04ae6cec6f", _AA, _IN1K, _NS, _RA),
    "b6": _mobile("b6", 1.8, 2.6, 39_623_816, 17_171_777_376, "9ecce42647a20130c1f39a5d4cb75743", _AA, _NS),
    "b7": _mobile("b7", 2.0, 3.1, 62_449_040, 26_526_831_616, "cbcfe4450ddf6f3ad90b1b398090fe4a", _AA, _NS, _RA),
}
# size, architecture, parameters, MACs, md5 of tf-keras's file, timm's tags
_V2_BASE = {
    "v2_b0": _v2("b0", v2("b", 1.0, 1.0), 5_668_432, 3_677_674_752, "893217f2bb855e2983157299931e43ff", _IN1K),
    "v2_b1": _v2("b1", v2("b", 1.0, 1.1), 6_680_244, 5_232_683_008, "0e80663031ca32d657f9caa404b6ec37", _IN1K),
    "v2_b2": _v2("b2", v2("b", 1.1, 1.2), 8_470_878, 6_017_748_032, "1dfe2e7a5d45b6632553a8961ea609eb", _IN1K),
    "v2_b3": _v2("b3", v2("b", 1.2, 1.4), 12_568_126, 8_302_312_192, "f6abf7b5849ac99a89b50dd3fd532856", _IN1K),
}
_V2_LARGE = {
    "v2_s": _v2("s", v2("s"), 19_998_560, 14_783_196_160, "af0682fb74e8c54910f2d4393339c070", _IN1K, _FT, _IN21K),
    "v2_m": _v2("m", v2("m"), 52_489_908, 27_798_793_728, "1b8dc055df72dde80d614482840fe342", _IN1K, _FT, _IN21K),
    "v2_l": _v2("l", v2("l"), 116_922_528, 63_592_020_992, "b0b66b5c863aef5b46e8608fe1711615", _IN1K, _FT, _IN21K),
}
# size, width, depth, parameters, MACs
_LITE = {
    "lite0": _lite("lite0", 1.0, 1.0, 2_998_304, 1_900_863_488),
    "lite1": _lite("lite1", 1.0, 1.1, 3_774_624, 2_513_592_320),
    "lite2": _lite("lite2", 1.1, 1.2, 4_413_488, 2_889_936_896),
    "lite3": _lite("lite3", 1.2, 1.4, 6_496_128, 4_319_268_864),
    "lite4": _lite("lite4", 1.4, 1.8, 11_259_376, 6_887_374_848),
}
# fmt: on
_SYMMETRIC = {
    "b0_symmetric": _symmetric(_MOBILE["b0"], imagenet="b0_ra_imagenet/2"),
    "b1_symmetric": _symmetric(_MOBILE["b1"], imagenet="b1_ft_imagenet/5"),
    "b2_symmetric": _symmetric(_MOBILE["b2"], imagenet="b2_ra_imagenet/2"),
    "b3_symmetric": _symmetric(_MOBILE["b3"], imagenet="b3_ra2_imagenet/2"),
    "b4_symmetric": _symmetric(_MOBILE["b4"], imagenet="b4_ra2_imagenet/2"),
    "b5_symmetric": _symmetric(_MOBILE["b5"], imagenet="b5_sw_ft_imagenet/2", in12k="b5_sw_imagenet/2"),
    "lite0_symmetric": _symmetric(_LITE["lite0"], imagenet="lite0_ra_imagenet/2"),
}

_FAMILIES = (
    _Family(
        title="EfficientNet-",
        what="inverted residuals with squeeze-excite and swish",
        paper=_V1_PAPER,
        normalization=_IMAGENET,
        members=_MOBILE,
    ),
    _Family(
        title="EfficientNetV2-",
        what="fused convolutions in the early stages, squeeze-excite in the late ones",
        paper=_V2_PAPER,
        normalization=_IMAGENET,
        members=_V2_BASE,
    ),
    _Family(
        title="EfficientNetV2-",
        what="fused convolutions in the early stages, squeeze-excite in the late ones",
        paper=_V2_PAPER,
        normalization=_V2_PIXELS,
        members=_V2_LARGE,
    ),
    _Family(
        title="EfficientNet-",
        what="ReLU6 and no squeeze-excite, made for int8 hardware",
        paper=_V1_PAPER,
        normalization=_LITE_PIXELS,
        members=_LITE,
    ),
    _Family(
        title="EfficientNet-",
        what="the same network padded and trained as in PyTorch",
        paper=_V1_PAPER,
        normalization=_IMAGENET,
        members=_SYMMETRIC,
    ),
)

ARCHITECTURES: dict[str, Architecture] = {
    f"efficientnet_{size}": member.architecture
    for family in _FAMILIES
    for size, member in family.members.items()
}

SPECS: tuple[EncoderSpec, ...] = tuple(spec for family in _FAMILIES for spec in family.specs())
