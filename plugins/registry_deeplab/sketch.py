"""DeepLabV3 and DeepLabV3+ as blocks, for diagrams. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from registry.models.rates import PAPER_RATES
from registry.sketch import CONVOLUTION_REWRITES, Block, SketchArguments, classifier_block, upsampling_block

__all__ = ["blocks"]


def blocks(config: Any, arguments: SketchArguments) -> list[Block]:
    """What `deeplab_segmenter` builds, in the same order.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arguments: the encoder's levels, classes and input size.
    """
    level = config.spatial_pyramid_pooling_key
    low = getattr(config, "low_level_feature_key", None)
    stride = arguments.strides[level]
    factor = _upsampling(config, arguments, level, low)
    made = list(_aspp(config, arguments, level, stride))
    filters = config.aspp.filters
    if config.aspp.output_convolution != "none":
        separable = "separable " if config.aspp.output_convolution == "separable" else ""
        made.append(
            Block(
                name="aspp_output",
                title=f"3×3 {separable}convolution",
                inputs=(made[-1].name,),
                stride=stride,
                channels=filters,
                rewrites=CONVOLUTION_REWRITES,
            )
        )
    if factor > 1:
        made.append(
            upsampling_block(
                made[-1].name,
                factor,
                stride // factor,
                filters,
                note="aligned corners" if config.align_corners else "",
            )
        )
    stride //= factor
    if low is not None:
        made += _low_level(config, low, stride, filters, made[-1].name)
        filters += config.projection_filters
    is_upsampled = factor > 1  # what the next convolution reads, or a part of it
    for number in range(1, config.decoder.convolutions + 1):
        made.append(_decoder(config, number, stride, made[-1].name, is_upsampled and low is not None))
        is_upsampled, filters = False, config.decoder.filters
    made.append(_classifier(config, arguments, stride, made[-1].name, is_upsampled, low is not None))
    return made


def _upsampling(config: Any, arguments: SketchArguments, level: str, low: str | None) -> int:
    size = config.upsampling_size
    if size == "auto":
        return max(1, arguments.strides[level] // arguments.strides[low]) if low else 1
    return int(size if isinstance(size, int) else size[0])


def _aspp(config: Any, arguments: SketchArguments, level: str, stride: int) -> Iterator[Block]:
    rates = config.dilation_rates
    rates = PAPER_RATES[arguments.output_stride] if rates == "auto" else rates
    rates = rates if config.aspp.atrous else ()
    filters, separable = config.aspp.filters, config.aspp.separable
    branch = {"inputs": (level,), "stride": stride, "channels": filters, "rewrites": CONVOLUTION_REWRITES}
    yield Block(name="aspp_1", title="1×1 convolution", **branch)
    names = ["aspp_1"]
    for number, rate in enumerate(rates, 2):
        # A tap that lies outside of the map wherever the kernel stands; depthwise kernels keep theirs.
        cut = not separable and any(rate >= -(-side // stride) for side in arguments.size)
        yield Block(
            name=f"aspp_{number}",
            title=f"3×3 {'separable ' if separable else ''}convolution",
            note=f"atrous, rate {rate}",
            **{**branch, "rewrites": (*CONVOLUTION_REWRITES, *(["drop_padding_taps"] if cut else []))},
        )
        names.append(f"aspp_{number}")
    if config.aspp.image_pooling:
        yield Block(
            name="aspp_pooling",
            title="image pooling",
            note="average, 1×1, resize",
            kind="pooling",
            inputs=(level,),
            stride=stride,
            channels=filters,
            rewrites=CONVOLUTION_REWRITES,
        )
        names.append("aspp_pooling")
    yield Block(
        name="aspp_projection",
        title="concatenate, project 1×1",
        note=f"dropout {config.aspp.dropout:g}" if config.aspp.dropout else "",
        inputs=tuple(names),
        stride=stride,
        channels=filters,
        rewrites=(
            *CONVOLUTION_REWRITES,
            "drop_identities",
            *(["split_image_pooling"] if config.aspp.image_pooling else []),
        ),
    )


def _low_level(config: Any, low: str, stride: int, filters: int, above: str) -> Iterator[Block]:
    yield Block(
        name="low_level",
        title="1×1 convolution",
        note="low-level features",
        inputs=(low,),
        stride=stride,
        channels=config.projection_filters,
        rewrites=CONVOLUTION_REWRITES,
    )
    yield Block(
        name="concatenation",
        title="concatenate",
        kind="joining",
        inputs=("low_level", above),
        stride=stride,
        channels=filters + config.projection_filters,
    )


def _decoder(config: Any, number: int, stride: int, above: str, reads_upsampled: bool) -> Block:
    decoder = config.decoder
    pointwise = decoder.kernel_size == 1 and not decoder.separable
    splits = reads_upsampled and pointwise and config.aspp.filters >= decoder.filters
    return Block(
        name=f"decoder_{number}",
        title=f"{decoder.kernel_size}×{decoder.kernel_size} {'separable ' if decoder.separable else ''}convolution",
        note="decoder",
        inputs=(above,),
        stride=stride,
        channels=decoder.filters,
        rewrites=(*CONVOLUTION_REWRITES, *(["split_upsampled_blocks"] if splits else [])),
    )


def _classifier(
    config: Any, arguments: SketchArguments, stride: int, above: str, reads_upsampled: bool, joined: bool
) -> Block:
    pays = reads_upsampled and config.aspp.filters >= arguments.num_classes
    rewrite = "split_upsampled_blocks" if joined else "convolve_before_upsampling"
    return classifier_block(above, stride, arguments, rewrites=(rewrite,) if pays else ())
