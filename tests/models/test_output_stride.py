"""Output stride by surgery: the dilated network's features, subsampled, are the strided one's."""

import numpy as np
import pytest
from small_networks import randomize

from registry.backend import keras
from registry.errors import ModelError
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D
from registry.models.output_stride import pyramid_of_graph, with_output_stride
from registry.models.padded import AtrousSeparableConv2D, PaddedAtrousConv2D
from registry.models.pooling import AtrousAveragePooling2D, AtrousMaxPooling2D

L = keras.layers
SIZE = 384


def conv(x, filters=6, kernel=3, stride=1, padding="same", activation="relu", **kwargs):
    return L.Conv2D(filters, kernel, strides=stride, padding=padding, activation=activation, **kwargs)(x)


def bn_relu(x):
    return L.ReLU()(L.BatchNormalization()(x))


def chain(x):
    """MobileNet's: strided depthwise convolutions with `same` padding, nothing beside them."""
    x = conv(x, 6, stride=2)
    for _ in range(4):
        x = bn_relu(L.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x))
        x = bn_relu(conv(x, 8, 1, activation=None))
        x = bn_relu(L.DepthwiseConv2D(3, padding="same")(x))
    return x


def padded_chain(x):
    """The same with Keras's padding by hand, for 3×3 and 5×5."""
    for kernel in (3, 3, 3, 5, 3):
        x = L.ZeroPadding2D(((kernel // 2 - 1, kernel // 2),) * 2)(x)
        x = bn_relu(L.Conv2D(6, kernel, strides=2)(x))
    return x


def residual(x):
    """ResNet's: symmetric padding by hand before the stride, a strided 1×1 shortcut."""
    x = L.MaxPooling2D(3, strides=2)(L.ZeroPadding2D(1)(conv(L.ZeroPadding2D(3)(x), 6, 7, 2, "valid")))
    for _ in range(3):
        branch = bn_relu(L.Conv2D(6, 3, strides=2)(L.ZeroPadding2D(1)(conv(x, 4, 1))))
        x = L.ReLU()(L.Add()([conv(branch, 6, activation=None), conv(x, 6, 1, 2, activation=None)]))
    return x


def lopsided_residual(x):
    """RegNet's: a grouped 3×3 with `same` padding, which sees pixels after the shortcut's."""
    x = conv(x, 8, stride=2)
    for _ in range(4):
        branch = AtrousConv2D(8, 3, strides=2, padding="same", groups=2, activation="relu")(conv(x, 8, 1))
        x = L.ReLU()(L.Add()([conv(branch, 8, 1, activation=None), conv(x, 8, 1, 2, activation=None)]))
    return x


def separable(x):
    """Xception's: separable convolutions, pooled, beside a 1×1 shortcut."""
    x = conv(conv(x, 6, 3, 2, "valid"), 6, 3, 1, "valid")
    for _ in range(4):
        branch = L.BatchNormalization()(L.SeparableConv2D(6, 3, padding="same")(L.ReLU()(x)))
        branch = L.MaxPooling2D(3, strides=2, padding="same")(branch)
        x = L.Add()([branch, L.BatchNormalization()(conv(x, 6, 1, 2, activation=None))])
    return L.SeparableConv2D(6, 3, strides=1, padding="same")(x)


def strided_separable(x):
    """A strided separable convolution, plain and beside a shortcut that holds it in place."""
    x = conv(x, 6, stride=2)
    for _ in range(2):
        x = bn_relu(L.SeparableConv2D(6, 5, strides=2, padding="same")(x))
        shortcut = conv(x, 6, 1, 2, activation=None)
        x = L.Add()([L.SeparableConv2D(6, 3, strides=2, padding="same")(x), shortcut])
    return x


def densely_pooled(x):
    """DenseNet's, VGG's, ConvNeXt's: 2×2 windows side by side, no padding."""
    x = L.AveragePooling2D(2)(conv(x))
    x = L.MaxPooling2D(2)(L.Concatenate()([x, conv(x)]))
    x = L.AveragePooling2D(2)(conv(x, 6))
    x = conv(conv(x), 6, 2, 2, "valid")
    return conv(conv(conv(x), 6, 2, 2, "valid"), 6, 2)


def inception(x):
    """Branches of pooling and convolutions that pad nothing, and pooling at stride 1 after them."""
    x = conv(conv(x, 6, 3, 2, "valid"), 6, 3, 2, "valid")
    for _ in range(3):
        factored = conv(conv(x, 4, (1, 5)), 4, (5, 1))
        x = L.Concatenate()(
            [
                conv(factored, 4, 3, 2, "valid"),
                L.MaxPooling2D(3, strides=2)(x),
                L.AveragePooling2D(3, strides=2)(x),
            ]
        )
        x = L.Add()(
            [
                L.AveragePooling2D(3, strides=1, padding="same")(x),
                L.MaxPooling2D(3, strides=1, padding="same")(x),
                conv(x, x.shape[-1], 1),
            ]
        )
    return x


def factored_reduction(x):
    """NASNet's: one padding for several poolings, and a shortcut shifted by a pixel."""
    x = conv(x, 6, stride=2)
    for _ in range(4):
        pad = L.ZeroPadding2D(((0, 1), (0, 1)))(x)
        shifted = L.Cropping2D(((1, 0), (1, 0)))(L.ZeroPadding2D(((0, 1), (0, 1)))(x))
        pooled = L.Add()([L.MaxPooling2D(3, strides=2)(pad), L.AveragePooling2D(3, strides=2)(pad)])
        wide = conv(x, 6, 5, 2)
        even = L.AveragePooling2D(1, strides=2)(x)
        odd = L.AveragePooling2D(1, strides=2)(shifted)
        x = L.Concatenate()([pooled, wide, conv(even, 3, 1), conv(odd, 3, 1)])
        x = conv(x, 6, 1)
    return x


def dilated_already(x):
    """Atrous rates of the network's own multiply."""
    for _ in range(4):
        x = conv(x, 6, 3, 2)
    return conv(conv(x, 6, 3, dilation_rate=2), 6, 3, 2)


# Network → offset of the pixels that the strided network sees, at output strides 16 and 8.
NETWORKS = {
    chain: (1, 3),
    padded_chain: (1, 3),
    residual: (0, 0),
    lopsided_residual: (0, 0),
    separable: (0, 0),
    strided_separable: (0, 1),
    densely_pooled: (0, 1),
    inception: (0, 0),
    factored_reduction: (0, 0),
    dilated_already: (1, 3),
}


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda build: build.__name__)
def network(request):
    keras.backend.clear_session()
    inputs = L.Input((None, None, 3))
    return request.param, randomize(keras.Model(inputs, request.param(inputs), name="network"))


def image(size=SIZE):
    return np.random.default_rng(3).normal(size=(1, size, size, 3)).astype(np.float32)


def assert_consistent(strided, dilated, step, offset, margin=4):
    """Where no padding is seen, every `step`-th pixel from `offset` on is the strided network's."""
    subsampled = dilated[:, offset::step, offset::step]
    count = min(strided.shape[1], subsampled.shape[1])
    inner = (slice(None), slice(margin, count - margin), slice(margin, count - margin))
    expected = strided[inner]
    scale = expected.std()
    assert expected.shape[1] >= 3
    assert scale > 1e-4
    np.testing.assert_allclose(subsampled[inner], expected, atol=1e-4 * scale)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("output_stride", [16, 8])
def test_atrous_features_subsampled_equal_the_strided_ones(network, output_stride):
    build, model = network
    dilated = with_output_stride(model, output_stride)
    coarse, fine = model(image()), dilated(image())
    offset = NETWORKS[build][output_stride == 8]
    assert_consistent(coarse.numpy(), fine.numpy(), 32 // output_stride, offset)
    if build is not inception:
        assert tuple(fine.shape[1:3]) == (SIZE // output_stride, SIZE // output_stride)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_layers_keep_names_and_weights_their_order(network, output_stride):
    _, model = network
    result = with_output_stride(model, output_stride)
    assert [layer.name for layer in result.layers] == [layer.name for layer in model.layers]
    for ours, theirs in zip(result.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if output_stride == 32:
        np.testing.assert_allclose(result(image(96)), model(image(96)), atol=1e-6)


@pytest.mark.sampled(2)
def test_one_step_after_another_is_one_step(network):
    build, model = network
    at_once, twice = with_output_stride(model, 8), with_output_stride(with_output_stride(model, 16), 8)
    expected, got = at_once(image(128)).numpy(), twice(image(128)).numpy()
    assert expected.shape == got.shape
    if build not in (
        densely_pooled,
        strided_separable,
    ):  # their second stride chose `same` padding at another rate
        np.testing.assert_allclose(got, expected, atol=1e-4 * expected.std())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_every_window_is_dilated_natively(network, output_stride):
    _, model = network
    for layer in with_output_stride(model, output_stride).layers:
        if max(np.ravel(getattr(layer, "dilation_rate", 1))) > 1:
            assert isinstance(layer, (AtrousConv2D, AtrousDepthwiseConv2D, AtrousSeparableConv2D))


def kinds(build, output_stride=8):
    inputs = L.Input((None, None, 3))
    result = with_output_stride(keras.Model(inputs, build(inputs)), output_stride)
    return {type(layer) for layer in result.layers}


def test_same_padding_serves_where_no_branch_forbids_it():
    assert not kinds(chain) & {PaddedAtrousConv2D, L.ZeroPadding2D}
    assert PaddedAtrousConv2D not in kinds(padded_chain)
    assert PaddedAtrousConv2D in kinds(lopsided_residual)
    assert {AtrousMaxPooling2D, AtrousAveragePooling2D} <= kinds(inception)


@pytest.mark.parametrize("build", [lopsided_residual, separable, strided_separable], ids=lambda b: b.__name__)
def test_dilated_models_survive_saving(tmp_path, build):
    inputs = L.Input((None, None, 3))
    dilated = randomize(with_output_stride(keras.Model(inputs, build(inputs)), 8))
    dilated.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(image(96)), dilated(image(96)), atol=1e-5)


def held_in_place(x):
    """A padded convolution, grouped, at rates 1 and 2. oneDNN's gradient of a strided 1×1 needs 16 channels."""
    x = conv(conv(conv(x, 16, 3, 2), 16, 3, 2), 16, 3, 2)
    for _ in range(2):
        branch = AtrousConv2D(16, 3, strides=2, padding="same", groups=2, activation="relu")(x)
        x = L.Add()([branch, conv(x, 16, 1, 2, activation=None)])
    return x


@pytest.mark.parametrize("build", [chain, held_in_place], ids=lambda b: b.__name__)
def test_dilated_models_can_be_trained(build):
    inputs = L.Input((64, 64, 3))
    dilated = randomize(with_output_stride(keras.Model(inputs, build(inputs)), 8))
    dilated.compile("sgd", "mse")
    x, y = image(64), np.ones((1, 8, 8, dilated.output_shape[-1]), np.float32)
    assert np.isfinite(dilated.train_on_batch(x, y))


# Classifiers, pyramids, nested models


def classifier(inputs):
    x = chain(inputs)
    gate = conv(L.GlobalAveragePooling2D(keepdims=True)(x), 8, 1, activation="sigmoid")
    x = L.Multiply()([x, gate])
    return L.Dense(5)(L.Dropout(0.1)(L.GlobalAveragePooling2D()(x)))


def test_a_classifier_keeps_its_head():
    inputs = L.Input((None, None, 3))
    model = randomize(keras.Model(inputs, classifier(inputs)))
    dilated = with_output_stride(model, 16)
    assert dilated(image(128)).shape == (1, 5)
    assert {level: tensor.shape[-1] for level, tensor in dilated.pyramid_outputs.items()} == {
        "P1": 6,
        "P2": 8,
        "P3": 8,
        "P4": 8,
        "P5": 8,
    }


def test_the_result_serves_as_an_image_encoder():
    from registry.models.deeplab_v3 import DeepLabV3Backbone

    inputs = L.Input((None, None, 3))
    encoder = with_output_stride(keras.Model(inputs, classifier(inputs)), 16)
    backbone = DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P5",
        upsampling_size=4,
        dilation_rates=[2, 4],
        low_level_feature_key="P2",
        projection_filters=4,
    )
    assert backbone(image(64)).shape[1:3] == (64, 64)


def test_stages_end_where_everything_passes():
    keras.backend.clear_session()
    inputs = L.Input((None, None, 3))
    model = keras.Model(inputs, L.Dense(3)(L.GlobalMaxPooling2D()(residual(inputs))))
    pyramid = pyramid_of_graph(model)
    ends = {level: tensor.node.layer.name for level, tensor in pyramid.items()}
    # The convolution before the padding of the pooling, the pooling, and each sum after its ReLU.
    assert ends == {"P1": "conv2d", "P2": "max_pooling2d", "P3": "re_lu_1", "P4": "re_lu_3", "P5": "re_lu_5"}
    shapes = keras.Model(inputs, pyramid).compute_output_shape((1, 128, 64, 3))
    assert {level: tuple(shape[1:3]) for level, shape in shapes.items()} == {
        f"P{stage}": (128 >> stage, 64 >> stage) for stage in range(1, 6)
    }


def test_stages_that_branches_lead_past_must_be_named():
    inputs = L.Input((None, None, 3))
    x = conv(inputs, 6, stride=2)
    left = conv(conv(conv(x, 4, 3, 2), 4, 3, 2, name="left"), 4, 3, 2)
    right = conv(conv(conv(x, 4, 5, 2), 4, 3, 2), 4, 3, 2)
    model = keras.Model(inputs, L.Add()([left, right]))
    with pytest.raises(ModelError, match="lead past every tensor of P2, P3") as caught:
        pyramid_of_graph(model)
    assert "levels" in str(caught.value)
    assert not hasattr(with_output_stride(model, 8), "pyramid_outputs")
    named = with_output_stride(model, 8, levels={"P3": "left"})
    assert list(named.pyramid_outputs) == ["P3"]
    with pytest.raises(ModelError, match="named by a layer of the model"):
        with_output_stride(model, 8, levels={"P3": "lft"})


def test_nested_models_are_flattened():
    keras.backend.clear_session()
    stem = keras.Sequential([L.Conv2D(4, 4, strides=4, name="patches"), L.LayerNormalization()], name="stem")
    inner = L.Input((None, None, 4))
    stage = keras.Model(inner, conv(conv(inner, 6, 2, 2, "valid"), 6, name="deep"), name="stage")
    inputs = L.Input((None, None, 3))
    x = conv(stage(stem(inputs)), 6, 2, 2, "valid")
    model = randomize(keras.Model(inputs, conv(conv(x, 6, 3, 2), 6)))
    dilated = with_output_stride(model, 8)
    assert {"patches", "deep"} <= {layer.name for layer in dilated.layers}
    assert not any(isinstance(layer, keras.Model) for layer in dilated.layers)
    assert_consistent(model(image()).numpy(), dilated(image()).numpy(), 4, 2)


# What is refused


class Attention(L.Layer):
    """Mixes pixels, so that no atrous rate makes it equal."""

    def call(self, inputs):
        return inputs - keras.backend.mean(inputs, axis=1, keepdims=True)


class Gate(L.Layer):
    """Treats every pixel alike, but nothing says so."""

    def call(self, inputs):
        return inputs * 0.5


def strided_then(*layers):
    def build(inputs):
        x = inputs
        for _ in range(5):
            x = conv(x, 4, 3, 2)
        for layer in layers:
            x = layer(x)
        return x

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            strided_then(L.Flatten(name="flat"), L.Dense(2)),
            r"flat \(Flatten\): it ties the network to one size",
        ),
        (strided_then(L.Conv2DTranspose(2, 3, strides=2, name="up")), r"up \(Conv2DTranspose\)"),
        (
            strided_then(L.UpSampling2D(2, name="up")),
            r"up \(UpSampling2D\): it upsamples a map that would be",
        ),
        (strided_then(Attention(name="attention")), r"attention \(Attention\): its class is not known"),
        (strided_then(L.Lambda(lambda x: x, name="code")), r"code \(Lambda\)"),
        (strided_then(L.Reshape((4, 4), name="rows"), L.LSTM(3)), r"rows \(Reshape\)"),
        (strided_then(L.BatchNormalization(axis=1, name="rows")), r"rows \(BatchNormalization\)"),
        (strided_then(L.Concatenate(axis=2, name="wide")), None),
        (
            strided_then(L.Conv2D(2, 3, strides=(2, 1), padding="same", name="tall")),
            r"tall \(Conv2D\): it strides rows and columns",
        ),
    ],
)
def test_what_cannot_be_dilated_is_named(build, message):
    if message is None:  # Concatenate needs several inputs
        single = strided_then()

        def build(inputs):
            x = single(inputs)
            return L.Concatenate(axis=2, name="wide")([x, x])

        message = r"wide \(Concatenate\)"
    inputs = L.Input((64, 64, 3))
    model = keras.Model(inputs, build(inputs))
    with pytest.raises(ModelError, match=message) as caught:
        with_output_stride(model, 16)
    assert "include_top=False" in str(caught.value)


