"""How an image of any size meets a model: which protocol, at which sizes, averaged over what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from registry.errors import ModelError, nearest
from registry.evaluation.subject import Size, Subject

__all__ = ["EvaluationProtocol", "ProtocolName", "checked_size", "resolve_protocol"]

ProtocolName = Literal["stretched", "whole", "sliding"]

_LARGEST_SCALE = 8.0
# Windows overlap by a third, as in the configurations that mmsegmentation publishes.
_STRIDE_OF_WINDOW = 2 / 3


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """What happens between an image and its mask.

    Args:
        name: `stretched`, `whole` or `sliding`.
        scales: factors on the image's size (of `stretched`: on the input's), whose probabilities are averaged.
        flip: whether each scale is seen mirrored, too.
        size: height and width that images are stretched to, or that `whole` pads them to at least; None pads to
            the model's multiple.
        window: height and width of a window.
        stride: vertical and horizontal distance of windows.
    """

    name: ProtocolName
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    size: Size | None = None
    window: Size | None = None
    stride: Size | None = None

    @property
    def passes(self) -> int:
        """How often an image is seen."""
        return len(self.scales) * (2 if self.flip else 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, with the sentence of `str`."""
        pairs = {
            key: None if value is None else list(value)
            for key, value in (("size", self.size), ("window", self.window), ("stride", self.stride))
        }
        return {**asdict(self), "scales": list(self.scales), **pairs, "description": str(self)}

    def __str__(self) -> str:
        """A line for people."""
        words = {
            "stretched": f"stretched to {_by(self.size)}",
            "whole": "whole image" + (f", padded to {_by(self.size)} at least" if self.size else ", padded"),
            "sliding": f"sliding window {_by(self.window)}, stride {_by(self.stride)}",
        }[self.name]
        if self.scales != (1.0,):
            words += f", scales {', '.join(f'{scale:g}' for scale in self.scales)}"
        return words + (", flipped" if self.flip else "")


def resolve_protocol(
    subject: Subject,
    name: ProtocolName | None = None,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    size: Size | None = None,
    window: Size | None = None,
    stride: Size | None = None,
) -> EvaluationProtocol:
    """Choose what the caller left open, and refuse what the model cannot do.

    Args:
        subject: the model.
        name: None takes `whole` for a model of open size, else `stretched`.
        scales: as in `EvaluationProtocol`.
        flip: as in `EvaluationProtocol`.
        size: None takes the model's own.
        window: None takes the model's own size.
        stride: None takes two thirds of the window.

    Raises:
        ModelError: the arguments contradict one another or the model.
    """
    chosen: ProtocolName = name or ("whole" if subject.input_size is None else "stretched")
    if chosen not in get_args(ProtocolName):
        raise ModelError(
            f"`protocol` must be one of {', '.join(get_args(ProtocolName))}",
            received=name,
            repair=nearest(str(name), get_args(ProtocolName)),
        )
    factors = _checked_scales(scales)
    _check_scores(subject, averaged=flip or factors != (1.0,) or chosen == "sliding")
    if chosen == "sliding":
        window, stride = _resolve_window(subject, size, window, stride)
        return EvaluationProtocol(name=chosen, scales=factors, flip=flip, window=window, stride=stride)
    if window is not None or stride is not None:
        raise ModelError(
            "`window` and `stride` belong to the protocol 'sliding'",
            received=f"protocol {chosen!r}",
            repair="protocol='sliding'",
        )
    if chosen == "stretched":
        if subject.input_size is not None and factors != (1.0,):
            raise ModelError(
                "a model of one input size cannot be stretched to several scales",
                received=f"{subject.name}: input {_by(subject.input_size)}, scales {factors}",
                repair="protocol='sliding', or 'whole' where the scaled images fit into the input",
            )
        size = _resolve_size(subject, size, "size") or _sizeless(subject, "size")
        return EvaluationProtocol(name="stretched", scales=factors, flip=flip, size=size)
    size = subject.input_size if size is None else _resolve_size(subject, size, "size")
    return EvaluationProtocol(name="whole", scales=factors, flip=flip, size=size)


