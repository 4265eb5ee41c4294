"""What the folder of a saved preset holds: `registry.save_preset` writes it, and it stands wherever a preset may."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["CARD_FILE", "MODEL_FILE", "PRESET_FILE", "is_saved_preset"]

PRESET_FILE = "preset.yaml"
MODEL_FILE = "model.safetensors"
CARD_FILE = "README.md"


def is_saved_preset(path: object) -> bool:
    """Whether a path is a folder with `preset.yaml`."""
    if not isinstance(path, str | os.PathLike) or path == "":
        return False
    try:
        return (Path(path) / PRESET_FILE).is_file()
    except (OSError, ValueError):  # a folder that may not be entered; a null character
        return False