def test_a_layer_may_be_vouched_for():
    inputs = L.Input((None, None, 3))
    model = randomize(keras.Model(inputs, conv(Gate()(chain(inputs)), 6)))
    with pytest.raises(ModelError, match="Gate"):
        with_output_stride(model, 16)
    dilated = with_output_stride(model, 16, pixelwise=(Gate,))
    assert_consistent(model(image()).numpy(), dilated(image()).numpy(), 2, 1)


def test_a_dense_head_stays_where_nothing_is_dilated():
    inputs = L.Input((64, 64, 3))
    model = randomize(keras.Model(inputs, strided_then(L.Flatten(), L.Dense(2))(inputs)))
    np.testing.assert_allclose(with_output_stride(model, 32)(image(64)), model(image(64)), atol=1e-6)


def shared(inputs):
    layer = L.Conv2D(3, 3, padding="same", name="twice")
    return chain(layer(layer(inputs)))


def jumping(inputs):
    return conv(conv(inputs, 4, 4, 4, "valid"), 4, 4, 4, "valid")


def shallow(inputs):
    return conv(conv(inputs, 4, 3, 2), 4, 3, 2)


def shared_padding(inputs):
    x = conv(conv(conv(conv(inputs, 4, 3, 2), 4, 3, 2), 4, 3, 2), 4, 3, 2)
    pad = L.ZeroPadding2D(2, name="pad")(x)
    return L.Add()([conv(pad, 4, 5, 2, "valid"), L.Cropping2D(((0, 1), (0, 1)))(conv(pad, 4, 3, 2, "valid"))])


