"""A preset as boxes: image, stages of the encoder, blocks of the architecture, masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from registry.catalog import ResolvedPreset
from registry.discovery import find_encoder, load_architecture
from registry.pyramid import EncoderSpec, level_stage, reported_stride
from registry.sketch import Block, SketchArguments

__all__ = ["Plan", "Stage", "plan_of"]

# Acts on every network; what else acts in an encoder, its graph alone shows.
_IN_STAGES = ("fold_batch_normalization", "fuse_activations")
_IN_STEM = "fold_stem_into_depth"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the encoder.

    Args:
        level: its name as a pyramid level, `P3`.
        stride: of its output.
        rate: atrous rate that stands for the strides that the output stride holds back; 1 if it holds none back.
        channels: of its output, if it is a level that the encoder delivers; else None.
        leaves: whether the architecture reads it.
        rewrites: names of the rewrites for inference that act on it.
    """

    level: str
    stride: int
    rate: int
    channels: int | None
    leaves: bool
    rewrites: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a diagram shows.

    Args:
        name: of the preset.
        subtitle: architecture, encoder and classes in a line.
        encoder: name of the encoder's variant.
        encoder_note: what else is to be said of it.
        size: height and width of the image, which the sizes of maps are computed for.
        stages: from the image to the deepest level.
        blocks: of the architecture; the last ones bring its logits to the image's size.
        known: whether the architecture's plugin says what it consists of.
    """

    name: str
    subtitle: str
    encoder: str
    encoder_note: str
    size: tuple[int, int]
    stages: tuple[Stage, ...]
    blocks: tuple[Block, ...]
    known: bool

    @property
    def rewrites(self) -> set[str]:
        """Names of all rewrites that act somewhere."""
        acting = [*(stage.rewrites for stage in self.stages), *(block.rewrites for block in self.blocks)]
        return {name for names in acting for name in names}


def plan_of(preset: ResolvedPreset) -> Plan:
    """Work out what there is to draw.

    Args:
        preset: as `registry.describe` gives it.

    Raises:
        PluginError: the plugin of the encoder or of the architecture cannot serve.
        UnknownEncoderError, ConfigError, ModelError: the preset does not fit its plugins.
    """
    config = preset.config
    _, spec = find_encoder(config.encoder.plugin, config.encoder.variant)
    options = preset.encoder_options(spec.options)
    output_stride = spec.checked_output_stride(config.encoder.output_stride)
    architecture = load_architecture(config.architecture.name)
    channels = spec.channels_for(options)
    architecture.spec.check_levels(config.architecture, channels, spec.name)
    read = architecture.spec.levels_for(config.architecture)
    arguments = SketchArguments(
        strides={level: reported_stride(level, output_stride) for level in channels},
        channels=channels,
        output_stride=output_stride,
        num_classes=config.num_classes,
        size=config.input.size,
    )
    sketched = architecture.sketch(config.architecture, arguments)
    return Plan(
        name=preset.name,
        subtitle=f"{config.architecture.name} on {spec.name} of plugin {config.encoder.plugin}, output stride "
        f"{output_stride}, {config.num_classes} classes",
        encoder=spec.name,
        encoder_note=_note(options),
        size=config.input.size,
        stages=tuple(_stages(spec, channels, read, output_stride)),
        blocks=_with_output(
            sketched or _unknown(config.architecture.name, read), config.activation, sketched is not None
        ),
        known=sketched is not None,
    )


def _note(options: BaseModel) -> str:
    """Options that change what the stages look like and are not the default."""
    grid: Any = getattr(options, "multi_grid", None)
    return f"multi-grid {'/'.join(map(str, grid))}" if grid else ""


def _stages(
    spec: EncoderSpec, channels: dict[str, int], read: tuple[str, ...], output_stride: int
) -> Iterator[Stage]:
    deepest = max(map(level_stage, channels))
    for number in range(1, deepest + 1):
        level = f"P{number}"
        stride = reported_stride(level, output_stride)
        yield Stage(
            level=level,
            stride=stride,
            rate=2**number // stride,
            channels=channels.get(level),
            leaves=level in read,
            rewrites=(*_IN_STAGES, _IN_STEM) if number == 1 else _IN_STAGES,
        )


def _unknown(architecture: str, read: tuple[str, ...]) -> tuple[Block, ...]:
    """An architecture whose plugin says nothing."""
    return (Block(name="architecture", title=architecture, note="of a plugin", kind="other", inputs=read),)


def _with_output(blocks: tuple[Block, ...], activation: str | None, known: bool) -> tuple[Block, ...]:
    """Append what brings logits to the image's size, and what the model gives."""
    last = blocks[-1]
    end: list[Block] = []
    if known and last.stride != 1:
        end.append(
            Block(
                name="output_upsampling",
                title=f"bilinear upsampling ×{last.stride}",
                kind="resizing",
                inputs=(last.name,),
                stride=1,
                channels=last.channels,
            )
        )
    what = {"softmax": "probabilities", "sigmoid": "probabilities"}.get(activation or "", "logits")
    end.append(
        Block(
            name="output",
            title=f"{what} per pixel",
            note=activation or "",
            kind="other",
            inputs=((end or [last])[-1].name,),
            stride=1,
            channels=last.channels,
        )
    )
    return (*blocks, *end)
