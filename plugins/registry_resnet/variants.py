"""What each ResNet variant is, as data. Nothing here imports TensorFlow.

Papers: v1 arXiv:1512.03385, v2 arXiv:1603.05027, vd ("bag of tricks", ResNet-D) arXiv:1812.01187,
multi-grid and output stride arXiv:1706.05587.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from registry.pyramid import EncoderSpec, Normalization

__all__ = [
    "SPECS",
    "BlockType",
    "CustomResNetOptions",
    "ResNetArchitecture",
    "ResNetOptions",
    "architecture_of",
]

BlockType = Literal["basic_block", "bottleneck_block", "basic_block_vd", "bottleneck_block_vd"]
Activation = Literal["relu", "swish"]
Padding = Literal["symmetric", "same"]
PositiveInt = Annotated[int, Field(strict=True, ge=1)]
PositiveInts = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class ResNetArchitecture:
    """The hyperparameters of a ResNet, named as in KerasHub's `ResNetBackbone`."""

    input_conv_filters: tuple[int, ...]
    input_conv_kernel_sizes: tuple[int, ...]
    stackwise_num_filters: tuple[int, ...]
    stackwise_num_blocks: tuple[int, ...]
    block_type: BlockType
    use_pre_activation: bool
    activation: Activation = "relu"
    padding: Padding = "symmetric"
    norm_epsilon: float = 1e-5
    norm_momentum: float = 0.9
    early_rate: bool = False

    @property
    def is_published(self) -> bool:
        """Whether it computes as the networks of KerasHub's and PyTorch's weights do."""
        return self == replace(
            self, activation="relu", padding="symmetric", norm_epsilon=1e-5, early_rate=False
        )

    @property
    def is_bottleneck(self) -> bool:
        """Whether a block is 1×1 → 3×3 → 1×1 with four times the filters at its end."""
        return self.block_type.startswith("bottleneck_block")

    @property
    def is_vd(self) -> bool:
        """Whether shortcuts downsample by average pooling instead of a strided convolution."""
        return self.block_type.endswith("_vd")

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level: P1 is the stem, P2 … the stacks."""
        expansion = 4 if self.is_bottleneck else 1
        levels = {"P1": self.input_conv_filters[-1]}
        for index, filters in enumerate(self.stackwise_num_filters):
            levels[f"P{index + 2}"] = filters * expansion
        return levels


class ResNetOptions(BaseModel):
    """Options of every named variant."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    multi_grid: PositiveInts | None = Field(
        None, description="Factor on the atrous rate of each block of the last stack, e.g. [1, 2, 4]."
    )
    early_rate: StrictBool = Field(
        False,
        description="A convolution that loses its stride has the atrous rate of those after it, as in Model Garden "
        "and segmentation_models.pytorch.",
    )


