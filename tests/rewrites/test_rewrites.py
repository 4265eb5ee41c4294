"""Each rewrite is exact on its own and all of them together; what must not be rewritten stays."""

import numpy as np
import pytest
from small_networks import randomize

import registry
from registry.backend import keras
from registry.errors import ModelError
from registry.models.layers import AlignedUpSampling2D, AtrousConv2D, ResizeLike
from registry.rewrites import REWRITES, Graph, inference_form
from registry.rewrites.batch_norm import (
    drop_identities,
    fold_batch_normalization,
    fuse_activations,
    normalization_to_depthwise,
)
from registry.rewrites.concatenation import split_image_pooling, split_upsampled_blocks
from registry.rewrites.dilation import drop_padding_taps
from registry.rewrites.resizing import convolve_before_upsampling, merge_nearest_upsampling
from registry.rewrites.stem import fold_stem_into_depth

layers = keras.layers
SIZE = (24, 32)
# Float rounding of a short network, in standard deviations of its output.
EXACT = 2e-6


def network(function, channels=6, size=SIZE):
    inputs = layers.Input((*size, channels))
    return randomize(keras.Model(inputs, function(inputs)))


def check(model, rewrite, expected_count, tolerance=EXACT):
    """Apply one rewrite; outputs must be equal and the count as expected."""
    graph = Graph.of(model)
    assert rewrite(graph) == expected_count
    rewritten = graph.to_keras()
    image = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    wanted = model(image, training=False).numpy()
    np.testing.assert_allclose(rewritten(image), wanted, atol=tolerance * wanted.std() * 10, rtol=0)
    # A second pass finds nothing that the first one left.
    assert rewrite(Graph.of(rewritten)) == 0
    return rewritten


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_a_graph_taken_apart_and_built_again_is_the_same():
    def net(x):
        y = layers.Conv2D(4, 3, padding="same")(x)
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(y)
        return layers.Concatenate()([y, ResizeLike()([pooled, y]), layers.ReLU()(y)])

    model = network(net)
    rebuilt = Graph.of(model).to_keras()
    image = np.ones((1, *SIZE, 6), np.float32)
    np.testing.assert_array_equal(rebuilt(image), model(image))
    assert [layer.name for layer in rebuilt.layers] == [layer.name for layer in model.layers]


def test_a_shared_layer_becomes_two():
    shared = layers.Conv2D(6, 3, padding="same")
    model = network(lambda x: shared(shared(x)))
    rebuilt = Graph.of(model).to_keras()
    image = np.ones((1, *SIZE, 6), np.float32)
    np.testing.assert_allclose(rebuilt(image), model(image), rtol=1e-6)
    assert len(rebuilt.layers) == 3


def test_a_nested_model_is_refused():
    inner = network(lambda x: layers.ReLU()(x))
    with pytest.raises(ModelError, match="must be flat"):
        Graph.of(network(inner))


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (True, False), (False, False)])
def test_batch_normalization_folds_into_convolutions(use_bias, scale, center):
    def net(x):
        for layer in (
            layers.Conv2D(8, 3, use_bias=use_bias),
            AtrousConv2D(4, 3, dilation_rate=2, use_bias=use_bias),
            layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=use_bias),
        ):
            x = layers.BatchNormalization(scale=scale, center=center, epsilon=1e-2)(layer(x))
        return x

    rewritten = check(network(net), fold_batch_normalization, 3)
    assert "BatchNormalization" not in kinds(rewritten)


def test_batch_normalization_stays_where_it_is_not_alone():
    def read_twice(x):
        y = layers.Conv2D(6, 1)(x)
        return layers.Add()([layers.BatchNormalization()(y), y])

    def after_activation(x):
        return layers.BatchNormalization()(layers.Conv2D(6, 1, activation="relu")(x))

    check(network(read_twice), fold_batch_normalization, 0)
    check(network(after_activation), fold_batch_normalization, 0)


def test_a_free_normalization_becomes_a_depthwise_convolution():
    rewritten = check(
        network(lambda x: layers.ReLU()(layers.BatchNormalization()(x))), normalization_to_depthwise, 1
    )
    assert kinds(rewritten) == ["InputLayer", "DepthwiseConv2D", "ReLU"]


@pytest.mark.parametrize(
    ("activation", "count"),
    [
        (lambda: layers.ReLU(), 1),
        (lambda: layers.ReLU(6.0), 1),
        (lambda: layers.Activation("relu"), 1),
        (lambda: layers.ReLU(max_value=1.0), 0),
        (lambda: layers.ReLU(negative_slope=0.1), 0),
        (lambda: layers.ReLU(threshold=0.5), 0),
        (lambda: layers.Activation("sigmoid"), 0),
    ],
)
def test_activations_fuse_where_a_convolution_can_apply_them(activation, count):
    rewritten = check(network(lambda x: activation()(layers.Conv2D(4, 1)(x))), fuse_activations, count)
    assert len(rewritten.layers) == 3 - count


