"""The heads as blocks, for diagrams. Nothing here imports TensorFlow.

Each function says what `logits` of the module of that name builds, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from registry.sketch import CONVOLUTION_REWRITES, Block, SketchArguments, classifier_block, upsampling_block

__all__ = ["SKETCHES"]

_WITH_DROPOUT = (*CONVOLUTION_REWRITES, "drop_identities")


def _deepest_first(keys: Iterable[str]) -> list[str]:
    return sorted(set(keys), reverse=True)


def _lr_aspp(config: Any, arguments: SketchArguments) -> list[Block]:
    high, low = config.high_level_feature_key, config.low_level_feature_key
    deep, shallow = arguments.strides[high], arguments.strides[low]
    is_global = config.pooling == "global"
    pooled = "global average" if is_global else "average of {}×{} windows".format(*config.pooling.size)
    made = [
        Block(
            name="features",
            title="1×1 convolution",
            inputs=(high,),
            stride=deep,
            channels=config.filters,
            rewrites=CONVOLUTION_REWRITES,
        ),
        Block(
            name="gate",
            title="gate",
            note=f"{pooled}, 1×1, sigmoid",
            kind="pooling",
            inputs=(high,),
            stride=None if is_global else deep,
            channels=config.filters,
        ),
        Block(
            name="gated",
            title="multiply",
            kind="joining",
            inputs=("features", "gate"),
            stride=deep,
            channels=config.filters,
        ),
        classifier_block("gated", deep, arguments, name="high"),
    ]
    if deep > shallow:
        made.append(upsampling_block("high", deep // shallow, shallow, arguments.num_classes))
    made += [
        classifier_block(low, shallow, arguments, name="low"),
        Block(
            name="sum",
            title="add",
            kind="joining",
            inputs=("low", made[-1].name),
            stride=shallow,
            channels=arguments.num_classes,
        ),
    ]
    return made


def _fpn(config: Any, arguments: SketchArguments) -> list[Block]:
    keys = _deepest_first(config.feature_keys)
    strides, shallow = arguments.strides, arguments.strides[keys[-1]]
    made: list[Block] = []
    below = ""
    for key in keys:
        made.append(
            Block(
                name=f"pyramid_{key}",
                title="1×1 lateral" if not below else "1×1 lateral + upsampled",
                note="then 3×3 convolution",
                inputs=(key, below) if below else (key,),
                stride=strides[key],
                channels=config.pyramid_filters,
            )
        )
        below = made[-1].name
    branches = []
    for key in keys:
        factor = strides[key] // shallow
        steps = max(1, factor.bit_length() - 1)
        each = "3×3 convolution" + (", upsample ×2" if factor > 1 else "")
        made.append(
            Block(
                name=f"semantic_{key}",
                title=f"{steps} × ({each})" if factor > 1 else each,
                note="semantic branch",
                kind="resizing" if factor > 1 else "convolution",
                inputs=(f"pyramid_{key}",),
                stride=shallow,
                channels=config.filters,
                rewrites=CONVOLUTION_REWRITES,
            )
        )
        branches.append(made[-1].name)
    if len(branches) > 1:
        made.append(
            Block(
                name="sum",
                title="add",
                kind="joining",
                inputs=tuple(branches),
                stride=shallow,
                channels=config.filters,
                rewrites=("drop_identities", *(["combine_in_pairs"] if len(branches) > 2 else [])),
            )
        )
    return [*made, classifier_block(made[-1].name, shallow, arguments)]


def _unet(config: Any, arguments: SketchArguments) -> list[Block]:
    below, *joined = _deepest_first(config.feature_keys)
    strides = arguments.strides
    made: list[Block] = []
    above, stride, channels = below, strides[below], arguments.channels[below]
    for number, filters in enumerate(config.decoder_filters, 1):
        key = joined[number - 1] if number <= len(joined) else None
        target = strides[key] if key else 1
        if stride > target:
            made.append(
                upsampling_block(
                    above,
                    stride // target,
                    target,
                    channels,
                    name=f"upsampling_{number}",
                    interpolation=config.interpolation,
                )
            )
            above, stride = made[-1].name, target
        made.append(
            Block(
                name=f"block_{number}",
                title=f"{config.convolutions} × 3×3 convolution",
                note=f"of the concatenation with {key}" if key else "",
                inputs=(key, above) if key else (above,),
                stride=stride,
                channels=filters,
                rewrites=CONVOLUTION_REWRITES,
            )
        )
        above, channels = made[-1].name, filters
    return [*made, classifier_block(above, stride, arguments)]


def _pspnet(config: Any, arguments: SketchArguments) -> list[Block]:
    level = config.feature_key
    stride, channels = arguments.strides[level], arguments.channels[level]
    automatic = config.bin_filters == "auto"
    filters = max(1, channels // len(config.bins)) if automatic else config.bin_filters
    made = [
        Block(
            name=f"bins_{number}",
            title=f"pool to {bins}×{bins}",
            note="1×1, resize",
            kind="pooling",
            inputs=(level,),
            stride=stride,
            channels=filters,
            rewrites=CONVOLUTION_REWRITES,
        )
        for number, bins in enumerate(config.bins, 1)
    ]
    made.append(
        Block(
            name="convolution",
            title="concatenate, 3×3 convolution",
            note=f"dropout {config.dropout:g}" if config.dropout else "",
            inputs=(level, *(block.name for block in made)),
            stride=stride,
            channels=config.filters,
            rewrites=_WITH_DROPOUT,
        )
    )
    return [*made, classifier_block("convolution", stride, arguments)]


def _segformer(config: Any, arguments: SketchArguments) -> list[Block]:
    keys = _deepest_first(config.feature_keys)
    strides, shallow = arguments.strides, arguments.strides[keys[-1]]
    made = []
    for key in keys:
        factor = strides[key] // shallow
        made.append(
            Block(
                name=f"linear_{key}",
                title="linear",
                note=f"bilinear upsampling ×{factor}" if factor > 1 else "",
                kind="resizing" if factor > 1 else "convolution",
                inputs=(key,),
                stride=shallow,
                channels=config.filters,
            )
        )
    # What has the full size must remain; as many channels go in from each level as come out.
    splits = len({strides[key] for key in keys}) > 1
    fused = Block(
        name="fusion",
        title="concatenate, fuse 1×1" if len(keys) > 1 else "1×1 convolution",
        note=f"dropout {config.dropout:g}" if config.dropout else "",
        inputs=tuple(block.name for block in made),
        stride=shallow,
        channels=config.filters,
        rewrites=(*_WITH_DROPOUT, *(["split_upsampled_blocks"] if splits else [])),
    )
    return [*made, fused, classifier_block("fusion", shallow, arguments)]


SKETCHES: Mapping[str, Callable[[Any, SketchArguments], list[Block]]] = {
    "lr_aspp": _lr_aspp,
    "fpn": _fpn,
    "unet": _unet,
    "pspnet": _pspnet,
    "segformer": _segformer,
}
"""Name of the architecture → its blocks under a configuration."""
