"""What each Mix Transformer variant is, as data. Nothing here imports TensorFlow.

Paper: SegFormer, arXiv:2105.15203; the table of variants is in its appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from registry.pyramid import EncoderSpec, NoOptions, Normalization

__all__ = ["SPECS", "CustomMiTOptions", "MiTArchitecture", "architecture_of"]

PositiveInt = Annotated[int, Field(strict=True, ge=1)]
PositiveInts = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=4)]

# Overlapping patches are taken at these strides: levels P2 … P5.
STRIDES = (4, 2, 2, 2)
_MIN_SIZE = 32


@dataclass(frozen=True, kw_only=True)
class MiTArchitecture:
    """The hyperparameters of a Mix Transformer, one entry per stage, named as in KerasHub's `MiTBackbone`."""

    hidden_dims: tuple[int, ...]
    layerwise_depths: tuple[int, ...]
    layerwise_num_heads: tuple[int, ...] = (1, 2, 5, 8)
    layerwise_sr_ratios: tuple[int, ...] = (8, 4, 2, 1)
    layerwise_patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    max_drop_path_rate: float = 0.1

    def channels(self) -> dict[str, int]:
        """Channels per pyramid level; there is no stage of stride 2."""
        return {f"P{index + 2}": dim for index, dim in enumerate(self.hidden_dims)}

    def drop_path_rates(self) -> list[float]:
        """Probability of leaving out the residual branches of each block: from 0 at the first to the largest."""
        last = sum(self.layerwise_depths) - 1
        return [self.max_drop_path_rate * block / last if last else 0.0 for block in range(last + 1)]


