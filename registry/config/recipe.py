"""What a recipe may say: how a preset is trained.

Names and defaults are those of the DeepLab papers (arXiv:1706.05587, section 4; arXiv:1802.02611, section 4), where
they state one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from registry.architecture import Fraction, PositiveInt, Section
from registry.config.compression import CompressionTraining
from registry.config.data import DataSource
from registry.config.quantization import QuantizationTraining
from registry.config.scalars import NonNegative, Positive, Word

__all__ = [
    "AdamWConfig",
    "AugmentationConfig",
    "BatchNormTraining",
    "BoundaryLoss",
    "CheckpointConfig",
    "CrossEntropyLoss",
    "DataConfig",
    "DiceLoss",
    "DistributionConfig",
    "EarlyStoppingConfig",
    "EmaConfig",
    "FocalLoss",
    "LearningRateConfig",
    "LossConfig",
    "LovaszSoftmaxLoss",
    "OhemCrossEntropyLoss",
    "OptimizerConfig",
    "RecipeConfig",
    "SgdConfig",
    "ValidationConfig",
]

Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0, allow_inf_nan=False)]
Index = Annotated[int, Field(strict=True, ge=0)]


class DataConfig(Section):
    """Annotated images, by what they are for."""

    train: DataSource = Field(description="What the weights are fitted to.")
    validation: DataSource | None = Field(
        default=None, description="What decides about the best weights and about stopping early."
    )
    test: DataSource | None = Field(
        default=None, description="What the finished model is scored on, at the images' own sizes."
    )


class AugmentationConfig(Section):
    """Random changes to an image and its mask together."""

    scale: tuple[Positive, Positive] = Field(
        default=(0.5, 2.0), description="Range of the factor on the image's size."
    )
    flip: StrictBool = Field(default=True, description="Exchange left and right half of the time.")
    brightness: Annotated[float, Field(strict=True, ge=0.0, le=255.0)] = Field(
        default=0.0, description="Largest summand, of a range of 255."
    )
    contrast: Share = Field(default=0.0, description="Largest change of the contrast's factor.")
    saturation: Share = Field(default=0.0, description="Largest change of the saturation's factor.")
    hue: Annotated[float, Field(strict=True, ge=0.0, le=0.5)] = Field(
        default=0.0, description="Largest rotation of the hue, as a share of the circle."
    )

    @model_validator(mode="after")
    def _smallest_first(self) -> AugmentationConfig:
        if self.scale[0] > self.scale[1]:
            raise PydanticCustomError("range", "`scale` is a range, smallest factor first", {"at": "scale"})
        return self


class SgdConfig(Section):
    """Stochastic gradient descent; weight decay is an L2 penalty on kernels."""

    name: Literal["sgd"]
    momentum: Fraction = 0.9
    nesterov: StrictBool = False


class AdamWConfig(Section):
    """Adam with decoupled weight decay on kernels (arXiv:1711.05101)."""

    name: Literal["adamw"]
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: Positive = 1e-8


def _sgd_unless_named(section: Any) -> Any:
    return {"name": "sgd", **section} if isinstance(section, dict) else section


OptimizerConfig = Annotated[
    Annotated[SgdConfig | AdamWConfig, Field(discriminator="name")], BeforeValidator(_sgd_unless_named)
]


class LearningRateConfig(Section):
    """A linear warm-up, then a decay over the steps of the run."""

    peak: Positive = Field(default=0.007, description="Largest learning rate.")
    shape: Literal["poly", "cosine", "constant"] = Field(default="poly", description="Of the decay.")
    power: Positive = Field(default=0.9, description="Exponent of `poly`.")
    warmup: Index = Field(default=0, description="Steps in which the rate rises to the peak.")
    floor: Share = Field(default=0.0, description="Smallest rate after the warm-up, as a share of the peak.")
    head_factor: Positive = Field(
        default=1.0,
        description="Factor on what is not the encoder, which has no pretrained weights; needs `sgd`.",
    )


class _Loss(Section):
    weight: Positive = Field(default=1.0, description="Factor in the sum of losses.")


class CrossEntropyLoss(_Loss):
    """Mean over the counted pixels of -log p(class)."""

    name: Literal["cross_entropy"]
    class_weights: tuple[NonNegative, ...] | None = Field(default=None, description="One per class.")
    label_smoothing: Fraction = Field(default=0.0, description="Share of the target spread over all classes.")


class OhemCrossEntropyLoss(_Loss):
    """Cross-entropy of the hardest pixels (arXiv:1604.03540)."""

    name: Literal["ohem_cross_entropy"]
    share: Annotated[float, Field(strict=True, gt=0.0, le=1.0)] = Field(
        default=0.25, description="Share of the counted pixels of an image that is kept at least."
    )
    threshold: Annotated[float, Field(strict=True, gt=0.0, le=1.0)] = Field(
        default=1.0,
        description="Probability of the right class below which pixels are kept; 1: exactly `share`.",
    )


class FocalLoss(_Loss):
    """Cross-entropy, each pixel weighted by (1 - p)^gamma (arXiv:1708.02002)."""

    name: Literal["focal"]
    gamma: NonNegative = 2.0


class DiceLoss(_Loss):
    """One less the soft Dice coefficient (arXiv:1606.04797)."""

    name: Literal["dice"]
    smooth: NonNegative = 1.0


class LovaszSoftmaxLoss(_Loss):
    """The convex extension of one less the Jaccard index (arXiv:1705.08790)."""

    name: Literal["lovasz_softmax"]


class BoundaryLoss(_Loss):
    """One less the soft F1 score of boundaries (arXiv:1905.07852)."""

    name: Literal["boundary"]
    width: Literal[3, 5, 7, 9, 11] = Field(
        default=3, description="Of the window whose inner edge is the boundary."
    )
    tolerance: Literal[3, 5, 7, 9, 11] = Field(
        default=5, description="Of the window within which boundaries count as met."
    )


LossConfig = Annotated[
    CrossEntropyLoss | OhemCrossEntropyLoss | FocalLoss | DiceLoss | LovaszSoftmaxLoss | BoundaryLoss,
    Field(discriminator="name"),
]


class BatchNormTraining(Section):
    """What happens to batch normalization during training."""

    frozen: StrictBool = Field(
        default=False, description="Keep statistics, scale and offset: for batches too small for their own."
    )
    synchronized: StrictBool = Field(
        default=True, description="Statistics of the whole batch, whatever devices it is divided among."
    )
    momentum: Fraction | None = Field(
        default=None, description="Of the moving statistics; null: as each layer was built."
    )


class EmaConfig(Section):
    """An exponential moving average of the weights, which validation and the result use."""

    decay: Fraction = Field(default=0.999, description="Weight of the past; smaller in the first steps.")


class ValidationConfig(Section):
    """Scores during the run."""

    every: PositiveInt | None = Field(default=None, description="Steps between; null: an epoch.")
    batch_size: PositiveInt | None = Field(default=None, description="Null: as in training.")
    size: tuple[PositiveInt, PositiveInt] | None = Field(
        default=None, description="Images are scaled to fit into it and padded; null: the crop's."
    )
    boundary_iou: StrictBool = Field(default=False, description="Measure boundary IoU, too; slower.")
    pictures: Index = Field(default=4, description="Number of predictions that are drawn each time.")


class EarlyStoppingConfig(Section):
    """End a run that no longer gets better."""

    patience: PositiveInt = Field(default=10, description="Validations without improvement.")
    min_delta: NonNegative = Field(default=0.0, description="Smallest gain of mean IoU that counts.")


class CheckpointConfig(Section):
    """What a killed run resumes from."""

    every: PositiveInt | None = Field(default=None, description="Steps between; null: as validation.")
    keep: PositiveInt = Field(default=2, description="Number of checkpoints that are kept.")


class DistributionConfig(Section):
    """Which devices share a batch."""

    strategy: Literal["one_device", "mirrored", "multi_worker"] = Field(
        default="one_device",
        description="`mirrored`: all devices of this machine; `multi_worker`: the machines of TF_CONFIG.",
    )
    devices: tuple[Word, ...] = Field(
        default=(), description="Of `mirrored`, such as `GPU:0`; empty: all that there are."
    )


class RecipeConfig(Section):
    """One training run: data, model, optimization, validation."""

    description: StrictStr = ""
    paper: StrictStr = ""
    preset: Word | dict[str, Any] = Field(
        description="Name or path of the preset that is trained; or a preset written here, `extends` included."
    )
    weights: Word | None = Field(
        default="default", description="What the model starts with, as `registry.build(weights=…)`."
    )
    encoder_weights: Word | None = Field(
        default="default", description="What its encoder starts with, as `registry.build(encoder_weights=…)`."
    )
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = Field(
        default=0,
        description="Of fresh weights, of the order and the augmentation of images, and of dropout.",
    )
    data: DataConfig
    crop: tuple[PositiveInt, PositiveInt] = Field(
        description="Height and width of training images; multiples of the model's output stride."
    )
    batch_size: PositiveInt = Field(default=16, description="Images of a step, of all devices together.")
    steps: PositiveInt | None = Field(default=None, description="Length of the run; or `epochs`.")
    epochs: Positive | None = Field(default=None, description="Length of the run; or `steps`.")
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    optimizer: OptimizerConfig = Field(default_factory=lambda: SgdConfig(name="sgd"))
    learning_rate: LearningRateConfig = Field(default_factory=LearningRateConfig)
    weight_decay: NonNegative = Field(
        default=4e-5, description="On kernels; never on biases and normalizations."
    )
    clip_norm: Positive | None = Field(default=None, description="Largest norm of all gradients together.")
    losses: tuple[LossConfig, ...] = Field(
        default_factory=lambda: (CrossEntropyLoss(name="cross_entropy"),),
        description="Their weighted sum is minimized.",
    )
    compression: CompressionTraining | None = Field(
        default=None, description="Make zeros or shared values in kernels; null: train what there is."
    )
    quantization: QuantizationTraining | None = Field(
        default=None, description="Train with the rounding of a quantized file; null: in floating point."
    )
    batch_norm: BatchNormTraining = Field(default_factory=BatchNormTraining)
    ema: EmaConfig | None = Field(default=None, description="Null: the weights as they are.")
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="float32", description="What layers compute in; variables are always float32."
    )
    deterministic: StrictBool = Field(
        default=True, description="The same bits in every run on the same machine, at some cost on GPUs."
    )
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    early_stopping: EarlyStoppingConfig | None = None
    checkpoints: CheckpointConfig = Field(default_factory=CheckpointConfig)
    distribution: DistributionConfig = Field(default_factory=DistributionConfig)

    @model_validator(mode="after")
    def _consistent(self) -> RecipeConfig:
        if (self.steps is None) == (self.epochs is None):
            raise PydanticCustomError(
                "one_length",
                "the length of a run is given by `steps` or by `epochs`, one of them",
                {"at": "steps" if self.steps is not None else ""},
            )
        if not self.losses:
            raise PydanticCustomError("losses", "`losses` names at least one loss", {"at": "losses"})
        if self.learning_rate.head_factor != 1.0 and self.optimizer.name != "sgd":
            raise PydanticCustomError(
                "head_factor",
                "`head_factor` scales gradients, which `{name}` normalizes away; it needs the optimizer `sgd`",
                {"at": "learning_rate.head_factor", "name": self.optimizer.name},
            )
        if self.compression is not None and self.quantization is not None:
            raise PydanticCustomError(
                "compression",
                "a run has `compression` or `quantization`, one of them; compress first, and quantize what that run "
                "leaves: zeros and shared values stay",
                {"at": "compression"},
            )
        if self.early_stopping is not None and self.data.validation is None:
            raise PydanticCustomError(
                "early_stopping",
                "`early_stopping` needs `data.validation`",
                {"at": "early_stopping"},
            )
        return self
