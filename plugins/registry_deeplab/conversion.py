"""Other projects' DeepLabs under the names of our layers: checkpoints of TensorFlow 1 and 2, PyTorch's state dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.architecture import SegmenterWeights
from registry.weights.conversion import is_torch_layout
from registry_deeplab.checkpoints import checkpoint_weights
from registry_deeplab.model_garden import garden_weights
from registry_deeplab.state_dicts import state_dict_weights

__all__ = ["segmenter_weights"]


def segmenter_weights(config: Any, arrays: Mapping[str, Sequence[Any]]) -> SegmenterWeights | None:
    """Take the weights of a whole DeepLab apart.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arrays: variables of a checkpoint (`aspp1_depthwise/depthwise_weights`, or Model Garden's
            `head/_classifier/kernel/.ATTRIBUTES/VARIABLE_VALUE`), or parameters of a state dict of torchvision
            (`classifier.0.convs.1.0.weight`) or segmentation_models.pytorch (`decoder.aspp.0.convs.0.0.weight`).

    Returns:
        The encoder's arrays in its own names, and the layers of ASPP, decoder and classifier; None if the names are of
        no such kind.
    """
    if is_torch_layout(arrays):
        return state_dict_weights(config, arrays)
    return checkpoint_weights(config, arrays) or garden_weights(config, arrays)
