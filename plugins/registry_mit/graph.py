"""The Mix Transformer as one flat graph over maps (arXiv:2105.15203, section 3.1).

KerasHub computes on sequences of pixels, in layers with layers inside, and takes their side to be the square root of
their length. Here everything but attention itself stays a map (batch, height, width, channels) of any size: a dense
layer over channels is a 1×1 convolution, and nothing is rearranged around the depthwise ones. Layers are named after
KerasHub's: `hierarchical_encoder_<stage>_<block>` with the path inside appended.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.activations import GELU
from registry_mit.layers import AttendValues, AttentionScores, MergeHeads, SplitHeads
from registry_mit.variants import STRIDES, MiTArchitecture

__all__ = ["mit_pyramid"]

layers = keras.layers

_ATTENTION_DROPOUT = 0.1


def mit_pyramid(inputs: Any, architecture: MiTArchitecture) -> dict[str, Any]:
    """Append a Mix Transformer to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: channels, blocks and heads.

    Returns:
        `KerasTensor` per level, P2 at stride 4 … P5 at stride 32, each normalized.
    """
    pyramid = {}
    x = inputs
    rates = iter(architecture.drop_path_rates())
    for stage, dim in enumerate(architecture.hidden_dims):
        x = _patch_embedding(
            x,
            dim,
            architecture.layerwise_patch_sizes[stage],
            STRIDES[stage],
            f"patch_and_embed_{stage}",
        )
        for block in range(architecture.layerwise_depths[stage]):
            x = _block(
                x,
                heads=architecture.layerwise_num_heads[stage],
                reduction=architecture.layerwise_sr_ratios[stage],
                drop_path_rate=next(rates),
                name=f"hierarchical_encoder_{stage}_{block}",
            )
        x = layers.LayerNormalization(epsilon=1e-5, name=f"output_level_{stage}_norm")(x)
        pyramid[f"P{stage + 2}"] = x
    return pyramid


def _patch_embedding(x: Any, dim: int, patch: int, stride: int, name: str) -> Any:
    """Overlapping patches: a strided convolution, padded alike on both sides."""
    x = layers.ZeroPadding2D(patch // 2, name=f"{name}_padding")(x)
    x = layers.Conv2D(dim, patch, strides=stride, name=f"{name}_proj")(x)
    return layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(x)


def _block(x: Any, *, heads: int, reduction: int, drop_path_rate: float, name: str) -> Any:
    """Add attention(norm(x)) to x, then feed-forward(norm(x)) to that."""
    for number, part in (("1", "attn"), ("2", "mlp")):
        branch = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm{number}")(x)
        if part == "attn":
            branch = _attention(branch, heads, reduction, f"{name}_{part}")
        else:
            branch = _mix_feed_forward(branch, f"{name}_{part}")
        if drop_path_rate:
            # One decision per image: stochastic depth (arXiv:1603.09382).
            branch = layers.Dropout(
                drop_path_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_{part}_drop_path"
            )(branch)
        x = layers.Add(name=f"{name}_{part}_add")([x, branch])
    return x


def _attention(x: Any, heads: int, reduction: int, name: str) -> Any:
    """Efficient self-attention: keys and values come from a map shrunk by `reduction` on each side."""
    dim = x.shape[-1]
    seen = x
    if reduction > 1:
        seen = layers.Conv2D(dim, reduction, strides=reduction, name=f"{name}_sr")(seen)
        seen = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(seen)
    projected = {
        part: layers.Conv2D(dim, 1, name=f"{name}_{part}")(source)
        for part, source in (("q", x), ("k", seen), ("v", seen))
    }
    scale = (dim // heads) ** -0.5
    split = {
        part: SplitHeads(heads, scale if part == "q" else 1.0, name=f"{name}_{part}_heads")(tensor)
        for part, tensor in projected.items()
    }
    scores = AttentionScores(name=f"{name}_scores")([split["q"], split["k"]])
    weights = layers.Softmax(name=f"{name}_softmax")(scores)
    weights = layers.Dropout(_ATTENTION_DROPOUT, name=f"{name}_dropout")(weights)
    attended = AttendValues(name=f"{name}_values")([weights, split["v"]])
    merged = MergeHeads(name=f"{name}_merge")([attended, x])
    merged = layers.Conv2D(dim, 1, name=f"{name}_proj")(merged)
    return layers.Dropout(_ATTENTION_DROPOUT, name=f"{name}_proj_drop")(merged)


def _mix_feed_forward(x: Any, name: str) -> Any:
    """1×1 to four times the channels → depthwise 3×3, which tells positions apart → GELU → 1×1 back."""
    dim = x.shape[-1]
    x = layers.Conv2D(4 * dim, 1, name=f"{name}_fc1")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_dwconv")(x)
    x = GELU(approximate=True, name=f"{name}_gelu")(x)
    return layers.Conv2D(dim, 1, name=f"{name}_fc2")(x)
