"""The CSPNet plugin: its sizes, every output stride, timm's files, grouped convolutions."""

import numpy as np
import pytest
from small_networks import randomize

import registry
from registry.backend import keras, tf
from registry.models.arithmetic import count_macs
from registry_cspnet import layers as cspnet_layers
from registry_cspnet import registry_convert_weights
from registry_cspnet.graph import cspnet_pyramid
from registry_cspnet.layers import ChannelSlice, GroupedConv2D
from registry_cspnet.variants import SPECS, CustomCSPNetOptions, architecture_of

NAMED = [spec for spec in SPECS if spec.parameters is not None]

CSP_DARK = {
    "stem_filters": 6,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stem_padding": "same",
    "stackwise_depth": (1, 1, 1, 2, 2),
    "stackwise_strides": 2,
    "stackwise_num_filters": (6, 8, 8, 8, 8),
    "block_type": "dark_block",
    "stage_type": "csp",
    "bottle_ratio": (0.5, 1.0),
    "block_ratio": (1.0, 0.5),
    "expand_ratio": (2.0, 1.0),
    "down_growth": True,
}
CSP_BOTTLENECK_GROUPED = {
    "stem_filters": 8,
    "stem_kernel_size": 7,
    "stem_strides": 4,
    "stem_pooling": "max",
    "stackwise_depth": (1, 1, 2, 2),
    "stackwise_strides": (1, 2),
    "stackwise_num_filters": (8, 16, 16, 16),
    "block_type": "bottleneck_block",
    "stage_type": "csp",
    "block_ratio": 0.5,
    "groups": 2,
    "cross_linear": True,
}
CS3_EDGE_AVERAGE = {
    **CSP_BOTTLENECK_GROUPED,
    "stem_filters": (4, 8),
    "stem_kernel_size": 3,
    "stem_pooling": None,
    "stage_type": "cs3",
    "block_type": "edge_block",
    "activation": "silu",
    "avg_down": True,
}
DARK = {
    **CSP_DARK,
    "stage_type": "dark",
    "block_ratio": 1.0,
    "expand_ratio": 1.0,
    "activation": "relu",
}
KINDS = [
    pytest.param(CSP_DARK, id="csp-dark"),
    pytest.param(CSP_BOTTLENECK_GROUPED, id="csp-bottleneck-grouped"),
    pytest.param(CS3_EDGE_AVERAGE, id="cs3-edge-average"),
    pytest.param(DARK, id="dark"),
]


@pytest.fixture(scope="module", params=KINDS)
def architecture(request):
    return CustomCSPNetOptions(**request.param).architecture()


def encoder(architecture, output_stride=32):
    inputs = keras.layers.Input((None, None, 3))
    return keras.Model(inputs, cspnet_pyramid(inputs, architecture, output_stride=output_stride))


