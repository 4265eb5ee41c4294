"""A model whose layers state their shapes is the model whose layers were traced."""

import contextlib
import functools
import threading

import numpy as np
import pytest

import registry
from registry.backend import keras, tf
from registry.models import activations, layers, padded
from registry.models.symbolic import STATED, shapes_as_stated

Layer = keras.layers.Layer

# Class → arguments it is tried with; "pair" where it reads two maps.
ARGUMENTS = {
    keras.layers.Activation: [{"activation": "relu"}, {"activation": "softmax"}],
    keras.layers.Add: ["pair"],
    keras.layers.AveragePooling2D: [{}, {"pool_size": 3, "strides": 2, "padding": "same"}],
    keras.layers.BatchNormalization: [{}, {"scale": False, "epsilon": 1e-5}],
    keras.layers.Concatenate: ["pair"],
    keras.layers.Conv2D: [
        {"filters": 6, "kernel_size": 3},
        {"filters": 6, "kernel_size": (5, 3), "strides": 2, "padding": "same", "groups": 2},
        {"filters": 6, "kernel_size": 3, "dilation_rate": 2, "use_bias": False},
    ],
    keras.layers.DepthwiseConv2D: [
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": (3, 5), "depth_multiplier": 2, "dilation_rate": 2},
    ],
    keras.layers.Dropout: [{"rate": 0.1}],
    keras.layers.GlobalAveragePooling2D: [{}, {"keepdims": True}],
    keras.layers.LayerNormalization: [{}],
    keras.layers.MaxPooling2D: [{}, {"pool_size": 3, "strides": 2, "padding": "same"}],
    keras.layers.Multiply: ["pair"],
    keras.layers.ReLU: [{"max_value": 6.0}],
    keras.layers.SeparableConv2D: [{"filters": 6, "kernel_size": 3, "padding": "same"}],
    keras.layers.UpSampling2D: [{"size": (2, 3), "interpolation": "bilinear"}],
    keras.layers.ZeroPadding2D: [{"padding": ((0, 1), (2, 3))}],
    activations.GELU: [{}],
    activations.HardGate: [{}],
    activations.HardSigmoid: [{}],
    activations.HardSwish: [{}],
    activations.Scale: [{"factor": 0.5}],
    activations.Swish: [{}],
    layers.AlignedUpSampling2D: [{"size": (2, 3)}],
    layers.AtrousAveragePooling2D: [{"rate": 2}, {"rate": 2, "pool_size": 3, "padding": "valid"}],
    layers.AtrousConv2D: [
        {"filters": 6, "kernel_size": 3, "dilation_rate": 2},
        {"filters": 6, "kernel_size": 3, "dilation_rate": 2, "padding": "same", "groups": 2},
    ],
    layers.AtrousDepthwiseConv2D: [{"kernel_size": 3, "dilation_rate": 2, "padding": "same"}],
    layers.AtrousMaxPooling2D: [{"rate": 2}, {"rate": 2, "pool_size": 3, "padding": "valid"}],
    layers.ResizeLike: ["pair"],
    layers.SpaceToDepth: [{"block_size": 2}],
    padded.AtrousSeparableConv2D: [
        {"filters": 6, "kernel_size": 3, "dilation_rate": 2, "edges": ((1, 2), (2, 2))}
    ],
    padded.PaddedAtrousConv2D: [
        {"filters": 6, "kernel_size": 3, "dilation_rate": 2, "edges": ((1, 2), (2, 2))}
    ],
    padded.PaddedAtrousDepthwiseConv2D: [{"kernel_size": 3, "dilation_rate": 2, "edges": ((1, 2), (2, 2))}],
}
CASES = [(layer, arguments) for layer, all_arguments in ARGUMENTS.items() for arguments in all_arguments]
SHAPES = [(16, 20, 4), (None, None, 4), (16, None, 4)]
# Every encoder family and every head; strides as the family has them.
ASSEMBLIES = {
    "cspnet": ("csp_resnet_50", "lr_aspp"),
    "densenet": ("densenet_121", "unet"),
    "efficientnet": ("efficientnet_lite0", "deeplab_v3"),
    "keras_applications": ("mobilenet_v2", "fpn"),
    "mit": ("mit_b0", "segformer"),
    "mobilenet": ("mobilenet_v3_small_100", "pspnet"),
    "resnet": ("resnet_vd_50", "deeplab_v3_plus"),
    "xception": ("xception_41", "deeplab_v3_plus"),
}


def _applied(layer, arguments, shape, dtype="float32"):
    """A model of one layer between two convolutions."""
    image = keras.layers.Input(shape)
    x = keras.layers.Conv2D(4, 1, name="before", dtype=dtype)(image)
    if arguments == "pair":
        y = layer(name="tried", dtype=dtype)([x, keras.layers.Conv2D(4, 1, name="second", dtype=dtype)(x)])
    else:
        y = layer(name="tried", dtype=dtype, **arguments)(x)
    if len(y.shape) == 4:
        y = keras.layers.Conv2D(2, 1, name="after", dtype=dtype)(y)
    return keras.Model(image, y)


def _facts(model):
    """All that a model is, with the values that its weights start with."""
    return (
        [(layer.name, type(layer), layer.built, layer.get_config()) for layer in model.layers],
        [layer.output.dtype for layer in model.layers],
        [(weight.name, tuple(weight.shape), weight.dtype, weight.trainable) for weight in model.weights],
    )


def _built(build, context):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    with context():
        return build()


