"""What tf_keras.applications offers and what of it becomes an encoder, as data. Nothing here imports TensorFlow.

Rows are checked by tests: parameters, MACs and channels against the graphs, addresses and hashes against tf-keras.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from registry.pyramid import EncoderSpec, Normalization

__all__ = ["EXCLUDED", "FAMILIES", "SPECS", "Application", "Family", "application_of"]

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications"

# `preprocess_input` by its mode, for RGB; `caffe` expects BGR, which `Family.first_layer_bgr` sees to.
_TORCH = Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_TF = Normalization(scale=1 / 127.5, offset=-1.0)
_CAFFE = Normalization(scale=1.0, offset=(-123.68, -116.779, -103.939))
_128 = Normalization(scale=1 / 128, offset=-1.0)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the variants of one paper have in common.

    Args:
        title: how the network is called.
        paper: where it is described.
        license: SPDX identifier of the published weights.
        normalization: equal to the family's `preprocess_input` and to what its models do themselves.
        first_layer_bgr: name of the first convolution, where its published kernel expects BGR.
        ends: pattern of the layers that may end a stage; None takes the last tensor that everything after it depends
            on.
        ends_with_the_network: whether the deepest level is the network's last map, whatever its name.
        first_stage: 1, or 2 for a network without a map of stride 2.
        unused_weights: layers beyond the deepest level, `{variant}` for its name.
        needs_size: whether the network's code asks for a size of image.
        pads_stem: whether convolutions and poolings pad here that do not in tf-keras.
    """

    title: str
    paper: str
    license: str
    normalization: Normalization
    first_layer_bgr: str = ""
    ends: str | None = None
    ends_with_the_network: bool = False
    first_stage: int = 1
    unused_weights: tuple[str, ...] = ()
    needs_size: bool = False
    pads_stem: bool = False


@dataclass(frozen=True, kw_only=True)
class Application:
    """One network of tf_keras.applications.

    Args:
        name: of its function there.
        family: what it shares with others.
        channels: of the levels, the first stage first.
        parameters: up to the deepest level.
        macs: likewise, for one image of 512×512.
        weights: addresses of files without classifier, by source.
    """

    name: str
    family: Family
    channels: tuple[int, ...]
    parameters: int
    macs: int
    weights: dict[str, str]

    def levels(self) -> dict[str, int]:
        """Channels by level."""
        return {f"P{self.family.first_stage + index}": count for index, count in enumerate(self.channels)}


