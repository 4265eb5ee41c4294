"""What an exported file may be: precisions, input types and outputs. Nothing here imports TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from registry.errors import ModelError, nearest

if TYPE_CHECKING:
    from registry.rewrites import Activations

__all__ = ["MODES", "InputDtype", "Mode", "OutputKind", "Quantization", "resolve_mode", "resolve_output"]

Quantization = Literal["float32", "float16", "dynamic", "int8", "int16x8"]
InputDtype = Literal["float32", "uint8", "int8"]
OutputKind = Literal["logits", "probabilities", "mask"]


@dataclass(frozen=True)
class Mode:
    """A precision of weights and activations.

    Args:
        name: what `registry.export(quantization=…)` takes.
        meaning: of what type weights and activations are.
        activations: what activations are quantized to; integers need their ranges, measured on images.
        integer: whether inputs and outputs are quantized themselves, not converted at the file's edge.
        default_input: input type where the caller names none.
    """

    name: Quantization
    meaning: str
    activations: Activations = "float32"
    integer: bool = False
    default_input: InputDtype = "float32"

    @property
    def calibrated(self) -> bool:
        """Whether the ranges of activations are measured on images."""
        return self.activations != "float32"


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode("float32", "float32 weights and activations"),
        Mode("float16", "float16 weights, float32 activations"),
        Mode("dynamic", "int8 weights, float32 activations that kernels quantize as they go"),
        Mode("int8", "int8 weights and activations", activations="int8", integer=True, default_input="uint8"),
        Mode("int16x8", "int8 weights, int16 activations", activations="int16", default_input="uint8"),
    )
}


def resolve_mode(quantization: str, input_dtype: str | None) -> tuple[Mode, InputDtype]:
    """Look up a mode and the type of its input.

    Args:
        quantization: name of the mode.
        input_dtype: type of the input, or None for the mode's default.

    Raises:
        ModelError: a name that does not exist.
    """
    _require_known(quantization, "quantization", MODES)
    mode = MODES[quantization]
    if input_dtype is None:
        return mode, mode.default_input
    _require_known(input_dtype, "input_dtype", get_args(InputDtype))
    return mode, input_dtype  # type: ignore[return-value]  # checked one line above


def resolve_output(output: str, *, mask_before_upsampling: bool) -> OutputKind:
    """Check what the file shall give.

    Raises:
        ModelError: a name that does not exist, or scores that shall be a mask before upsampling.
    """
    _require_known(output, "output", get_args(OutputKind))
    if mask_before_upsampling and output != "mask":
        raise ModelError(
            "`mask_before_upsampling` is about files that give a mask",
            received=f"output={output!r}",
            repair="add output='mask', or leave mask_before_upsampling out",
        )
    return output  # type: ignore[return-value]  # checked above


def _require_known(name: object, argument: str, known: object) -> None:
    names = [str(item) for item in known]  # type: ignore[attr-defined]
    if not isinstance(name, str) or name not in names:
        raise ModelError(
            f"`{argument}` must be one of {', '.join(names)}",
            received=name,
            repair=nearest(str(name), names),
        )
