"""What each CSPNet variant is, as data. Nothing here imports TensorFlow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from registry.pyramid import LEVELS, EncoderSpec, NoOptions, Normalization
from registry_cspnet.architecture import Activation, BlockType, CSPNetArchitecture, StageType

__all__ = ["SPECS", "CustomCSPNetOptions", "architecture_of"]

PositiveInt = Annotated[int, Field(strict=True, ge=1)]
PositiveInts = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Strides = Annotated[tuple[Literal[1, 2], ...], Field(min_length=1)]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]


class CustomCSPNetOptions(BaseModel):
    """A CSPNet spelt out, as KerasHub's `CSPNetBackbone` takes it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        json_schema_extra={
            "examples": [
                {
                    "stem_filters": 8,
                    "stem_kernel_size": 3,
                    "stem_strides": 1,
                    "stem_padding": "same",
                    "stackwise_depth": [1, 1, 2, 2, 1],
                    "stackwise_strides": 2,
                    "stackwise_num_filters": [8, 8, 16, 16, 24],
                    "block_type": "dark_block",
                    "stage_type": "csp",
                    "block_ratio": 0.5,
                    "groups": 2,
                }
            ]
        },
    )

    stem_filters: PositiveInts = Field(description="Filters of each convolution of the stem.")
    stem_kernel_size: PositiveInt = Field(
        description="Height and width of the stem's kernels, an odd number."
    )
    stem_strides: Literal[1, 2, 4] = Field(
        description="Stride of the stem; 4 is one more convolution or pooling."
    )
    stackwise_depth: PositiveInts = Field(description="Number of blocks of each stage.")
    stackwise_strides: Strides = Field(
        description="Stride of each stage; the last stands for those not given."
    )
    stackwise_num_filters: PositiveInts = Field(description="Filters of each stage.")
    block_type: BlockType
    stage_type: StageType = Field(description="`csp` (cross stage), `cs3` (one transition fewer) or `dark`.")
    groups: PositiveInt = Field(1, description="Groups of the 3×3 and of the downsampling convolutions.")
    activation: Activation = "leaky_relu"
    output_strides: Literal[32] = Field(
        32, description="KerasHub's argument of that name; here the preset's `output_stride` decides."
    )
    bottle_ratio: Ratios = Field((1.0,), description="Hidden filters of a block ÷ filters of the block.")
    block_ratio: Ratios = Field((1.0,), description="Filters of a block ÷ filters of its stage.")
    expand_ratio: Ratios = Field((1.0,), description="Filters before the split ÷ filters of the stage.")
    stem_padding: Literal["valid", "same"] = "valid"
    stem_pooling: Literal["max"] | None = None
    avg_down: StrictBool = Field(False, description="Downsample by average pooling and a 1×1 convolution.")
    down_growth: StrictBool = Field(False, description="Downsampling already widens to the stage's filters.")
    cross_linear: StrictBool = Field(False, description="No activation between expansion and split.")

    @field_validator(
        "stem_filters", "stackwise_strides", "bottle_ratio", "block_ratio", "expand_ratio", mode="before"
    )
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:
        return value if isinstance(value, (list, tuple)) else (value,)

    @field_validator("stem_kernel_size", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        return value[0] if isinstance(value, (list, tuple)) and len(set(value)) == 1 else value

    @model_validator(mode="after")
    def _parts_fit(self) -> CustomCSPNetOptions:
        if len(self.stackwise_depth) != len(self.stackwise_num_filters):
            raise ValueError("`stackwise_depth` and `stackwise_num_filters` must have the same length")
        if self.stem_pooling and self.stem_strides != 4:
            raise ValueError(
                "`stem_pooling` is the second half of a stem of stride 4: `stem_strides` must be 4"
            )
        _require_size_kept(self)
        architecture = self.architecture()
        _require_channels_fit(architecture)
        levels = architecture.channels()
        if not levels or not set(levels) <= set(LEVELS):
            raise ValueError(
                f"stem and stages must reach a stride of 2 … 32, one of the levels {LEVELS[0]} … {LEVELS[-1]}"
            )
        return self

    def architecture(self) -> CSPNetArchitecture:
        """The options without KerasHub's `output_strides`, as an architecture."""
        return CSPNetArchitecture(**self.model_dump(exclude={"output_strides"}))


def _require_size_kept(options: CustomCSPNetOptions) -> None:
    """Every convolution must give ⌈size ÷ stride⌉; KerasHub's own padding does not always."""
    kernel = options.stem_kernel_size
    if kernel % 2 == 0:
        raise ValueError("`stem_kernel_size` must be odd")
    strides = options.architecture().stem_convolution_strides
    if kernel > 1 and options.stem_padding != ("same" if strides[0] == 1 else "valid"):
        raise ValueError(
            "`stem_padding` must be 'same' for a stem that starts at stride 1 and 'valid' for one that starts at "
            "stride 2, which is padded by itself; else the stem loses or adds border pixels"
        )
    if kernel > 1 and any(stride == 1 for stride in strides[1:]):
        raise ValueError(
            "from the second on, a convolution of the stem is not padded, so one of stride 1 loses border pixels: "
            "give `stem_filters` one entry, or two with `stem_strides` 4 and no pooling"
        )
    if options.stage_type == "dark" and not options.avg_down and 1 in options.stackwise_strides:
        raise ValueError(
            "a `dark` stage of stride 1 has a 3×3 convolution without padding and loses border pixels: "
            "give its stride as 2, or set `avg_down`"
        )


def _require_channels_fit(architecture: CSPNetArchitecture) -> None:
    before = architecture.stem_filters[-1]
    for index, stage in enumerate(architecture.stages()):
        dark = architecture.stage_type == "dark"
        through_blocks = stage.filters if dark else stage.expand_filters // 2
        if stage.expand_filters % 2:
            raise ValueError(
                f"stage {index} splits {stage.expand_filters} channels in two halves: "
                "`stackwise_num_filters` × `expand_ratio` must be even"
            )
        if stage.block_filters != through_blocks:
            raise ValueError(
                f"the blocks of stage {index} must keep their {through_blocks} channels, since their input is added "
                f"to their result: `stackwise_num_filters` × `block_ratio` is {stage.block_filters}"
            )
        grouped = [stage.hidden_filters]
        if architecture.block_type != "bottleneck_block":
            grouped.append(stage.block_filters)
        if dark or stage.stride > 1:
            grouped += [before, stage.down_filters or before]
        if any(count % architecture.groups or not count for count in grouped):
            raise ValueError(
                f"`groups` is {architecture.groups}, which must divide the channels of every grouped convolution; "
                f"stage {index} has {', '.join(map(str, grouped))}"
            )
        before = stage.channels


_DARK_53: dict[str, Any] = {
    "stem_filters": (32,),
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stem_padding": "same",
    "stem_pooling": None,
    "stackwise_depth": (1, 2, 8, 8, 4),
    "stackwise_strides": (2,),
    "stackwise_num_filters": (64, 128, 256, 512, 1024),
    "block_type": "dark_block",
}
_CSP_50: dict[str, Any] = {
    "stem_filters": (64,),
    "stem_kernel_size": 7,
    "stem_strides": 4,
    "stem_padding": "valid",
    "stem_pooling": "max",
    "stackwise_depth": (3, 3, 5, 2),
    "stackwise_strides": (1, 2),
    "block_type": "bottleneck_block",
    "stage_type": "csp",
    "cross_linear": True,
}
_ARCHITECTURES = {
    "csp_darknet_53": CSPNetArchitecture(
        **_DARK_53,
        stage_type="csp",
        bottle_ratio=(0.5, 1.0),
        block_ratio=(1.0, 0.5),
        expand_ratio=(2.0, 1.0),
        down_growth=True,
    ),
    "csp_resnet_50": CSPNetArchitecture(
        **_CSP_50,
        stackwise_num_filters=(128, 256, 512, 1024),
        bottle_ratio=(0.5,),
        block_ratio=(1.0,),
        expand_ratio=(2.0,),
    ),
    "csp_resnext_50": CSPNetArchitecture(
        **_CSP_50,
        stackwise_num_filters=(256, 512, 1024, 2048),
        bottle_ratio=(1.0,),
        block_ratio=(0.5,),
        expand_ratio=(1.0,),
        groups=32,
    ),
    "darknet_53": CSPNetArchitecture(**_DARK_53, stage_type="dark", bottle_ratio=(0.5,)),
}

_CSP_PAPER = "https://arxiv.org/abs/1911.11929"
# variant → (parameters up to P5, MACs at 512×512, preset on Kaggle, file of timm, paper, description)
_NAMED: dict[str, tuple[int, int, str, str, str, str]] = {
    "csp_darknet_53": (
        26_652_512,
        26_130_513_920,
        "csp_darknet_53_ra_imagenet/2",
        "cspdarknet53.ra_in1k",
        _CSP_PAPER,
        "DarkNet-53 with cross stage partial connections, the encoder of YOLOv4.",
    ),
    "csp_resnet_50": (
        20_631_488,
        18_064_867_328,
        "csp_resnet_50_ra_imagenet/1",
        "cspresnet50.ra_in1k",
        _CSP_PAPER,
        "ResNet-50 with cross stage partial connections.",
    ),
    "csp_resnext_50": (
        18_578_368,
        16_051_601_408,
        "csp_resnext_50_ra_imagenet/1",
        "cspresnext50.ra_in1k",
        _CSP_PAPER,
        "ResNeXt-50 with cross stage partial connections: 3×3 convolutions in 32 groups.",
    ),
    "darknet_53": (
        40_620_640,
        37_136_367_616,
        "darknet_53_imagenet/1",
        "darknet53.c2ns_in1k",
        "https://arxiv.org/abs/1804.02767",
        "DarkNet-53, the encoder of YOLOv3.",
    ),
}

_IMAGENET = Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_OUTPUT_STRIDES = (8, 16, 32)

SPECS: tuple[EncoderSpec, ...] = (
    *(
        EncoderSpec(
            name=name,
            channels=_ARCHITECTURES[name].channels(),
            output_strides=_OUTPUT_STRIDES,
            normalization=_IMAGENET,
            weights={
                "imagenet": f"kaggle://keras/cspdarknet/keras/{preset}",
                "timm": f"hf://timm/{file}/model.safetensors",
            },
            parameters=parameters,
            macs=macs,
            license="Apache-2.0",
            paper=paper,
            description=description,
        )
        for name, (parameters, macs, preset, file, paper, description) in _NAMED.items()
    ),
    EncoderSpec(
        name="cspnet_custom",
        channels=lambda options: options.architecture().channels(),
        output_strides=_OUTPUT_STRIDES,
        options=CustomCSPNetOptions,
        normalization=_IMAGENET,
        keras_hub_class="CSPNetBackbone",
        license="Apache-2.0",
        paper=_CSP_PAPER,
        description="A CSPNet of your own: stem, stages and blocks are options.",
    ),
)


def architecture_of(variant: str, options: CustomCSPNetOptions | NoOptions) -> CSPNetArchitecture:
    """Architecture of a variant; the custom one takes it from its options."""
    if isinstance(options, CustomCSPNetOptions):
        return options.architecture()
    return _ARCHITECTURES[variant]