class CustomResNetOptions(ResNetOptions):
    """A ResNet spelt out, as KerasHub's `ResNetBackbone` takes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "input_conv_filters": [16],
                    "input_conv_kernel_sizes": [7],
                    "stackwise_num_filters": [16, 24, 32, 48],
                    "stackwise_num_blocks": [1, 1, 1, 1],
                    "block_type": "basic_block",
                }
            ]
        }
    )

    input_conv_filters: PositiveInts
    input_conv_kernel_sizes: PositiveInts
    stackwise_num_filters: PositiveInts = Field(max_length=4)
    stackwise_num_blocks: PositiveInts
    stackwise_num_strides: PositiveInts | None = Field(
        None, description="Strides of the stacks, [1, 2, 2, 2]; the pyramid contract leaves no other choice."
    )
    block_type: BlockType
    use_pre_activation: StrictBool = False
    activation: Activation = Field("relu", description="After each normalization.")
    padding: Padding = Field(
        "symmetric",
        description="Of strided layers: both sides alike, as PyTorch's, or TensorFlow's `same`, more at the end.",
    )
    norm_epsilon: Annotated[float, Field(strict=True, gt=0.0, lt=1.0)] = Field(
        1e-5, description="Added to the variance in each batch normalization."
    )
    norm_momentum: Annotated[float, Field(strict=True, ge=0.0, lt=1.0)] = Field(
        0.9, description="Of the moving statistics of each batch normalization."
    )

    @model_validator(mode="after")
    def _lengths_agree(self) -> CustomResNetOptions:
        if len(self.input_conv_filters) != len(self.input_conv_kernel_sizes):
            raise ValueError("`input_conv_filters` and `input_conv_kernel_sizes` must have the same length")
        if len(self.stackwise_num_filters) != len(self.stackwise_num_blocks):
            raise ValueError("`stackwise_num_filters` and `stackwise_num_blocks` must have the same length")
        if self.block_type == "basic_block" and self.input_conv_filters[-1] != self.stackwise_num_filters[0]:
            raise ValueError(
                "the first stack of basic blocks has no projection, so the last of `input_conv_filters` must equal "
                "the first of `stackwise_num_filters`"
            )
        strides = (1,) + (2,) * (len(self.stackwise_num_filters) - 1)
        if self.stackwise_num_strides not in (None, strides):
            raise ValueError(
                f"`stackwise_num_strides` must be {list(strides)}: each level doubles the stride"
            )
        if self.use_pre_activation and self.block_type.endswith("_vd"):
            raise ValueError(
                "a vd block has no pre-activation form: its pre-activated shortcut does not downsample"
            )
        return self

    def architecture(self) -> ResNetArchitecture:
        """The options without `multi_grid`, as an architecture."""
        return ResNetArchitecture(**self.model_dump(exclude={"multi_grid", "stackwise_num_strides"}))


_BLOCKS: dict[int, tuple[bool, tuple[int, ...]]] = {
    # depth: (bottleneck, blocks per stack)
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
    200: (True, (3, 12, 48, 3)),
}

_IMAGENET = Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = Normalization.from_mean_std((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class _Family:
    prefix: str
    title: str
    paper: str
    vd: bool
    pre_activation: bool
    normalization: Normalization
    # depth → (parameters up to P5, MACs at 512×512, published ImageNet weights by name)
    members: dict[int, tuple[int, int, dict[str, str]]]

    def architecture(self, depth: int) -> ResNetArchitecture:
        bottleneck, blocks = _BLOCKS[depth]
        block_type: Any = ("bottleneck_block" if bottleneck else "basic_block") + ("_vd" if self.vd else "")
        return ResNetArchitecture(
            input_conv_filters=(32, 32, 64) if self.vd else (64,),
            input_conv_kernel_sizes=(3, 3, 3) if self.vd else (7,),
            stackwise_num_filters=(64, 128, 256, 512),
            stackwise_num_blocks=blocks,
            block_type=block_type,
            use_pre_activation=self.pre_activation,
        )


def _kaggle(model: str, *names: str) -> dict[str, str]:
    """Handles on Kaggle: the source is named after what follows the variant, `imagenet` first."""
    version = {"resnetv1": 3, "resnetv2": 3, "resnet_vd": 2}[model]
    handles = {}
    for name in names:
        source = (
            name.removeprefix("resnet_vd_")
            .removeprefix("resnet_v2_")
            .removeprefix("resnet_")
            .split("_", 1)[1]
        )
        handles[source] = f"kaggle://keras/{model}/keras/{name}/{version}"
    return handles


_FAMILIES = (
    _Family(
        prefix="resnet",
        title="ResNet",
        paper="https://arxiv.org/abs/1512.03385",
        vd=False,
        pre_activation=False,
        normalization=_IMAGENET,
        members={
            18: (11_186_112, 9_474_932_736, _kaggle("resnetv1", "resnet_18_imagenet")),
            34: (21_301_696, 19_138_609_152, {}),
            50: (23_561_152, 21_353_201_664, _kaggle("resnetv1", "resnet_50_imagenet")),
            101: (42_605_504, 40_747_663_360, _kaggle("resnetv1", "resnet_101_imagenet")),
            152: (58_295_232, 60_142_125_056, _kaggle("resnetv1", "resnet_152_imagenet")),
        },
    ),
    _Family(
        prefix="resnet_v2",
        title="ResNetV2",
        paper="https://arxiv.org/abs/1603.05027",
        vd=False,
        pre_activation=True,
        normalization=_HALF,
        members={
            18: (11_180_480, 9_474_932_736, {}),
            34: (21_296_064, 19_138_609_152, {}),
            50: (23_537_600, 21_353_201_664, _kaggle("resnetv2", "resnet_v2_50_imagenet")),
            101: (42_581_952, 40_747_663_360, _kaggle("resnetv2", "resnet_v2_101_imagenet")),
            152: (58_271_680, 60_142_125_056, {}),
        },
    ),
    _Family(
        prefix="resnet_vd",
        title="ResNet-vd",
        paper="https://arxiv.org/abs/1812.01187",
        vd=True,
        pre_activation=False,
        normalization=_IMAGENET,
        members={
            18: (11_209_824, 10_794_041_344, _kaggle("resnet_vd", "resnet_vd_18_imagenet")),
            34: (21_325_408, 20_457_717_760, _kaggle("resnet_vd", "resnet_vd_34_imagenet")),
            50: (
                23_580_512,
                22_605_201_408,
                _kaggle(
                    "resnet_vd",
                    "resnet_vd_50_imagenet",
                    "resnet_vd_50_ssld_imagenet",
                    "resnet_vd_50_ssld_v2_imagenet",
                    "resnet_vd_50_ssld_v2_fix_imagenet",
                ),
            ),
            101: (
                42_624_864,
                41_999_663_104,
                _kaggle("resnet_vd", "resnet_vd_101_imagenet", "resnet_vd_101_ssld_imagenet"),
            ),
            152: (58_314_592, 61_394_124_800, _kaggle("resnet_vd", "resnet_vd_152_imagenet")),
            200: (72_884_064, 79_647_735_808, _kaggle("resnet_vd", "resnet_vd_200_imagenet")),
        },
    ),
)

# What serves classification only: the normalization after the last stack of v2, and PyTorch's `fc`.
_UNUSED = ("post_bn", "predictions")

_ARCHITECTURES: dict[str, ResNetArchitecture] = {
    f"{family.prefix}_{depth}": family.architecture(depth) for family in _FAMILIES for depth in family.members
}


def _keras_hub_config(architecture: ResNetArchitecture, options: ResNetOptions) -> dict[str, Any] | None:
    """KerasHub's `ResNetBackbone` of these numbers; None where it refuses them, or has a layer that we lack."""
    if (
        options.multi_grid is not None
        or architecture.use_pre_activation
        or not architecture.is_published
        or architecture.stackwise_num_filters[0] != 64
    ):
        return None
    return {
        "module": "keras_hub.src.models.resnet.resnet_backbone",
        "class_name": "ResNetBackbone",
        "config": {
            "input_conv_filters": list(architecture.input_conv_filters),
            "input_conv_kernel_sizes": list(architecture.input_conv_kernel_sizes),
            "stackwise_num_filters": list(architecture.stackwise_num_filters),
            "stackwise_num_blocks": list(architecture.stackwise_num_blocks),
            "stackwise_num_strides": [1] + [2] * (len(architecture.stackwise_num_filters) - 1),
            "block_type": architecture.block_type,
            "use_pre_activation": architecture.use_pre_activation,
        },
        "registered_name": "keras_hub>ResNetBackbone",
    }