def checked_size(size: int | Sequence[int] | None, name: str) -> Size | None:
    """One or two positive integers as (height, width).

    Raises:
        ModelError: anything else.
    """
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size, size)
    if len(pair) != 2 or not all(type(side) is int and 1 <= side <= 16384 for side in pair):
        raise ModelError(
            f"`{name}` must be one or two whole numbers from 1 to 16384, (height, width) in pixels",
            received=size,
            repair=f"{name}=512 or {name}=(512, 1024)",
        )
    return pair[0], pair[1]


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    factors = tuple(scales) if isinstance(scales, Sequence) and not isinstance(scales, str) else ()
    if (
        not factors
        or not all(isinstance(factor, int | float) and not isinstance(factor, bool) for factor in factors)
        or not all(math.isfinite(factor) and 0 < factor <= _LARGEST_SCALE for factor in factors)
        or len(set(factors)) < len(factors)
    ):
        raise ModelError(
            f"`scales` must be different numbers above 0, at most {_LARGEST_SCALE:g}",
            received=scales,
            repair="scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), as in the DeepLab papers",
        )
    return tuple(float(factor) for factor in factors)


def _check_scores(subject: Subject, *, averaged: bool) -> None:
    if averaged and subject.output == "mask":
        raise ModelError(
            "scales, flip and windows average probabilities; this model gives class indices",
            received=subject.name,
            repair="export it with output='logits', or evaluate it at one scale without flip",
        )


def _resolve_size(subject: Subject, size: Size | None, name: str) -> Size | None:
    """The size to use: of the caller, which must fit the model, else the model's own."""
    fixed = subject.input_size
    if fixed is not None:
        if size not in (None, fixed):
            raise ModelError(
                f"`{name}` must be the input size of the model",
                received=f"{_by(size)} for {subject.name}, whose input is {_by(fixed)}",
                repair=f"leave `{name}` out, or export the model for that size",
            )
        return fixed
    if size is None:
        return subject.usual_size
    return _checked_multiple(subject, size, name)


def _checked_multiple(subject: Subject, size: Size, name: str) -> Size:
    rows, columns = subject.size_multiple
    if size[0] % rows or size[1] % columns:
        fitting = (size[0] + -size[0] % rows, size[1] + -size[1] % columns)
        raise ModelError(
            f"`{name}` must be a multiple of {_by(subject.size_multiple)}, the stride of the deepest features",
            received=_by(size),
            repair=f"{name}={fitting}",
        )
    return size


def _resolve_window(
    subject: Subject, size: Size | None, window: Size | None, stride: Size | None
) -> tuple[Size, Size]:
    if size is not None and window is not None and size != window:
        raise ModelError(
            "with the protocol 'sliding', the window is the input size",
            received=f"size {_by(size)}, window {_by(window)}",
            repair="leave `size` out",
        )
    wanted = window or size
    found = _resolve_size(subject, wanted, "window") or _sizeless(subject, "window")
    step = stride or (_step(found[0]), _step(found[1]))
    if step[0] > found[0] or step[1] > found[1]:
        raise ModelError(
            "windows must touch: `stride` is at most the window",
            received=f"stride {_by(step)}, window {_by(found)}",
            repair=f"stride={(_step(found[0]), _step(found[1]))} overlaps them by a third",
        )
    return found, step


def _step(side: int) -> int:
    return max(1, round(side * _STRIDE_OF_WINDOW))


def _sizeless(subject: Subject, name: str) -> Size:
    raise ModelError(
        f"a model of open size needs `{name}`",
        received=f"none for {subject.name}, which no preset describes",
        repair=f"{name}=512",
    )


def _by(size: Size | None) -> str:
    return "" if size is None else f"{size[0]}×{size[1]}"
