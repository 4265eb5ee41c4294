"""Fine-tune one preset pruned, clustered, and both, in floating point and quantization-aware, each from what it builds on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import registry

__all__ = ["Variant", "fine_tuned"]


@dataclass(frozen=True)
class Variant:
    """One run.

    Args:
        name: what the table calls it.
        recipe: ending of the name of the recipe.
        base: name of the variant that it starts from; empty for the preset.
        overrides: of the recipe.
        mode: of the export.
    """

    name: str
    recipe: str
    base: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    mode: str = "float32"

    @property
    def folder(self) -> str:
        """Of the run."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name)


def _pruned(sparsity: float, **others: Any) -> dict[str, Any]:
    values = {"sparsity": sparsity, **others}
    return {f"compression.pruning.{key}": value for key, value in values.items()}


VARIANTS = (
    Variant("pruned 50 %", "pruned", overrides=_pruned(0.5)),
    Variant("pruned 80 %", "pruned", overrides=_pruned(0.8)),
    Variant(
        "pruned 2:4",
        "pruned",
        overrides=_pruned(0.5, pattern="2:4", schedule="constant", exclude=["conv1_conv"]),
    ),
    Variant("pruned 80 %, blocks 4×1", "pruned", overrides=_pruned(0.8, pattern="block")),
    Variant("clustered, 32 values", "clustered", overrides={"compression.clustering.clusters": 32}),
    Variant("clustered, 16 values", "clustered", overrides={"compression.clustering.clusters": 16}),
    Variant("pruned 80 %, clustered", "clustered", "pruned 80 %"),
    Variant("int8, pruned 50 % (PQAT)", "int8", "pruned 50 %", mode="int8"),
    Variant("int8, pruned 80 % (PQAT)", "int8", "pruned 80 %", mode="int8"),
    Variant("int8, clustered, 32 values (CQAT)", "int8", "clustered, 32 values", mode="int8"),
    Variant("int8, clustered, 16 values (CQAT)", "int8", "clustered, 16 values", mode="int8"),
    Variant("int8, pruned 80 %, clustered (PCQAT)", "int8", "pruned 80 %, clustered", mode="int8"),
)


def fine_tuned(preset: str, folder: Path, steps: int) -> Iterator[tuple[Variant, Path]]:
    """Train every variant, or take what an earlier call has left.

    Args:
        preset: name of the preset, whose recipes are called after it.
        folder: of the runs.
        steps: of each run.

    Yields:
        A variant, and the folder of its trained preset.
    """
    trained: dict[str, Path] = {}
    for variant in VARIANTS:
        overrides = {
            "steps": steps,
            "validation.every": steps,
            "data.test": None,
            **variant.overrides,
        }
        if variant.recipe == "pruned":
            overrides["compression.pruning.end"] = max(1, steps // 2)
            overrides["compression.pruning.frequency"] = max(1, steps // 50)
        if variant.base:
            source = trained[variant.base]
            section = registry.describe(source).config.compression
            overrides["weights"] = str((source / "model.safetensors").absolute())
            overrides["preset.compression"] = section.model_dump(mode="json")
        run = registry.train(
            f"{preset}_{variant.recipe}", folder / variant.folder, progress=False, **overrides
        )
        trained[variant.name] = run.preset
        yield variant, run.preset
