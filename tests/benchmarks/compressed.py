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
        share: of the steps that a pruned network gets, which has the most to learn again.
    """

    name: str
    recipe: str
    base: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    mode: str = "float32"
    share: float = 1.0

    @property
    def folder(self) -> str:
        """Of the run."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name)


def _pruned(sparsity: float, **others: Any) -> dict[str, Any]:
    values = {"sparsity": sparsity, **others}
    return {f"compression.pruning.{key}": value for key, value in values.items()}


def _clustered(name: str, clusters: int) -> Variant:
    return Variant(name, "clustered", overrides={"compression.clustering.clusters": clusters}, share=0.5)


def _rounded(name: str, base: str) -> Variant:
    return Variant(name, "int8", base, mode="int8", share=1 / 3)


VARIANTS = (
    Variant("pruned 50 %", "pruned", overrides=_pruned(0.5)),
    Variant("pruned 80 %", "pruned", overrides=_pruned(0.8)),
    Variant(
        "pruned 2:4",
        "pruned",
        overrides=_pruned(0.5, pattern="2:4", schedule="constant", exclude=["conv1_conv"]),
    ),
    Variant("pruned 80 %, blocks 4×1", "pruned", overrides=_pruned(0.8, pattern="block")),
    _clustered("clustered, 32 values", 32),
    _clustered("clustered, 16 values", 16),
    Variant("pruned 80 %, clustered", "clustered", "pruned 80 %", share=0.5),
    _rounded("int8, pruned 50 % (PQAT)", "pruned 50 %"),
    _rounded("int8, pruned 80 % (PQAT)", "pruned 80 %"),
    _rounded("int8, clustered, 32 values (CQAT)", "clustered, 32 values"),
    _rounded("int8, clustered, 16 values (CQAT)", "clustered, 16 values"),
    _rounded("int8, pruned 80 %, clustered (PCQAT)", "pruned 80 %, clustered"),
)


def fine_tuned(preset: str, folder: Path, steps: int) -> Iterator[tuple[Variant, Path]]:
    """Train every variant, or take what an earlier call has left.

    Args:
        preset: name of the preset, whose recipes are called after it.
        folder: of the runs.
        steps: of a pruned network; a clustered one gets half of them, a quantization-aware one a third.

    Yields:
        A variant, and the folder of its trained preset.
    """
    trained: dict[str, Path] = {}
    for variant in VARIANTS:
        own_steps = max(1, round(variant.share * steps))
        overrides = {
            "steps": own_steps,
            "validation.every": own_steps,
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