def _assert_same(build, monkeypatch):
    stated = _built(build, shapes_as_stated)
    for module in ("registry.assembly.encoder", "registry.assembly.segmenter"):
        monkeypatch.setattr(f"{module}.shapes_as_stated", contextlib.nullcontext)
    traced = _built(build, contextlib.nullcontext)
    assert _facts(stated) == _facts(traced)
    for mine, theirs in zip(stated.layers, traced.layers, strict=True):
        # Tracing forgets a side where an operation cannot infer it, as behind tf-keras's dilated depthwise layer.
        known = [
            side if expected is not None else None
            for side, expected in zip(mine.output.shape, theirs.output.shape, strict=True)
        ]
        assert known == list(theirs.output.shape), mine.name
    for mine, theirs in zip(stated.get_weights(), traced.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return stated, traced


def test_every_class_is_tried():
    assert set(ARGUMENTS) == STATED


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("layer", "arguments"), CASES, ids=lambda part: getattr(part, "__name__", None))
def test_a_layer_is_connected_as_by_tracing(layer, arguments, shape, monkeypatch):
    stated, traced = _assert_same(lambda: _applied(layer, arguments, shape), monkeypatch)
    image = np.random.default_rng(0).normal(size=(1, *(side or 18 for side in shape))).astype(np.float32)
    np.testing.assert_array_equal(stated(image), traced(image))


@pytest.mark.parametrize(("layer", "arguments"), CASES, ids=lambda part: getattr(part, "__name__", None))
def test_in_mixed_precision_too(layer, arguments, monkeypatch):
    _assert_same(lambda: _applied(layer, arguments, (16, 20, 4), "mixed_float16"), monkeypatch)


@pytest.mark.parametrize("plugin", ASSEMBLIES)
def test_assemblies_are_the_same_models(plugin, monkeypatch):
    variant, head = ASSEMBLIES[plugin]
    preset = {
        "encoder": {"plugin": plugin, "variant": variant},
        "architecture": {"name": head},
        "num_classes": 3,
    }
    build = functools.partial(registry.build, preset, weights=None, encoder_weights=None)
    if plugin == "keras_applications":
        build()  # the plugin looks at a network before it first builds it, which draws random numbers too
    _assert_same(build, monkeypatch)


def test_every_family_and_head_is_assembled():
    assert set(ASSEMBLIES) == {fact.plugin for fact in registry.list_encoders()}
    assert {head for _, head in ASSEMBLIES.values()} == {fact.name for fact in registry.list_architectures()}


def test_of_a_deeplab_no_layer_is_traced(monkeypatch):
    traced = []
    trace = Layer._infer_output_signature
    monkeypatch.setattr(
        "registry.models.symbolic._trace",
        lambda layer, *rest: traced.append(layer.name) or trace(layer, *rest),
    )
    registry.build("deeplab_v3_plus_resnet50_pascalvoc", weights=None, encoder_weights=None)
    assert traced == []


class Halved(keras.layers.Conv2D):
    """A subclass whose result its parent's `compute_output_shape` does not know."""

    def call(self, inputs):
        return super().call(inputs)[..., :1]


def test_a_subclass_is_traced():
    with shapes_as_stated():
        outputs = Halved(4, 1)(keras.layers.Input((8, 8, 3)))
    assert tuple(outputs.shape) == (None, 8, 8, 1)


def test_integers_are_traced():
    with shapes_as_stated():
        outputs = keras.layers.ZeroPadding2D(1)(keras.layers.Input((8, 8, 3), dtype="int32"))
    assert outputs.dtype == tf.int32


def test_masks_are_kept():
    with shapes_as_stated():
        masked = keras.layers.Masking()(keras.layers.Input((8, 3)))
        outputs = keras.layers.Activation("relu")(masked)
    assert outputs._keras_mask is not None


def test_activity_regularizers_count():
    with shapes_as_stated():
        image = keras.layers.Input((8, 8, 3))
        model = keras.Model(image, keras.layers.Conv2D(2, 1, activity_regularizer="l2")(image))
    assert len(model.losses) == 1


def test_a_training_argument_is_kept():
    with shapes_as_stated():
        image = keras.layers.Input((8, 8, 3))
        model = keras.Model(image, keras.layers.Dropout(0.9)(image, training=True))
    assert not np.allclose(model(np.ones((1, 8, 8, 3))), 1.0)


@pytest.mark.parametrize(
    "layer", [keras.layers.Conv2D(2, 5), keras.layers.MaxPooling2D(5)], ids=["convolution", "pooling"]
)
def test_a_map_that_is_too_small_is_refused_in_the_words_of_tf_keras(layer):
    image = keras.layers.Input((4, 4, 3))
    messages = []
    for context in (shapes_as_stated, contextlib.nullcontext):
        with context(), pytest.raises(ValueError, match=r".") as caught:
            type(layer).from_config(layer.get_config())(image)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_nothing_is_left_behind():
    trace = Layer._infer_output_signature
    with shapes_as_stated():
        with contextlib.suppress(RuntimeError), shapes_as_stated():
            raise RuntimeError
        assert Layer._infer_output_signature is not trace  # the outer one still holds
    assert Layer._infer_output_signature is trace


def test_threads_do_not_end_it_for_each_other():
    trace = Layer._infer_output_signature
    started, ended = threading.Event(), threading.Event()

    def other():
        with shapes_as_stated():
            started.set()
            ended.wait()

    thread = threading.Thread(target=other)
    thread.start()
    started.wait()
    with shapes_as_stated():
        pass
    assert Layer._infer_output_signature is not trace
    ended.set()
    thread.join()
    assert Layer._infer_output_signature is trace
