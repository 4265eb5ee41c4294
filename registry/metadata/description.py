"""What a `.tflite` file of a segmenter says about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from registry.errors import ModelError

if TYPE_CHECKING:
    from registry.config import PresetConfig

__all__ = ["Activation", "Color", "OutputKind", "SegmenterMetadata", "segmenter_metadata"]

Activation = Literal["none", "softmax", "sigmoid"]
OutputKind = Literal["logits", "probabilities", "mask"]
Color = tuple[int, int, int]

_MOST_CLASSES = 65536
_MOST_CHARACTERS = 65536


@dataclass(frozen=True, kw_only=True)
class SegmenterMetadata:
    """Names, colours and conventions of a segmenter, for whoever runs the file.

    Args:
        name: of the model.
        description: in a sentence or more.
        version: of the model.
        author: who made it.
        license: its terms, best as an SPDX identifier.
        mean: subtracted from pixels in 0…255, one number or one per channel. Files of atrous normalize inside of
            the graph, hence 0.
        std: what the difference is divided by; 1 for the same reason.
        input_range: smallest and largest value that the input takes.
        size: height and width of the input in pixels; None if the file leaves them open.
        labels: one name per class, in the order of the output's channels.
        colors: RGB per class; as many as labels.
        activation: what turns the output into probabilities and is *not* part of the graph. MediaPipe applies it.
        output: what the output is; None if unknown (files that others made).
        extra: more about how the file was made; anything that JSON holds.

    Raises:
        ModelError: a value cannot be written, or contradicts another.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    input_range: tuple[float, float] = (0.0, 255.0)
    size: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()
    colors: tuple[Color, ...] = ()
    activation: Activation = "none"
    output: OutputKind | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_normalization()
        self._check_classes()
        for key, value, known in (
            ("activation", self.activation, get_args(Activation)),
            ("output", self.output, (*get_args(OutputKind), None)),
        ):
            if value not in known:
                raise ModelError(
                    f"`{key}` must be one of {known}", received=value, repair="choose one of them"
                )

    @property
    def normalizes(self) -> bool:
        """Whether pixels in 0…255 have to be normalized before they go in."""
        return any(mean != 0 for mean in self.mean) or any(std != 1 for std in self.std)

    def _check_texts(self) -> None:
        for key in ("name", "description", "version", "author", "license"):
            value = getattr(self, key)
            if not isinstance(value, str) or len(value) > _MOST_CHARACTERS or "\0" in value:
                raise ModelError(
                    f"`{key}` must be text of at most {_MOST_CHARACTERS} characters without NUL",
                    received=value,
                    repair="shorten it",
                )

    def _check_normalization(self) -> None:
        values = (*self.mean, *self.std, *self.input_range)
        if (
            len(self.mean) != len(self.std)
            or len(self.mean) not in (1, 3)
            or not all(math.isfinite(value) for value in values)
            or 0 in self.std
            or len(self.input_range) != 2
            or self.input_range[0] >= self.input_range[1]
        ):
            raise ModelError(
                "`mean` and `std` are one finite number or one per RGB channel, `std` not 0; `input_range` ascends",
                received=f"mean {self.mean}, std {self.std}, input_range {self.input_range}",
                repair="mean=(0.0,), std=(1.0,) for a file that takes pixels in 0…255",
            )
        if self.size is not None and (
            len(self.size) != 2 or not all(0 < side < 1 << 31 for side in self.size)
        ):
            raise ModelError(
                "`size` must be two positive integers, height and width",
                received=self.size,
                repair="(512, 512)",
            )

    def _check_classes(self) -> None:
        # A label is a line of the labels file.
        if len(self.labels) > _MOST_CLASSES or not all(
            isinstance(label, str) and label and len(label.splitlines()) == 1 and len(label) < 1024
            for label in self.labels
        ):
            raise ModelError(
                "`labels` must be names of one line each",
                received=self.labels,
                repair="give every class a name without line breaks",
            )
        if self.colors and len(self.colors) != len(self.labels):
            raise ModelError(
                "`colors` must have one colour per label",
                received=f"{len(self.colors)} colours, {len(self.labels)} labels",
                repair="give one for every class, or none at all",
            )
        if not all(len(color) == 3 and all(0 <= value <= 255 for value in color) for color in self.colors):
            raise ModelError(
                "`colors` must be RGB with values in 0…255",
                received=self.colors,
                repair="for instance (128, 0, 0)",
            )


def segmenter_metadata(
    config: PresetConfig | None,
    *,
    output: OutputKind,
    size: tuple[int, int] | None = None,
    activation: Activation | None = None,
    num_classes: int | None = None,
    name: str = "",
    quantization: str = "float32",
    extra: Mapping[str, Any] | None = None,
) -> SegmenterMetadata:
    """Describe an exported model.

    Args:
        config: preset that it was built from; None for a model from elsewhere.
        output: what the file's output is.
        size: height and width of its input; None if open.
        activation: what the output still lacks to be probabilities. None takes the preset's, else softmax, or
            sigmoid for a single channel; `none` where the output is no logits.
        num_classes: channels of the scores; None takes the preset's.
        name: of the model.
        quantization: mode of the export.
        extra: more that belongs into `atrous.json`.

    Returns:
        What `write_metadata` takes.

    Raises:
        ModelError: a value cannot be written.
    """
    from registry import __version__

    classes = num_classes or (config.num_classes if config else None)
    about = _about(config) if config else {}
    labels = config.labels if config else ()
    # The colours and names of a preset belong to its own number of classes.
    fitting = labels if len(labels) == classes or output == "mask" else ()
    return SegmenterMetadata(
        name=name,
        description=config.description if config else "",
        version="1",
        license=config.license if config else "",
        size=size,
        labels=tuple(label.name for label in fitting),
        colors=tuple(label.color for label in fitting),
        activation=activation or _missing_activation(config, output, classes),
        output=output,
        extra={**about, "quantization": quantization, "atrous": __version__, **(extra or {})},
    )


def _about(config: PresetConfig) -> dict[str, Any]:
    return {
        "architecture": config.architecture.name,
        "encoder": config.encoder.variant,
        "output_stride": config.encoder.output_stride,
        "num_classes": config.num_classes,
        **({"paper": config.paper} if config.paper else {}),
    }


def _missing_activation(config: PresetConfig | None, output: OutputKind, classes: int | None) -> Activation:
    if output != "logits":
        return "none"
    if config is not None and config.activation is not None:
        return config.activation
    return "sigmoid" if classes == 1 else "softmax"
