"""Scalars that several sections share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, StrictInt
from pydantic_core import PydanticCustomError

__all__ = ["Channel", "Color", "NonNegative", "Number", "OneOfIntegers", "Positive", "Word"]


def _no_lookalike(value: object) -> object:
    """Refuse `true` and `3.0` where a `Literal` lists 1 or 3: Python holds them equal, a preset must not."""
    if isinstance(value, bool | float):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


OneOfIntegers = BeforeValidator(_no_lookalike)
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)] | StrictInt
Positive = Annotated[float, Field(strict=True, gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)]
Word = Annotated[str, Field(strict=True, min_length=1)]
Channel = Annotated[int, Field(strict=True, ge=0, le=255)]
Color = tuple[Channel, Channel, Channel]
