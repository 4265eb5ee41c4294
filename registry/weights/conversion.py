"""From PyTorch's layout to Keras's, for plugins that read weights of timm or torchvision.

Each function takes and returns arrays that stay in their file until the model takes them; only shapes are looked at.
A file of PyTorch names parameters (`blocks.0.bn1.running_mean`), one array each; Keras has layers with a list of
variables. NumPy only: usable in the hook `registry_convert_weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from registry.errors import WeightsMismatchError, nearest
from registry.weights.arrays import StoredArray, stored

__all__ = [
    "batch_norm",
    "convolution",
    "dense",
    "depthwise_convolution",
    "is_torch_layout",
    "layer_norm",
    "parameter",
    "torch_layers",
]

# In the order of Keras's variables; what else a module holds comes after them.
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_COUNTER = "num_batches_tracked"


def convolution(kernel: Any) -> StoredArray:
    """Kernel of a convolution, grouped or not.

    Args:
        kernel: (out, in ÷ groups, height, width).

    Returns:
        (height, width, in ÷ groups, out), for `Conv2D`.

    Raises:
        WeightsMismatchError: it has another rank.
    """
    return _of_rank(kernel, 4, "the kernel of a convolution").transpose(2, 3, 1, 0)


def depthwise_convolution(kernel: Any) -> StoredArray:
    """Kernel of a depthwise convolution with one filter per channel.

    Args:
        kernel: (channels, 1, height, width).

    Returns:
        (height, width, channels, 1), for `DepthwiseConv2D`.

    Raises:
        WeightsMismatchError: it has another rank, or filters over several channels.
    """
    array = _of_rank(kernel, 4, "the kernel of a depthwise convolution")
    if array.shape[1] != 1:
        raise WeightsMismatchError(
            "the kernel of a depthwise convolution is (channels, 1, height, width)", received=array.shape
        )
    return array.transpose(2, 3, 0, 1)


def dense(kernel: Any) -> StoredArray:
    """Kernel of a fully connected layer.

    Args:
        kernel: (out, in), or that of a 1×1 convolution, (out, in, 1, 1).

    Returns:
        (in, out), for `Dense`.

    Raises:
        WeightsMismatchError: it has another shape.
    """
    array = stored(kernel)
    if array.ndim == 4 and array.shape[2:] == (1, 1):
        array = array.reshape(*array.shape[:2])
    return _of_rank(array, 2, "the kernel of a fully connected layer").transpose(1, 0)


def parameter(arrays: Mapping[str, Sequence[Any]], name: str) -> StoredArray:
    """One parameter of a file in PyTorch's layout.

    Raises:
        WeightsMismatchError: it is absent; names the nearest ones.
    """
    if name not in arrays:
        raise WeightsMismatchError(
            f"the weights must hold the parameter {name}",
            received=f"{len(arrays)} parameters without it",
            repair=f"pass the file of this very variant; {nearest(name, arrays)}",
        )
    (array,) = arrays[name]
    return stored(array)


def batch_norm(arrays: Mapping[str, Sequence[Any]], prefix: str) -> list[StoredArray]:
    """Variables of a `BatchNormalization` layer: gamma, beta, moving mean, moving variance, each (channels,).

    Args:
        arrays: parameter name → one array.
        prefix: name of PyTorch's module, `blocks.0.bn1`.

    Raises:
        WeightsMismatchError: one of the four is absent.
    """
    return [parameter(arrays, f"{prefix}.{suffix}") for suffix in _BATCH_NORM]


def layer_norm(arrays: Mapping[str, Sequence[Any]], prefix: str) -> list[StoredArray]:
    """Variables of a `LayerNormalization` layer: gamma, beta, each (channels,).

    Args:
        arrays: parameter name → one array.
        prefix: name of PyTorch's module, `stages.0.norm`.

    Raises:
        WeightsMismatchError: one of the two is absent.
    """
    return [parameter(arrays, f"{prefix}.{suffix}") for suffix in ("weight", "bias")]


def is_torch_layout(arrays: Collection[str]) -> bool:
    """Whether names are those of PyTorch's parameters, `….weight`, rather than of Keras's layers."""
    return any(name.endswith(".weight") for name in arrays)


def torch_layers(
    arrays: Mapping[str, Sequence[Any]], *, depthwise: Callable[[str], bool] | None = None
) -> dict[str, list[StoredArray]]:
    """Gather the parameters of a whole file by module, each arranged as the Keras layer of that kind has them.

    The plugin then only renames modules to its layers, so that a parameter it has no layer for is reported, not lost.
    Counters of batches (`num_batches_tracked`) are left out.

    Args:
        arrays: parameter name → one array.
        depthwise: whether the module of that name becomes a `DepthwiseConv2D`. If left out: each whose kernel is
            (channels, 1, height, width) with more than one channel.

    Returns:
        Module → arrays: kernels in Keras's layout, then bias; gamma, beta, moving mean, moving variance; what has
        another name after these, as it is.
    """
    modules: dict[str, dict[str, StoredArray]] = {}
    for name, (array,) in arrays.items():
        module, _, suffix = name.rpartition(".")
        if suffix != _COUNTER:
            modules.setdefault(module, {})[suffix] = stored(array)
    return {
        module: [_arranged(module, suffix, held[suffix], depthwise) for suffix in sorted(held, key=_position)]
        for module, held in modules.items()
    }


def _arranged(
    module: str, suffix: str, array: StoredArray, depthwise: Callable[[str], bool] | None
) -> StoredArray:
    if suffix != "weight" or array.ndim not in (2, 4):
        return array
    if array.ndim == 2:
        return dense(array)
    channelwise = array.shape[1] == 1 < array.shape[0] if depthwise is None else depthwise(module)
    return depthwise_convolution(array) if channelwise else convolution(array)


def _position(suffix: str) -> tuple[int, str]:
    return (_BATCH_NORM.index(suffix) if suffix in _BATCH_NORM else len(_BATCH_NORM), suffix)


def _of_rank(array: Any, rank: int, what: str) -> StoredArray:
    lazily = stored(array)
    if lazily.ndim != rank:
        raise WeightsMismatchError(f"{what} has {rank} axes", received=lazily.shape)
    return lazily
