"""What YAML files may say: presets (which model) and recipes (how it is trained). Frozen, typed, strict.

The classes here are the single owner of every key, its type, its range and its default; the catalog fills them from
YAML. Nothing here imports TensorFlow.
"""

from registry.config.compression import CompressionConfig, CompressionTraining
from registry.config.data import DataSource
from registry.config.preset import (
    EncoderConfig,
    EvaluationConfig,
    InputConfig,
    Label,
    NormalizationConfig,
    PresetConfig,
    WeightsConfig,
)
from registry.config.quantization import CalibrationConfig, QuantizationConfig, QuantizationTraining
from registry.config.recipe import RecipeConfig

__all__ = [
    "CalibrationConfig",
    "CompressionConfig",
    "CompressionTraining",
    "DataSource",
    "EncoderConfig",
    "EvaluationConfig",
    "InputConfig",
    "Label",
    "NormalizationConfig",
    "PresetConfig",
    "QuantizationConfig",
    "QuantizationTraining",
    "RecipeConfig",
    "WeightsConfig",
]
