"""Sections of a preset: from those of training, and into a model's preset."""

from __future__ import annotations

from typing import Any

from registry.config.compression import CompressionConfig

__all__ = ["own_section", "with_section"]


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
