"""The ResNet plugin: sizes, the pyramid at every output stride, and atrous consistency."""

import numpy as np
import pytest
from small_networks import randomize

from registry.backend import keras
from registry.errors import ModelError
from registry_resnet.conversion import renamed_layers
from registry_resnet.graph import resnet_pyramid
from registry_resnet.variants import SPECS, CustomResNetOptions, architecture_of

NAMED = [spec for spec in SPECS if spec.parameters is not None]


def small(block_type="bottleneck_block", *, pre_activation=False, blocks=(1, 2, 2, 3)):
    vd = block_type.endswith("_vd")
    return CustomResNetOptions(
        input_conv_filters=(8, 8, 12) if vd else (8 if block_type == "basic_block" else 12,),
        input_conv_kernel_sizes=(3, 3, 3) if vd else (7,),
        stackwise_num_filters=(8, 6, 5, 4),
        stackwise_num_blocks=blocks,
        block_type=block_type,
        use_pre_activation=pre_activation,
    )


def encoder(options, output_stride, multi_grid=None, image_shape=(None, None, 3)):
    inputs = keras.layers.Input(image_shape)
    pyramid = resnet_pyramid(
        inputs, options.architecture(), output_stride=output_stride, multi_grid=multi_grid
    )
    return keras.Model(inputs, pyramid)


KINDS = [
    pytest.param(("bottleneck_block", False), id="v1-bottleneck"),
    pytest.param(("basic_block", False), id="v1-basic"),
    pytest.param(("bottleneck_block", True), id="v2-bottleneck"),
    pytest.param(("basic_block", True), id="v2-basic"),
    pytest.param(("bottleneck_block_vd", False), id="vd-bottleneck"),
    pytest.param(("basic_block_vd", False), id="vd-basic"),
]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    block_type, pre_activation = request.param
    return small(block_type, pre_activation=pre_activation)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("multi_grid", [None, (1, 2, 4)], ids=["plain", "multi-grid"])
@pytest.mark.parametrize("output_stride", [16, 8])
def test_atrous_features_subsampled_equal_the_strided_ones(kind, output_stride, multi_grid):
    image = np.random.default_rng(3).normal(size=(1, 512, 512, 3)).astype(np.float32)
    strided = randomize(encoder(kind, 32, multi_grid))
    atrous = encoder(kind, output_stride, multi_grid)
    atrous.set_weights(strided.get_weights())
    coarse, fine = strided.predict(image, verbose=0), atrous.predict(image, verbose=0)
    for level, expected in coarse.items():
        step = fine[level].shape[1] // expected.shape[1]
        assert step == max(1, 2 ** int(level[1]) // output_stride)
        subsampled = fine[level][:, ::step, ::step]
        # Interior: positions that no padding reaches. Padding is the one thing in which the networks differ.
        margin = 5 if level == "P5" else 3
        interior = (slice(None), slice(margin, -margin), slice(margin, -margin))
        scale = expected[interior].std()
        assert scale > 1e-3
        np.testing.assert_allclose(subsampled[interior], expected[interior], atol=1e-4 * scale)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_every_level_has_its_reported_stride(kind, output_stride):
    model = encoder(kind, output_stride)
    for level, shape in model.compute_output_shape((1, 128, 192, 3)).items():
        stride = min(2 ** int(level[1]), output_stride)
        assert tuple(shape) == (1, 128 // stride, 192 // stride, kind.architecture().channels()[level])


@pytest.mark.sampled(3)
def test_dilated_graphs_hold_the_same_weights(kind):
    shapes = [[tuple(v.shape) for v in encoder(kind, stride).weights] for stride in (32, 16, 8)]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("spec", NAMED, ids=lambda spec: spec.name)
def test_named_variants_have_the_parameters_that_they_state(spec):
    inputs = keras.layers.Input((None, None, 3))
    pyramid = resnet_pyramid(inputs, architecture_of(spec.name, spec.options()), output_stride=32)
    assert keras.Model(inputs, pyramid).count_params() == spec.parameters
    assert {level: tensor.shape[-1] for level, tensor in pyramid.items()} == spec.channels_for()
    keras.backend.clear_session()


def test_the_classifier_of_pytorch_s_files_is_unused_by_declaration():
    layers = renamed_layers({"fc.weight": [np.zeros((10, 8))], "fc.bias": [np.zeros(10)]})
    assert all(set(layers) <= set(spec.unused_weights) for spec in SPECS)


def test_multi_grid_must_have_one_factor_per_block():
    with pytest.raises(ModelError, match="one factor per block of the last stack, 3") as caught:
        encoder(small(), 16, (1, 2))
    assert "[1, 2, 4]" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_conv_filters": (8, 8)}, "same length"),
        ({"stackwise_num_blocks": (1, 1)}, "same length"),
        ({"stackwise_num_strides": (1, 1, 2, 2)}, "each level doubles the stride"),
        ({"block_type": "basic_block_vd", "use_pre_activation": True}, "no pre-activation form"),
        ({"block_type": "basic_block", "input_conv_filters": (9,)}, "has no projection"),
        ({"blocks": 3}, "Extra inputs"),
    ],
)
def test_contradictory_custom_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CustomResNetOptions(**{**small().model_dump(), **change})