@pytest.mark.sampled(2)
def test_atrous_features_subsampled_equal_the_strided_ones(architecture):
    image = np.random.default_rng(3).normal(size=(1, 352, 352, 3)).astype(np.float32)
    strided = randomize(encoder(architecture))
    coarse = strided.predict(image, verbose=0)
    for output_stride in (16, 8):
        atrous = encoder(architecture, output_stride)
        atrous.set_weights(strided.get_weights())
        fine = atrous.predict(image, verbose=0)
        for level, expected in coarse.items():
            step = fine[level].shape[1] // expected.shape[1]
            assert step == max(1, 2 ** int(level[1]) // output_stride)
            # Strided layers pad both sides alike, so the grids share their first pixel.
            subsampled = fine[level][:, ::step, ::step]
            # Interior: positions that no padding reaches. Padding is the one thing in which the networks differ.
            margin = 5 if level == "P5" else 3
            interior = (slice(None), slice(margin, -margin), slice(margin, -margin))
            scale = np.abs(expected).max()
            assert scale > 1e-3
            np.testing.assert_allclose(subsampled[interior], expected[interior], atol=1e-4 * scale)


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_every_level_has_its_reported_stride(architecture, output_stride):
    model = encoder(architecture, output_stride)
    for level, shape in model.compute_output_shape((1, 128, 192, 3)).items():
        stride = min(2 ** int(level[1]), output_stride)
        assert tuple(shape) == (1, 128 // stride, 192 // stride, architecture.channels()[level])


@pytest.mark.sampled(4)
@pytest.mark.parametrize("spec", NAMED, ids=lambda spec: spec.name)
def test_named_variants_have_the_sizes_that_they_state(spec):
    inputs = keras.layers.Input((None, None, 3))
    pyramid = cspnet_pyramid(inputs, architecture_of(spec.name, spec.options()), output_stride=32)
    model = keras.Model(inputs, pyramid)
    assert model.count_params() == spec.parameters
    assert {level: tensor.shape[-1] for level, tensor in pyramid.items()} == spec.channels_for()
    assert count_macs(model, (512, 512)) == spec.macs
    keras.backend.clear_session()


def test_a_level_is_the_last_tensor_of_its_stride():
    stages = {
        "stackwise_strides": (2, 1, 2),
        "stackwise_depth": (1,) * 3,
        "stackwise_num_filters": (8, 16, 24),
    }
    options = CustomCSPNetOptions(**{**CSP_BOTTLENECK_GROUPED, **stages})
    pyramid = encoder(options.architecture()).output
    assert {level: tensor.shape[-1] for level, tensor in pyramid.items()} == {
        "P1": 8,
        "P2": 8,
        "P3": 16,
        "P4": 24,
    }
    assert pyramid["P3"].node.layer.name == "stage_1_csp_transition_activation"


def timm_names(layers):
    """The arrays of an encoder as timm's file has them: its names and PyTorch's layout."""
    parts = {"conv_down_1": "conv_down", "bn_1": "conv_down", "conv_exp": "conv_exp", "bn_2": "conv_exp"}
    arrays = {}
    for layer in layers:
        if not layer.weights:
            continue
        words = layer.name.split("_")
        kind = "bn" if "bn" in words else "conv"
        if words[1] == "stem":
            module = f"stem.conv{int(words[-1]) + 1}"
        elif "block" in words[2:4]:
            module = f"stages.{words[1]}.blocks.{words[3]}.conv{words[-1]}"
        else:
            part = layer.name.split(f"_{words[2]}_", 1)[1].removesuffix("_bn")
            part = parts.get(part, part if part.startswith("conv_") else f"conv_{part}")
            module = f"stages.{words[1]}.{part}"
        values = layer.get_weights()
        if kind == "conv":
            arrays[f"{module}.conv.weight"] = [values[0].transpose(3, 2, 0, 1)]
        else:
            for suffix, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
                arrays[f"{module}.bn.{suffix}"] = [value]
            arrays[f"{module}.bn.num_batches_tracked"] = [np.array(7)]
    return arrays | {"head.fc.weight": [np.zeros((10, 8))], "head.fc.bias": [np.zeros(10)]}


def test_a_file_of_timm_converts_array_by_array(architecture):
    model = randomize(encoder(architecture))
    arrays = timm_names(model.layers)
    converted = registry_convert_weights("cspnet_custom", "timm", arrays)
    assert set(converted) == {layer.name for layer in model.layers if layer.weights}
    for layer in model.layers:
        for ours, theirs in zip(layer.get_weights(), converted.get(layer.name, []), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_keras_hubs_own_arrays_need_no_conversion():
    assert registry_convert_weights("csp_darknet_53", "imagenet", {"csp_stem_conv_0": [np.zeros(1)]}) is None


@pytest.fixture(params=["as the device can", "group by group"])
def device(request, monkeypatch):
    """Both ways to compute a grouped convolution: with the device's gradient where it has one, and where it has none."""
    if request.param == "group by group":
        monkeypatch.setattr(cspnet_layers, "has_grouped_kernels", lambda dtype: False)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
@pytest.mark.parametrize(("strides", "rate", "padding"), [(1, 1, "same"), (2, 1, "valid"), (1, 2, "same")])
@pytest.mark.usefixtures("device")
def test_grouped_convolution_and_its_gradient_are_right(strides, rate, padding, wrap):
    rng = np.random.default_rng(0)
    layer = GroupedConv2D(6, 3, groups=3, strides=strides, dilation_rate=rate, padding=padding)
    layer.build((None, None, None, 12))
    image = tf.constant(rng.normal(size=(2, 9, 8, 12)).astype(np.float32))
    kernel, bias = (tf.constant(rng.normal(size=v.shape).astype(np.float32)) for v in layer.weights)
    layer.set_weights([kernel, bias])
    # The same filters over all channels, zero outside of their group.
    blocks = [
        tf.pad(kernel[..., 2 * g : 2 * g + 2], [[0, 0], [0, 0], [4 * g, 8 - 4 * g], [0, 0]]) for g in range(3)
    ]

    @wrap
    def ours(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        return y, *tape.gradient(loss, [x, layer.kernel])

    full = tf.Variable(tf.concat(blocks, axis=-1))
    with tf.GradientTape() as tape:
        tape.watch(image)
        y = tf.nn.convolution(image, full, [strides] * 2, padding.upper(), dilations=[rate] * 2) + bias
        loss = tf.reduce_sum(y**2)
    image_gradient, full_gradient = tape.gradient(loss, [image, full])
    kernel_gradient = tf.concat(
        [full_gradient[:, :, 4 * g : 4 * g + 4, 2 * g : 2 * g + 2] for g in range(3)], axis=-1
    )
    for received, expected in zip(ours(image), (y, image_gradient, kernel_gradient), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


def test_grouped_and_sliced_layers_come_back_from_their_configuration():
    layer = GroupedConv2D(6, 3, groups=3, dilation_rate=2, name="g")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert (type(again), again.groups, again.dilation_rate) == (GroupedConv2D, 3, (2, 2))
    part = keras.layers.deserialize(keras.layers.serialize(ChannelSlice(1, 3, name="s")))
    assert np.array(part(tf.reshape(tf.range(4.0), (1, 1, 1, 4)))).ravel().tolist() == [1.0, 2.0]


def test_a_grouped_dilated_network_trains_and_is_one_operation_per_convolution_in_tflite(
    small_preset, tmp_path
):
    small_preset["encoder"] = {
        "plugin": "cspnet",
        "variant": "cspnet_custom",
        "output_stride": 8,
        "options": {key: list(v) if isinstance(v, tuple) else v for key, v in CSP_BOTTLENECK_GROUPED.items()},
    }
    small_preset["architecture"]["low_level_feature_key"] = "P2"
    model = registry.build(small_preset, weights=None, image_shape=(64, 64, 3))
    model.compile("sgd", "mse")
    history = model.fit(np.ones((2, 64, 64, 3), np.float32), np.zeros((2, 64, 64, 5)), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    report = registry.export(model, tmp_path / "m.tflite", size=64, progress=False)
    assert not set(report.operations) & {"SPLIT", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stackwise_depth": (1, 1)}, "same length"),
        ({"stem_pooling": "max"}, "`stem_strides` must be 4"),
        ({"stem_kernel_size": 4}, "must be odd"),
        ({"stem_padding": "valid"}, "must be 'same'"),
        ({"stem_filters": (4, 6)}, "loses border pixels"),
        ({"stage_type": "dark", "block_ratio": 1.0, "stackwise_strides": (2, 1, 2)}, "without padding"),
        ({"expand_ratio": (1.5, 1.0)}, "must be even"),
        ({"block_ratio": 0.5}, "must keep their 6 channels"),
        ({"groups": 4}, "must divide the channels"),
        ({"stackwise_strides": 1}, "must reach a stride"),
        ({"output_strides": 16}, "Input should be 32"),
        ({"blocks": 3}, "Extra inputs"),
    ],
)
def test_contradictory_custom_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CustomCSPNetOptions(**{**CSP_DARK, **change})
