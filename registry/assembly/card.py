"""The model card of a saved preset: the README that hubs show, and that says how to load it.

It states what the preset and the model say, and what whoever saves it adds; nothing else is claimed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from registry import __version__
from registry.assembly.measurements import Measurement
from registry.catalog.saved import MODEL_FILE, PRESET_FILE
from registry.config import PresetConfig
from registry.discovery import find_encoder, load_architecture

__all__ = ["Facts", "model_card"]

# SPDX identifiers that the hub lists under the same letters, in lower case.
_HUB_LICENSES = (
    *("apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "isc", "mit", "mpl-2.0", "unlicense"),
    *(f"cc-by-{version}" for version in ("2.0", "3.0", "4.0")),
    *(f"cc-by-sa-{version}" for version in ("3.0", "4.0")),
    *(f"cc-by-nc-{version}" for version in ("2.0", "3.0", "4.0")),
    *(f"cc-by-nc-sa-{version}" for version in ("2.0", "3.0", "4.0")),
)
_TAGS = ("image-segmentation", "semantic-segmentation", "tensorflow", "tf-keras", "tflite")


@dataclass(frozen=True)
class Facts:
    """What the card says beside the configuration.

    Args:
        title: name of the folder.
        parameters: number of the model's parameters.
        weights: how they are stored.
        size_multiple: what input heights and widths must be multiples of, in pixels.
        measured: accuracy, as stated.
        tags: further words that a hub finds the model by.
        notes: Markdown that the card ends with.
    """

    title: str
    parameters: int
    weights: str
    size_multiple: tuple[int, int]
    measured: tuple[Measurement, ...] = ()
    tags: tuple[str, ...] = ()
    notes: str = ""


def model_card(config: PresetConfig, facts: Facts) -> str:
    """Write the card.

    Args:
        config: the preset that is saved.
        facts: what it does not say.

    Returns:
        Markdown with YAML front matter.
    """
    blocks = [
        f"---\n{yaml.safe_dump(_front_matter(config, facts), sort_keys=False, allow_unicode=True)}---",
        f"# {facts.title}",
        config.description,
        _table(("", ""), _properties(config, facts)),
        _usage(facts.title),
        "## Classes",
        _table(*_classes(config, facts.measured)),
    ]
    if facts.measured:
        blocks += ["## Metrics", _table(*_metrics(facts.measured))]
    return "\n\n".join(block.strip() for block in (*blocks, facts.notes) if block.strip()) + "\n"


def _front_matter(config: PresetConfig, facts: Facts) -> dict[str, Any]:
    words = (*_TAGS, config.architecture.name, config.encoder.variant, *facts.tags)
    return {
        "library_name": "atrous",
        **_license(config.license),
        "pipeline_tag": "image-segmentation",
        "tags": list(dict.fromkeys(words)),
        **({"metrics": ["mean_iou"]} if facts.measured else {}),
    }


def _license(identifier: str) -> dict[str, str]:
    if not identifier:
        return {}
    lower = identifier.lower()
    return {"license": lower} if lower in _HUB_LICENSES else {"license": "other", "license_name": identifier}


def _properties(config: PresetConfig, facts: Facts) -> Iterable[tuple[str, str]]:
    encoder = config.encoder
    plugin, _ = find_encoder(encoder.plugin, encoder.variant)
    yield "Architecture", load_architecture(config.architecture.name).origin.removeprefix("architecture ")
    if config.paper:
        yield "Paper", _paper(config.paper)
    yield "Encoder", f"{encoder.variant!r} of {plugin.origin}, output stride {encoder.output_stride}"
    yield "Classes", str(config.num_classes)
    yield "Parameters", f"{facts.parameters:,}"
    yield "Input", _input(config, facts.size_multiple)
    yield "Normalization", _normalization(config)
    yield "Output", f"{config.activation or 'logits'} per class and pixel"
    yield "Weights", f"`{MODEL_FILE}`: {facts.weights}"
    yield "License of the weights", config.license or "not stated"
    yield "Saved by", f"atrous {__version__}"


def _input(config: PresetConfig, multiple: tuple[int, int]) -> str:
    """Sizes as height × width."""
    height, width = config.input.size
    usual = f"RGB, made for {height}×{width} pixels (height × width)"
    fixed = config.input.image_shape[:2]
    if None not in fixed:
        return f"RGB, {fixed[0]}×{fixed[1]} pixels (height × width)"
    return f"{usual}; the graph takes multiples of {multiple[0]}×{multiple[1]}"


def _normalization(config: PresetConfig) -> str:
    stated = config.input.normalization
    if stated == "encoder":
        return "as the encoder's weights were trained"
    if (stated.scale, stated.offset) == (1.0, 0.0):
        return "none: pixels in 0…255 go in as they are"
    return f"pixel × {_numbers(stated.scale)} + {_numbers(stated.offset)}, pixels in 0…255"


def _numbers(value: float | Sequence[float]) -> str:
    return "[" + ", ".join(f"{one:g}" for one in value) + "]" if isinstance(value, Sequence) else f"{value:g}"


def _usage(title: str) -> str:
    name = json.dumps(title, ensure_ascii=False)
    return f"""## Use

`{PRESET_FILE}` holds the whole configuration. With atrous and the plugins that are named above:

```python
import registry

model = registry.load({name})  # the path of this folder, or hf://user/model
mask = model.segment("photo.jpg")  # class per pixel, at the photograph's own size

registry.export(model, "model.tflite")  # checked against the model before it appears
```"""


def _classes(
    config: PresetConfig, measured: tuple[Measurement, ...]
) -> tuple[tuple[str, ...], Iterable[tuple[str, ...]]]:
    scored = [one for one in measured if one.iou]
    columns = ("Index", "Name", "Colour (RGB)", *(f"IoU, {one.dataset}" for one in scored))
    rows = (
        (
            str(index),
            config.labels[index].name if config.labels else "not stated",
            ", ".join(map(str, config.labels[index].color)) if config.labels else "",
            *(_score(one.iou[index]) for one in scored),
        )
        for index in range(config.num_classes)
    )
    return columns, rows


def _metrics(measured: tuple[Measurement, ...]) -> tuple[tuple[str, ...], Iterable[tuple[str, ...]]]:
    others = list(dict.fromkeys(name for one in measured for name in one.others))
    columns = ("Data set", "Mean IoU", *(name.replace("_", " ").capitalize() for name in others), "Source")
    rows = (
        (one.dataset, _score(one.mean_iou), *(_score(one.others.get(name)) for name in others), one.source)
        for one in measured
    )
    return columns, rows


def _score(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _paper(paper: str) -> str:
    match = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})(v\d+)?", paper)
    return f"[{paper}](https://arxiv.org/abs/{match[1]})" if match else paper


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (columns, ["---"] * len(columns), *rows)
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text of one line; a bar would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")