def test_identities_are_dropped():
    def net(x):
        x = layers.Dropout(0.5)(layers.Conv2D(4, 1)(x))
        x = layers.Activation("linear")(layers.UpSampling2D(1)(layers.ZeroPadding2D(0)(x)))
        return layers.ZeroPadding2D(1)(layers.UpSampling2D(2)(x))

    rewritten = check(network(net), drop_identities, 4)
    assert kinds(rewritten) == ["InputLayer", "Conv2D", "UpSampling2D", "ZeroPadding2D"]


@pytest.mark.parametrize("activation", ["relu", "linear", "relu6", "sigmoid"])
@pytest.mark.parametrize("blocks", [2, 4])
def test_image_pooling_is_added_as_a_bias(activation, blocks):
    def net(x):
        pooled = layers.Conv2D(5, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        others = [layers.Conv2D(3 + number, 1)(x) for number in range(blocks - 1)]
        joined = layers.Concatenate()([*others[:1], ResizeLike()([pooled, x]), *others[1:]])
        return layers.Conv2D(7, 1, activation=activation)(joined)

    rewritten = check(network(net), split_image_pooling, 1)
    assert "ResizeLike" not in kinds(rewritten)
    assert ("Concatenate" in kinds(rewritten)) == (blocks > 2)


def test_image_pooling_without_a_1x1_projection_stays():
    def net(x):
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return layers.Conv2D(7, 3, padding="same")(layers.Concatenate()([x, ResizeLike()([pooled, x])]))

    check(network(net), split_image_pooling, 0)


@pytest.mark.parametrize(
    "upsampling",
    [layers.UpSampling2D(4, interpolation="bilinear"), AlignedUpSampling2D(4)],
    ids=["bilinear", "aligned"],
)
def test_an_upsampled_block_is_convolved_small(upsampling):
    def net(x):
        deep = layers.Conv2D(9, 3, strides=4, padding="same")(x)
        up = upsampling(deep)
        return layers.Conv2D(7, 1, activation="relu")(layers.Concatenate()([up, x]))

    rewritten = check(network(net), split_upsampled_blocks, 1)
    assert "Concatenate" not in kinds(rewritten)
    (found,) = [layer for layer in rewritten.layers if isinstance(layer, type(upsampling))]
    assert found.input_shape[-1] == 7


def test_an_upsampled_block_with_fewer_channels_than_the_result_stays():
    def net(x):
        up = layers.UpSampling2D(4)(layers.Conv2D(3, 3, strides=4, padding="same")(x))
        return layers.Conv2D(7, 1)(layers.Concatenate()([up, x]))

    check(network(net), split_upsampled_blocks, 0)


@pytest.mark.parametrize(
    "upsampling",
    [
        layers.UpSampling2D((4, 2), interpolation="bilinear"),
        layers.UpSampling2D((4, 2)),
        AlignedUpSampling2D((4, 2)),
    ],
    ids=["bilinear", "nearest", "aligned"],
)
def test_the_classifier_moves_before_the_upsampling(upsampling):
    def net(x):
        return layers.Softmax()(layers.Conv2D(3, 1)(upsampling(x)))

    rewritten = check(network(net), convolve_before_upsampling, 1)
    assert kinds(rewritten) == ["InputLayer", "Conv2D", type(upsampling).__name__, "Softmax"]


def test_what_does_not_commute_with_upsampling_stays():
    def with_activation(x):
        return layers.Conv2D(3, 1, activation="relu")(layers.UpSampling2D(2, interpolation="bilinear")(x))

    def with_neighbours(x):
        return layers.Conv2D(3, 3)(layers.UpSampling2D(2)(x))

    def read_twice(x):
        up = layers.UpSampling2D(2)(x)
        return layers.Concatenate()([layers.Conv2D(3, 1)(up), up])

    for net in (with_activation, with_neighbours, read_twice):
        check(network(net), convolve_before_upsampling, 0)


def test_nearest_upsamplings_merge_and_bilinear_ones_do_not():
    def chain(interpolation):
        return lambda x: layers.UpSampling2D((3, 2), interpolation=interpolation)(
            layers.UpSampling2D(2, interpolation=interpolation)(x)
        )

    rewritten = check(network(chain("nearest")), merge_nearest_upsampling, 1)
    assert rewritten.layers[-1].size == (6, 4)
    check(network(chain("bilinear")), merge_nearest_upsampling, 0)


@pytest.mark.parametrize(
    ("rate", "size", "kernel"),
    [
        (5, (24, 32), (3, 3)),
        (23, (24, 32), (3, 3)),
        (24, (24, 32), (1, 3)),
        (31, (24, 32), (1, 3)),
        (32, (24, 32), (1, 1)),
        (40, (8, 8), (1, 1)),
    ],
)
def test_taps_in_the_padding_are_cut(rate, size, kernel):
    model = network(lambda x: AtrousConv2D(5, 3, dilation_rate=rate, padding="same")(x), size=size)
    rewritten = check(model, drop_padding_taps, 0 if kernel == (3, 3) else 1)
    assert rewritten.layers[-1].kernel_size == kernel


def test_a_five_by_five_kernel_loses_its_outer_taps_first():
    model = network(lambda x: AtrousConv2D(5, 5, dilation_rate=14, padding="same")(x))
    rewritten = check(model, drop_padding_taps, 1)
    assert rewritten.layers[-1].kernel_size == (3, 5)
    assert rewritten.layers[-1].dilation_rate == (14, 14)


def test_taps_stay_while_the_size_is_open():
    inputs = layers.Input((None, None, 3))
    model = randomize(keras.Model(inputs, AtrousConv2D(5, 3, dilation_rate=99, padding="same")(inputs)))
    assert drop_padding_taps(Graph.of(model)) == 0
    assert drop_padding_taps(Graph.of(model, (32, 32))) == 1


VARIANTS = [
    {},
    {"output_stride": 8},
    {"output_stride": 32},
    {"architecture.name": "deeplab_v3"},
    {"architecture.aspp.separable": True, "architecture.decoder.separable": True},
    {"architecture.decoder.kernel_size": 1, "activation": "softmax"},
    {"architecture.aspp.image_pooling": False},
    {"block_type": "basic_block_vd"},
    {"block_type": "bottleneck_block", "use_pre_activation": True},
]


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_the_inference_form_of_a_segmenter_is_exact(small_preset, change):
    change = dict(change)
    for option in ("block_type", "use_pre_activation"):
        if option in change:
            small_preset["encoder"]["options"][option] = change.pop(option)
    model = randomize(registry.build(small_preset, weights=None, **change))
    rewritten, applied = inference_form(model, (64, 96))
    image = np.random.default_rng(2).normal(size=(1, 64, 96, 3)).astype(np.float32)
    wanted = model(image).numpy()
    assert float(np.abs(rewritten(image) - wanted).max()) <= 1e-4 * wanted.std()
    assert "BatchNormalization" not in kinds(rewritten)
    assert "Dropout" not in kinds(rewritten)
    assert set(applied) == {rewrite.__name__ for rewrite in REWRITES}
    before = model.get_weights()
    rewritten.set_weights([np.zeros_like(weight) for weight in rewritten.get_weights()])
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_the_inference_form_serves_every_size_when_none_is_fixed(small_preset):
    model = randomize(registry.build(small_preset, weights=None))
    rewritten, _ = inference_form(model)
    for size in ((32, 48), (64, 64)):
        image = np.random.default_rng(2).normal(size=(1, *size, 3)).astype(np.float32)
        wanted = model(image).numpy()
        assert float(np.abs(rewritten(image) - wanted).max()) <= 1e-4 * wanted.std()


def _padded(padding):
    return lambda x: layers.Conv2D(8, 7, strides=2)(layers.ZeroPadding2D(padding)(x))


STEMS = [
    (_padded(3), (4, 4)),
    (_padded(((2, 3), (4, 1))), (4, 4)),
    (lambda x: layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x), (2, 2)),
    (lambda x: layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(1)(x)), (2, 2)),
    (lambda x: layers.Conv2D(8, 5, strides=2, padding="same", use_bias=False)(x), (3, 3)),
    (lambda x: layers.Conv2D(8, (2, 6), strides=2, padding="same")(x), (1, 3)),
    (lambda x: layers.Conv2D(8, 1, strides=2)(x), (1, 1)),
]