FAMILIES: dict[str, Family] = {
    "resnet": Family(
        title="ResNet",
        paper="https://arxiv.org/abs/1512.03385",
        license="MIT",
        normalization=_CAFFE,
        first_layer_bgr="conv1_conv",
    ),
    "resnet_v2": Family(
        title="ResNetV2", paper="https://arxiv.org/abs/1603.05027", license="BSD-3-Clause", normalization=_TF
    ),
    "resnet_rs": Family(
        title="ResNet-RS",
        paper="https://arxiv.org/abs/2103.07579",
        license="Apache-2.0",
        normalization=_TORCH,
    ),
    "densenet": Family(
        title="DenseNet",
        paper="https://arxiv.org/abs/1608.06993",
        license="BSD-3-Clause",
        normalization=_TORCH,
        ends=r"conv1/relu|conv\d_block\d+_concat",
        ends_with_the_network=True,
    ),
    "vgg": Family(
        title="VGG",
        paper="https://arxiv.org/abs/1409.1556",
        license="CC-BY-4.0",
        normalization=_CAFFE,
        first_layer_bgr="block1_conv1",
    ),
    "inception_v3": Family(
        title="Inception v3",
        paper="https://arxiv.org/abs/1512.00567",
        license="Apache-2.0",
        normalization=_TF,
        pads_stem=True,
    ),
    "inception_resnet": Family(
        title="Inception-ResNet v2",
        paper="https://arxiv.org/abs/1602.07261",
        license="Apache-2.0",
        normalization=_TF,
        pads_stem=True,
    ),
    "xception": Family(
        title="Xception",
        paper="https://arxiv.org/abs/1610.02357",
        license="MIT",
        normalization=_TF,
        pads_stem=True,
    ),
    "nasnet": Family(
        title="NASNet-A",
        paper="https://arxiv.org/abs/1707.07012",
        license="Apache-2.0",
        normalization=_TF,
        ends=r"stem_bn1|(?:normal|reduction)_concat_\w+",
        ends_with_the_network=True,
        needs_size=True,
        pads_stem=True,
    ),
    "mobilenet": Family(
        title="MobileNet", paper="https://arxiv.org/abs/1704.04861", license="Apache-2.0", normalization=_TF
    ),
    "mobilenet_v2": Family(
        title="MobileNetV2",
        paper="https://arxiv.org/abs/1801.04381",
        license="Apache-2.0",
        normalization=_TF,
        ends=r"expanded_conv_project_BN|block_\d+_(?:add|project_BN)",
        unused_weights=("Conv_1", "Conv_1_bn"),
    ),
    "mobilenet_v3": Family(
        title="MobileNetV3",
        paper="https://arxiv.org/abs/1905.02244",
        license="Apache-2.0",
        normalization=_TF,
        ends=r"mobilenet_v3_small_multiply_0|expanded_conv(?:_\d+)?/(?:Add|project/BatchNorm)",
        ends_with_the_network=True,
    ),
    "efficientnet": Family(
        title="EfficientNet",
        paper="https://arxiv.org/abs/1905.11946",
        license="Apache-2.0",
        normalization=_TORCH,
        ends=r"block\d[a-z]_(?:add|project_bn)",
        unused_weights=("top_conv", "top_bn"),
    ),
    "efficientnet_v2_b": Family(
        title="EfficientNetV2",
        paper="https://arxiv.org/abs/2104.00298",
        license="Apache-2.0",
        normalization=_TORCH,
        ends=r"block\d[a-z]_(?:add|project_bn|project_activation)",
        unused_weights=("top_conv", "top_bn"),
    ),
    "convnext": Family(
        title="ConvNeXt",
        paper="https://arxiv.org/abs/2201.03545",
        license="MIT",
        normalization=_TORCH,
        ends=r"\w+_sum_\d+",
        first_stage=2,
        unused_weights=("{variant}_layer_normalization_0",),
    ),
    "regnet": Family(
        title="RegNet",
        paper="https://arxiv.org/abs/2003.13678",
        license="MIT",
        normalization=Normalization(scale=1 / 255),
    ),
}
FAMILIES["efficientnet_v2"] = replace(FAMILIES["efficientnet_v2_b"], normalization=_128)


def _applications() -> dict[str, Application]:
    table = (Path(__file__).parent / "variants.csv").read_text(encoding="utf-8").splitlines()
    return {
        row["variant"]: Application(
            name=row["application"],
            family=FAMILIES[row["family"]],
            channels=tuple(map(int, row["channels"].split())),
            parameters=int(row["parameters"]),
            macs=int(row["macs"]),
            weights={name: _address(file) for name, file in map(_name_and_file, row["weights"].split())},
        )
        for row in csv.DictReader(table)
    }


def _name_and_file(word: str) -> tuple[str, str]:
    name, _, file = word.partition("=")
    return name, file


def _address(file: str) -> str:
    return file if "://" in file else f"{_STORE}/{file}"


def _description(application: Application) -> str:
    sentence = f"{application.family.title} as tf_keras.applications.{application.name} builds it"
    return f"{sentence}, its stem padded." if application.family.pads_stem else f"{sentence}."


_APPLICATIONS = _applications()

SPECS: tuple[EncoderSpec, ...] = tuple(
    EncoderSpec(
        name=variant,
        channels=application.levels(),
        output_strides=(8, 16, 32),
        normalization=application.family.normalization,
        weights=application.weights,
        unused_weights=tuple(name.format(variant=variant) for name in application.family.unused_weights),
        parameters=application.parameters,
        macs=application.macs,
        license=application.family.license,
        paper=application.family.paper,
        description=_description(application),
    )
    for variant, application in _APPLICATIONS.items()
)

# What tf_keras.applications has and no variant offers, with the reason.
EXCLUDED: dict[str, str] = {}


def application_of(variant: str) -> Application:
    """The network of a variant."""
    return _APPLICATIONS[variant]