def _named_specs() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name=f"{family.prefix}_{depth}",
            channels=family.architecture(depth).channels(),
            output_strides=(8, 16, 32),
            options=ResNetOptions,
            normalization=family.normalization,
            weights=weights,
            unused_weights=_UNUSED,
            keras_hub_config=lambda options, name=f"{family.prefix}_{depth}": _keras_hub_config(  # type: ignore[misc]
                _ARCHITECTURES[name], options
            ),
            parameters=parameters,
            macs=macs,
            license="Apache-2.0",
            paper=family.paper,
            description=f"{family.title} with {depth} layers.",
        )
        for family in _FAMILIES
        for depth, (parameters, macs, weights) in family.members.items()
    ]


SPECS: tuple[EncoderSpec, ...] = (
    *_named_specs(),
    EncoderSpec(
        name="resnet_custom",
        channels=lambda options: options.architecture().channels(),
        output_strides=(8, 16, 32),
        options=CustomResNetOptions,
        unused_weights=_UNUSED,
        keras_hub_class="ResNetBackbone",
        keras_hub_config=lambda options: _keras_hub_config(options.architecture(), options),
        license="Apache-2.0",
        paper="https://arxiv.org/abs/1512.03385",
        description="A ResNet of your own: filters, blocks and block type are options.",
    ),
)


def architecture_of(variant: str, options: ResNetOptions) -> ResNetArchitecture:
    """Architecture of a variant; the custom one takes it from its options."""
    if isinstance(options, CustomResNetOptions):
        return options.architecture()
    return replace(_ARCHITECTURES[variant], early_rate=options.early_rate)
