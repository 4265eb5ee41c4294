"""Sections of a preset: from arguments, and from those of training."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from registry.config.compression import CompressionConfig
from registry.errors import ModelError

__all__ = ["checked_section", "own_section", "with_section"]


def checked_section(section: Any, **values: Any) -> Any:
    """A section of `registry.config.compression` from arguments.

    Raises:
        ModelError: one of them is wrong.
    """
    try:
        return section(**values)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = detail["loc"][0] if detail["loc"] else detail.get("ctx", {}).get("at", "")
        raise ModelError(
            f"`{place}`: {detail['msg']}",
            received=values.get(str(place), detail["input"]),
            repair=f"see {section.__name__} in registry.config.compression",
        ) from None


def own_section(section: Any, training: Any) -> Any:
    """What of a section of training holds of the model that comes out."""
    return section(**{name: getattr(training, name) for name in section.model_fields})


def with_section(model: Any, **sections: Any) -> CompressionConfig:
    """Write into a model's preset what holds of its kernels, beside what held before."""
    before = model.preset_config.compression if model.preset_config is not None else None
    result = (before or CompressionConfig()).model_copy(update=sections)
    if model.preset_config is not None:
        model.set_preset_config(model.preset_config.model_copy(update={"compression": result}))
    return result