def meeting_strides(inputs):
    x = strided_then()(inputs)
    pooled = L.AveragePooling2D(2)(x)
    return L.Add()([x, L.Conv2DTranspose(4, 2, strides=2)(pooled)])


@pytest.mark.parametrize(
    ("build", "output_stride", "message"),
    [
        (shared, 16, "twice_1, a second application"),
        (jumping, 8, "stride 4 on a map of stride 4"),
        (shallow, 8, "whose maps reach stride 4"),
        (shared_padding, 16, "pad, read by"),
        (meeting_strides, 16, r"\(Conv2DTranspose\)"),
        (chain, 12, "an output stride is 8, 16 or 32"),
    ],
)
def test_networks_that_do_not_fit_are_refused(build, output_stride, message):
    inputs = L.Input((64, 64, 3))
    with pytest.raises(ModelError, match=message):
        with_output_stride(keras.Model(inputs, build(inputs)), output_stride)


def test_only_functional_models_of_tf_keras_are_taken():
    with pytest.raises(ModelError, match=r"must be a `tf_keras\.Model`"):
        with_output_stride(object(), 16)

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ModelError, match="must be a functional model"):
        with_output_stride(Subclassed(), 16)
    inputs = L.Input((None, None, 3))
    nested = keras.Model(inputs, keras.Model(inputs, chain(inputs))(inputs))
    with pytest.raises(ModelError, match="must be flat"):
        pyramid_of_graph(nested)