class CustomMiTOptions(BaseModel):
    """A Mix Transformer spelt out, as KerasHub's `MiTBackbone` takes it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        json_schema_extra={
            "examples": [
                {
                    "hidden_dims": [8, 16, 20, 32],
                    "layerwise_depths": [1, 1, 1, 1],
                    "layerwise_num_heads": [1, 2, 5, 8],
                    "layerwise_sr_ratios": [8, 4, 2, 1],
                    "layerwise_patch_sizes": [7, 3, 3, 3],
                }
            ]
        },
    )

    hidden_dims: PositiveInts = Field(description="Channels of each stage.")
    layerwise_depths: PositiveInts = Field(description="Number of transformer blocks of each stage.")
    layerwise_num_heads: PositiveInts = Field(description="Attention heads of each stage.")
    layerwise_sr_ratios: PositiveInts = Field(
        description="Factor by which each stage shrinks height and width of what attention looks at."
    )
    layerwise_patch_sizes: PositiveInts = Field(
        description="Kernel size of each patch embedding, odd numbers."
    )
    layerwise_strides: PositiveInts | None = Field(
        None, description="Strides of the patch embeddings, [4, 2, 2, 2]; the pyramid leaves no other choice."
    )
    num_layers: PositiveInt | None = Field(
        None, description="Number of stages; the other options tell it, too."
    )
    max_drop_path_rate: float = Field(
        0.0, ge=0, lt=1, description="Stochastic depth in training: probability at the last block."
    )

    @model_validator(mode="after")
    def _stages_agree(self) -> CustomMiTOptions:
        stages = len(self.hidden_dims)
        for name in (
            "layerwise_depths",
            "layerwise_num_heads",
            "layerwise_sr_ratios",
            "layerwise_patch_sizes",
        ):
            if len(getattr(self, name)) != stages:
                raise ValueError(f"`{name}` and `hidden_dims` must have the same length")
        if self.num_layers not in (None, stages):
            raise ValueError(f"`num_layers` must be the number of stages, {stages}")
        if self.layerwise_strides not in (None, STRIDES[:stages]):
            raise ValueError(
                f"`layerwise_strides` must be {list(STRIDES[:stages])}: P2 has stride 4, each level doubles it"
            )
        if any(size % 2 == 0 for size in self.layerwise_patch_sizes):
            raise ValueError("`layerwise_patch_sizes` must be odd: patches overlap evenly on both sides")
        for index, (dim, heads, ratio) in enumerate(
            zip(self.hidden_dims, self.layerwise_num_heads, self.layerwise_sr_ratios, strict=True)
        ):
            if dim % heads:
                raise ValueError(
                    f"stage {index} divides {dim} channels among {heads} heads, which leaves a rest"
                )
            if 2 ** (index + 2) * ratio > _MIN_SIZE:
                raise ValueError(
                    f"stage {index} has stride {2 ** (index + 2)}; shrunk by {ratio}, nothing is left of an image of "
                    f"{_MIN_SIZE} pixels: its `layerwise_sr_ratios` is at most {_MIN_SIZE // 2 ** (index + 2)}"
                )
        return self

    def architecture(self) -> MiTArchitecture:
        """The options without what follows from the others."""
        return MiTArchitecture(**self.model_dump(exclude={"layerwise_strides", "num_layers"}))


_SMALL_DIMS, _DIMS = (32, 64, 160, 256), (64, 128, 320, 512)
# variant → (channels, blocks per stage, parameters up to P5, MACs at 512×512, presets on Kaggle by source)
_NAMED: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, int, dict[str, str]]] = {
    "mit_b0": (
        _SMALL_DIMS,
        (2, 2, 2, 2),
        3_319_392,
        3_203_661_824,
        {"ade20k": "mit_b0_ade20k_512/4", "cityscapes": "mit_b0_cityscapes_1024/3"},
    ),
    "mit_b1": (
        _DIMS,
        (2, 2, 2, 2),
        13_151_424,
        10_433_855_488,
        {"ade20k": "mit_b1_ade20k_512/4", "cityscapes": "mit_b1_cityscapes_1024/3"},
    ),
    "mit_b2": (
        _DIMS,
        (3, 4, 6, 3),
        24_196_288,
        20_235_419_648,
        {"ade20k": "mit_b2_ade20k_512/4", "cityscapes": "mit_b2_cityscapes_1024/3"},
    ),
    "mit_b3": (
        _DIMS,
        (3, 4, 18, 3),
        44_072_128,
        36_860_592_128,
        {"ade20k": "mit_b3_ade20k_512/3", "cityscapes": "mit_b3_cityscapes_1024/3"},
    ),
    "mit_b4": (
        _DIMS,
        (3, 8, 27, 3),
        60_842_688,
        53_465_055_232,
        {"ade20k": "mit_b4_ade20k_512/3", "cityscapes": "mit_b4_cityscapes_1024/3"},
    ),
    "mit_b5": (
        _DIMS,
        (3, 6, 40, 3),
        81_443_008,
        69_407_866_880,
        {"ade20k": "mit_b5_ade20k_640/3", "cityscapes": "mit_b5_cityscapes_1024/3"},
    ),
}

_PAPER = "https://arxiv.org/abs/2105.15203"
_IMAGENET = Normalization.from_mean_std((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_STRIDE_NOTE = "Output stride 32 only: its strided attention cannot be dilated."

_ARCHITECTURES = {
    name: MiTArchitecture(hidden_dims=dims, layerwise_depths=depths)
    for name, (dims, depths, *_) in _NAMED.items()
}

SPECS: tuple[EncoderSpec, ...] = (
    *(
        EncoderSpec(
            name=name,
            channels=_ARCHITECTURES[name].channels(),
            output_strides=(32,),
            min_size=_MIN_SIZE,
            normalization=_IMAGENET,
            weights={source: f"kaggle://keras/mit/keras/{preset}" for source, preset in presets.items()},
            parameters=parameters,
            macs=macs,
            # KerasHub converted these weights from NVIDIA's, whose license is for research and evaluation.
            license="LicenseRef-NVIDIA-SegFormer",
            paper=_PAPER,
            description=f"Mix Transformer {name[4:].upper()} with {sum(depths)} blocks. {_STRIDE_NOTE}",
        )
        for name, (_, depths, parameters, macs, presets) in _NAMED.items()
    ),
    EncoderSpec(
        name="mit_custom",
        channels=lambda options: options.architecture().channels(),
        output_strides=(32,),
        min_size=_MIN_SIZE,
        options=CustomMiTOptions,
        normalization=_IMAGENET,
        keras_hub_class="MiTBackbone",
        paper=_PAPER,
        description=f"A Mix Transformer of your own: channels, blocks and heads are options. {_STRIDE_NOTE}",
    ),
)


def architecture_of(variant: str, options: CustomMiTOptions | NoOptions) -> MiTArchitecture:
    """Architecture of a variant; the custom one takes it from its options."""
    if isinstance(options, CustomMiTOptions):
        return options.architecture()
    return _ARCHITECTURES[variant]
