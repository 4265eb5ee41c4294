import copy

import pytest
from small_networks import SMALL_PRESET

# Narrow heads, beside the small encoder of SMALL_PRESET.
SMALL_HEADS = {
    "deeplab_v3": {"dilation_rates": [1, 2], "aspp": {"filters": 8}},
    "deeplab_v3_plus": {
        "dilation_rates": [1, 2],
        "projection_filters": 6,
        "aspp": {"filters": 8},
        "decoder": {"filters": 8},
    },
    "fpn": {"pyramid_filters": 12, "filters": 8},
    "lr_aspp": {"filters": 16},
    "pspnet": {"filters": 16},
    "segformer": {"filters": 16},
    "unet": {"decoder_filters": [16, 12, 10, 8, 6]},
}


@pytest.fixture(params=sorted(SMALL_HEADS))
def small_head(request):
    """An inline preset of each architecture, small enough to build and run in a second or two."""
    preset = copy.deepcopy(SMALL_PRESET)
    preset["architecture"] = {"name": request.param, **copy.deepcopy(SMALL_HEADS[request.param])}
    return preset