@pytest.mark.parametrize("number", range(len(STEMS)))
def test_the_stem_reads_squares_of_pixels(number):
    function, kernel = STEMS[number]
    rewritten = check(network(function, channels=3), fold_stem_into_depth, 1)
    assert rewritten.layers[-1].kernel_size == kernel
    assert rewritten.layers[-1].strides == (1, 1)
    assert rewritten.layers[-1].input_shape[-1] == 12


@pytest.mark.parametrize(
    ("function", "channels", "size"),
    [
        (lambda x: layers.Conv2D(8, 3, strides=2, padding="same")(x), 8, SIZE),
        (lambda x: layers.Conv2D(8, 3, strides=2, padding="same")(x), 3, (23, 32)),
        (lambda x: layers.Conv2D(8, 3, strides=1, padding="same")(x), 3, SIZE),
        (lambda x: layers.Conv2D(8, 5, strides=2)(x), 3, SIZE),
        (lambda x: layers.Conv2D(9, 3, strides=2, padding="same", groups=3)(x), 3, SIZE),
    ],
)
def test_other_convolutions_keep_reading_pixels(function, channels, size):
    assert fold_stem_into_depth(Graph.of(network(function, channels, size))) == 0


def test_the_integer_form_of_a_segmenter_is_exact(small_preset):
    model = randomize(registry.build(small_preset, weights=None))
    rewritten, applied = inference_form(model, (64, 96), activations="int8")
    assert applied["fold_stem_into_depth"] == 1
    image = np.random.default_rng(2).normal(size=(1, 64, 96, 3)).astype(np.float32)
    wanted = model(image).numpy()
    assert float(np.abs(rewritten(image) - wanted).max()) <= 1e-4 * wanted.std()
