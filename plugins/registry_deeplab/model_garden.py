"""TF Model Garden's DeepLabs, from TensorFlow 2's checkpoints, under the names of our layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from registry.architecture import SegmenterWeights
from registry.errors import WeightsMismatchError
from registry.weights.object_paths import children, is_object_layout, object_layers, under
from registry_deeplab.fitting import misfit

__all__ = ["garden_weights"]

Arrays = Mapping[str, Sequence[Any]]

_ASPP = "decoder/aspp"
_HEAD = {
    "head/_dlv3p_conv": "decoder_conv",
    "head/_dlv3p_norm": "decoder_norm",
    "head/_classifier": "segmentation_output",
}
_SCORING = "mask_scoring_head/"


def garden_weights(config: Any, arrays: Arrays) -> SegmenterWeights | None:
    """Take the checkpoint of a `SegmentationModel` with ASPP apart.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arrays: variables of a trainer's checkpoint (`backbone/…`, `decoder/…`, `head/…`), or of the model alone
            (`model/backbone/…`).

    Returns:
        The backbone's variables, named as in a checkpoint of it alone, and the layers of ASPP, decoder and classifier;
        None if the names are not Model Garden's. Refused is a network that `deeplab_v3` and `deeplab_v3_plus` cannot
        express.
    """
    if not is_object_layout(arrays):
        return None
    root = next((root for root in ("", "model") if _is_segmenter(under(arrays, root))), None)
    if root is None:
        return None
    whole = under(arrays, root)
    layers = {path: held for path, held in object_layers(whole).items() if not path.startswith("backbone/")}
    branches = _branches(layers)
    pooling = f"{_ASPP}/aspp_layers/{max(branches, default=0)}"
    separable = any(name.startswith(_ASPP) and "/depthwise_kernel/" in name for name in whole)
    refusal = _refusal(layers, children(arrays, f"{root}/{pooling}"), pooling)
    if refusal is None and separable:
        refusal = misfit(
            config, "Model Garden's separable ASPP", {"aspp.separable": True, "aspp.depthwise_norm": False}
        )
    head: dict[str, Sequence[Any]] = {}
    for path, held in layers.items():
        name = _layer(path, max(branches, default=0), whole, separable)
        head[path if name in head else name] = held
    unused = tuple(name for name in head if name.startswith(_SCORING))
    return SegmenterWeights(
        encoder=under(whole, "backbone"),
        head=head,
        unused=unused,
        refusal=refusal,
        dilated_encoder={"early_rate": True},
    )


def _is_segmenter(arrays: Arrays) -> bool:
    return any(name.startswith("head/_classifier/") for name in arrays)


def _branches(paths: Iterable[str]) -> list[int]:
    found = (re.match(rf"{_ASPP}/aspp_layers/(\d{{1,6}})/", path) for path in paths)
    return [int(match[1]) for match in found if match]


def _layer(path: str, pooling: int, arrays: Arrays, separable: bool) -> str:
    """Our layer of an object; one without a layer keeps its path."""
    projection = re.fullmatch(rf"{_ASPP}/(?:projection/layer_with_weights-|_projection/)([01])", path)
    if projection:
        return f"{'bn' if projection[1] == '1' else 'conv'}_projection"
    # Of the pooling branch these are the numbers beyond its two layers without variables.
    branch = re.fullmatch(
        rf"{_ASPP}/aspp_layers/(\d{{1,6}})/(?:(?:layer_with_weights-0/)?layer_with_weights-)?([0-3])", path
    )
    if branch:
        number, part = int(branch[1]), int(branch[2])
        if separable and 0 < number < pooling:
            # The depthwise half is not normalized: a layer more, ahead of the two that every branch has.
            if part == 0:
                return f"aspp_conv_{number + 1}_depthwise"
            part -= 1
        kind = "bn" if part % 2 else "conv"
        return f"{kind}_pooling" if number == pooling else f"aspp_{kind}_{number + 1}"
    convolution = re.fullmatch(r"head/_(convs|norms)/(\d{1,6})", path)
    if convolution is None:
        return _HEAD.get(path, path)
    number, half = int(convolution[2]), ""
    if any(name.startswith("head/_convs/0/depthwise_kernel/") for name in arrays):
        half = "" if number % 2 else "_depthwise"
        number //= 2
    suffix = "" if number == 0 else f"_{number + 1}"
    return f"segmentation_head_{'conv' if convolution[1] == 'convs' else 'norm'}{suffix}{half}"


def _refusal(
    layers: Mapping[str, Any], within_pooling: Collection[str], pooling: str
) -> WeightsMismatchError | None:
    reason = None
    # The pooled vector comes from two layers, an average and a reshaping; the average over a window is one.
    windows = {"layer-0", "layer-1"} <= set(within_pooling) and "layer-2" not in within_pooling
    if not _branches(layers):
        decoder = sorted({path.split("/")[1] for path in layers if path.startswith("decoder/")})
        reason = f"without ASPP: its decoder holds {', '.join(decoder[:4]) or 'nothing'}"
    elif windows or f"{pooling}/1" in layers:
        reason = "that pools over windows instead of the whole map (`pool_kernel_size`)"
    elif any(path.startswith("head/_panoptic_fpn_fusion/") for path in layers):
        reason = "that fuses a pyramid (`panoptic_fpn_fusion`)"
    if reason is None:
        return None
    return WeightsMismatchError(
        "of Model Garden's segmentation networks DeepLabV3 and V3+ can be expressed, with one pooled vector in ASPP",
        received=f"a checkpoint of a network {reason}",
        repair="load its backbone alone: encoder_weights=…",
    )
