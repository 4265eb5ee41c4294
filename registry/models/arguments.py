"""What the constructors of architectures accept: each check states the rule, the value and the repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from registry.errors import ModelError

__all__ = [
    "check_image_shape",
    "require_image_shape",
    "require_positive_integer",
    "require_positive_integers",
    "require_rate",
    "upsampling_factors",
]


def require_positive_integer(value: Any, argument: str, *, smallest: int = 1) -> None:
    """Refuse what is no integer of at least `smallest` (a bool is none).

    Raises:
        ModelError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        kind = "a positive integer" if smallest else "0 or a positive integer"
        raise ModelError(f"`{argument}` must be {kind}", received=value, repair=f"for instance {argument}=2")


def require_rate(value: Any, argument: str) -> None:
    """Refuse what is no dropout rate, 0 ≤ rate < 1.

    Raises:
        ModelError: naming the argument.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ModelError(
            f"`{argument}` must be a number from 0 to below 1",
            received=value,
            repair=f"for instance {argument}=0.1",
        )


def require_positive_integers(values: Any, argument: str) -> tuple[int, ...]:
    """Refuse what is no non-empty sequence of positive integers; return it as a tuple.

    Raises:
        ModelError: naming the argument.
    """
    ok = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
    if not ok or any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in values):
        raise ModelError(
            f"`{argument}` must be a non-empty sequence of positive integers",
            received=values,
            repair=f"for instance {argument}=[6, 12, 18]",
        )
    return tuple(values)


def require_image_shape(image_shape: Any) -> tuple[int | None, int | None, int]:
    """Refuse what is not (height, width, 3) with positive or open sides; return it as a tuple.

    Raises:
        ModelError: with the value received.
    """
    shape = (
        tuple(image_shape) if isinstance(image_shape, Sequence) and not isinstance(image_shape, str) else ()
    )
    if (
        len(shape) != 3
        or shape[2] != 3
        or any(
            side is not None and (isinstance(side, bool) or not isinstance(side, int) or side < 1)
            for side in shape
        )
    ):
        raise ModelError(
            "`image_shape` must be (height, width, 3), where height and width are positive integers or None",
            received=image_shape,
            repair="for instance image_shape=(512, 512, 3)",
        )
    return cast("tuple[int | None, int | None, int]", shape)


def check_image_shape(shape: Sequence[int | None], stride: tuple[int, int]) -> None:
    """Refuse a fixed (height, width, channels) that the stride (rows, columns) of the deepest level does not divide.

    Raises:
        ModelError: a fixed side is not a multiple of its stride.
    """
    for side, step, name in zip(shape, stride, ("height", "width"), strict=False):
        if side is not None and side % step:
            raise ModelError(
                f"the {name} of `image_shape` must be a multiple of {step} pixels, the stride of the deepest level "
                "that is read",
                received=side,
                repair=f"choose {max(step, side // step * step)} or {-(-side // step) * step}",
            )


def upsampling_factors(
    size: Any, aspp_stride: tuple[int, int], low_level_stride: tuple[int, int] | None
) -> tuple[int, int]:
    """Read `upsampling_size` as factors of (rows, columns), held against the strides of the features.

    Args:
        size: one positive integer, or two.
        aspp_stride: stride of the ASPP features, (rows, columns).
        low_level_stride: of the low-level features that upsampling must reach; None if there are none.

    Raises:
        ModelError: not one or two positive integers, or the output would not have the input's size.
    """
    factors = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
    if len(factors) != 2 or any(
        isinstance(factor, bool) or not isinstance(factor, int) or factor < 1 for factor in factors
    ):
        raise ModelError(
            "`upsampling_size` must be a positive integer or two of them",
            received=size,
            repair="for instance upsampling_size=8 between P5 at stride 32 and P2 at stride 4",
        )
    if low_level_stride is not None:
        fitting = tuple(deep // low for deep, low in zip(aspp_stride, low_level_stride, strict=True))
        if factors != fitting:
            shown = fitting[0] if fitting[0] == fitting[1] else fitting
            raise ModelError(
                "`upsampling_size` must bring the ASPP features to the stride of the low-level features: "
                f"{aspp_stride[0]} ÷ {low_level_stride[0]}",
                received=size,
                repair=f"upsampling_size={shown}",
            )
    elif any(stride % factor for stride, factor in zip(aspp_stride, factors, strict=True)):
        raise ModelError(
            f"`upsampling_size` must divide the stride of the ASPP features, {aspp_stride[0]}, "
            "or the output would not have the input's size",
            received=size,
            repair=f"choose a divisor of {aspp_stride[0]}",
        )
    return cast("tuple[int, int]", factors)
