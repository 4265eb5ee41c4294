"""tf_keras.applications as encoders: equal to tf-keras on the same file of weights, from pixels to every level."""

import functools
import importlib
import inspect
import re

import numpy as np
import pytest

from registry.backend import keras
from registry.models.arithmetic import count_macs
from registry.models.graph import Graph
from registry.models.output_stride import with_output_stride
from registry.pyramid import reported_stride
from registry.testing.randomizing import randomize
from registry.weights.assignment import assign
from registry.weights.opening import open_weights
from registry_keras_applications import graph, normal_form
from registry_keras_applications.conversion import convert
from registry_keras_applications.graph import application_model, applications_pyramid, undilated
from registry_keras_applications.normal_form import name_alike
from registry_keras_applications.variants import EXCLUDED, FAMILIES, SPECS, application_of

BY_NAME = {spec.name: spec for spec in SPECS}
# One variant of each family, with the module of its `preprocess_input` and the side of the image. The default run takes
# every other one: dear ones are in between.
FAMILY = {
    "resnet50_v2": ("resnet_v2", 64),
    "resnet50": ("resnet", 64),
    "densenet121": ("densenet", 64),
    "inception_v3": ("inception_v3", 96),
    "resnet_rs50": ("resnet_rs", 64),
    "inception_resnet_v2": ("inception_resnet_v2", 96),
    "xception": ("xception", 96),
    "nasnet_mobile": ("nasnet", 64),
    "mobilenet_v3_small": ("mobilenet_v3", 64),
    "mobilenet": ("mobilenet", 64),
    "efficientnet_v2_b0": ("efficientnet_v2", 64),
    "efficientnet_b0": ("efficientnet", 64),
    "convnext_tiny": ("convnext", 64),
    "efficientnet_v2_s": ("efficientnet_v2", 64),
    "regnet_y002": ("regnet", 64),
    "mobilenet_v2": ("mobilenet_v2", 64),
    "vgg16": ("vgg16", 64),
}


def _stacks(kind, x):
    """Two blocks a stage, as the strides of both orders of a block need."""
    from tf_keras.src.applications import resnet

    stack = {1: resnet.stack1, 2: resnet.stack2}[kind]
    for stage in range(4):
        # The first stride is that of the pooling before (v1), the last stack of v2 has none.
        stride = (1 if stage == 0 else 2) if kind == 1 else (1 if stage == 3 else 2)
        x = stack(x, 64 << stage, 2, stride1=stride, name=f"conv{stage + 2}")
    return x


# tf-keras's own function behind a variant, and arguments that leave a few blocks of each stage: a deeper network
# repeats them.
SHALLOW = {
    **{
        variant: (
            "resnet.ResNet",
            {
                "stack_fn": functools.partial(_stacks, kind),
                "preact": kind == 2,
                "use_bias": True,
                "model_name": variant,
            },
        )
        for variant, kind in (("resnet50", 1), ("resnet50_v2", 2))
    },
    "resnet_rs50": (
        "resnet_rs.ResNetRS",
        {
            "depth": 50,
            "block_args": [{"input_filters": 64 << stage, "num_repeats": 1} for stage in range(4)],
        },
    ),
    "densenet121": ("densenet.DenseNet", {"blocks": [2, 2, 2, 2]}),
    "nasnet_mobile": (
        "nasnet.NASNet",
        {"penultimate_filters": 1056, "num_blocks": 1, "stem_block_filters": 32, "skip_reduction": False},
    ),
    "efficientnet_b0": (
        "efficientnet.EfficientNet",
        {"width_coefficient": 1.0, "depth_coefficient": 0.4, "default_size": 224},
    ),
    "efficientnet_v2_b0": (
        "efficientnet_v2.EfficientNetV2",
        {
            "width_coefficient": 1.0,
            "depth_coefficient": 0.4,
            "default_size": 224,
            "model_name": "efficientnetv2-b0",
        },
    ),
    "efficientnet_v2_s": (
        "efficientnet_v2.EfficientNetV2",
        {
            "width_coefficient": 1.0,
            "depth_coefficient": 0.2,
            "default_size": 384,
            "model_name": "efficientnetv2-s",
        },
    ),
    "convnext_tiny": (
        "convnext.ConvNeXt",
        {"depths": [1, 1, 2, 1], "projection_dims": [96, 192, 384, 768], "model_name": "convnext_tiny"},
    ),
    "regnet_y002": (
        "regnet.RegNet",
        {
            "depths": [1, 1, 2, 2],
            "widths": [24, 56, 152, 368],
            "group_width": 8,
            "block_type": "Y",
            "default_size": 224,
            "model_name": "regnety002",
        },
    ),
}
# Stems that pad nothing in tf-keras and give maps of the image's size over the stride here.
UNPADDED = ("xception", "inception_v3", "inception_resnet_v2")


def encoder(variant, output_stride=32):
    inputs = keras.layers.Input((None, None, 3))
    return keras.Model(inputs, applications_pyramid(inputs, variant, output_stride=output_stride))


def pixels(side, count=1):
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


def normalized(spec, image):
    return (image * np.float32(spec.normalization.scale) + np.float32(spec.normalization.offset)).astype(
        np.float32
    )


def lively(model, images):
    """Random weights; EfficientNet's own normalization, which its file of weights holds, with ImageNet's values."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
            layer.set_weights([mean, deviation**2, np.int64(1)])
            layer.finalize_state()
            layer.trainable = True
    return randomize(model, images)


def their_levels(application, ours, variant):
    """The tensors of tf-keras's model that our levels stand for: their layers may be counted, and so be named, anew."""
    taken_apart = Graph.of(application, flatten=True, with_weights=False)
    before = list(taken_apart.nodes)
    name_alike(taken_apart, variant)
    theirs = dict(zip(taken_apart.nodes, before, strict=True))
    return {level: application.get_layer(theirs[name]).output for level, name in ours.items()}


@pytest.fixture
def shallow(monkeypatch):
    """Let the plugin meet networks of fewer blocks."""

    def build(variant, **arguments):
        if variant not in SHALLOW:
            return application_model(variant, **arguments)
        path, fewer_blocks = SHALLOW[variant]
        module, _, function = path.partition(".")
        function = getattr(importlib.import_module(f"tf_keras.src.applications.{module}"), function)
        size = 65 if variant == "nasnet_mobile" else None
        arguments = {"input_shape": (size, size, 3), **arguments}
        return function(include_top=False, weights=None, **fewer_blocks, **arguments)

    monkeypatch.setattr(graph, "application_model", build)
    undilated.cache_clear()
    yield build
    undilated.cache_clear()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("variant", FAMILY)
def test_features_equal_those_of_tf_keras(variant, tmp_path, monkeypatch, shallow):
    """All levels, from pixels on, with the weights of one file."""
    keras.backend.clear_session()
    module, side = FAMILY[variant]
    # Six images, so that the statistics of the deepest maps, of four pixels, are those of an ordinary network.
    spec, image = BY_NAME[variant], pixels(side, count=6)
    if variant in UNPADDED:
        # Their maps differ by the padding; what is built from them is compared without it.
        monkeypatch.setattr(normal_form, "_round_sizes_up", lambda graph: None)
    preprocess = importlib.import_module(f"tf_keras.applications.{module}").preprocess_input
    theirs_image, ours_image = preprocess(image.copy()), normalized(spec, image)
    if variant == "nasnet_mobile":
        # A stem that pads nothing, on an image with a row and a column of zeros behind: what `same` pads.
        theirs_image = np.pad(theirs_image, ((0, 0), (0, 1), (0, 1), (0, 0)))
        application = shallow(variant, input_shape=(side + 1, side + 1, 3))
    else:
        application = shallow(variant)
    lively(application, theirs_image)
    application.save_weights(tmp_path / "weights.h5")

    ours = encoder(variant)
    arrays = convert(variant, open_weights(tmp_path / "weights.h5").arrays)
    report = assign(ours.layers, arrays, source="tf-keras", unused=spec.unused_weights)
    assert not report.fresh

    _, levels = undilated(variant)
    names = {level: ours.output[level].node.layer.name for level in levels}
    reference = keras.Model(application.inputs, their_levels(application, names, variant))
    expected, got = reference(theirs_image[:1]), ours(ours_image[:1])
    assert list(got) == list(spec.channels_for())
    for level, tensor in expected.items():
        assert got[level].shape == tensor.shape
        assert np.std(tensor) > 1e-3
        np.testing.assert_allclose(got[level], tensor, rtol=0, atol=1e-4 * np.abs(tensor).max())


@pytest.mark.parametrize(
    ("variant", "level", "shift", "crop"),
    # A stem convolution at stride 2 that now pads sees one pixel of stride 2 earlier: the same features lie at index
    # i + shift in ours and at i in those of the image without its first `crop` rows and columns.
    [("xception", "P3", 1, 6)],
)
def test_padded_stems_have_the_features_of_unpadded_ones(variant, level, shift, crop):
    keras.backend.clear_session()
    image = normalized(BY_NAME[variant], pixels(256))
    application = lively(application_model(variant), image)
    ours = encoder(variant)
    copy = with_output_stride(application, 32)
    arrays = {layer.name: layer.get_weights() for layer in copy.layers if layer.weights}
    assign(ours.layers, convert(variant, arrays), source="tf-keras")
    _, levels = undilated(variant)
    names = {key: ours.output[key].node.layer.name for key in levels}
    tensor = their_levels(application, {level: names[level]}, variant)[level]
    # 197 is a size whose maps are even behind the stem, as all of 256 are.
    expected = keras.Model(application.inputs, tensor)(image[:, crop : crop + 197, crop : crop + 197]).numpy()
    got = ours(image)[level].numpy()[:, shift:, shift:]
    inside = slice(8, expected.shape[1] - 8)
    difference = got[:, inside, inside] - expected[:, inside, inside]
    assert difference.size > 100
    assert np.abs(difference).max() < 1e-4 * expected.std()


# What a file of weights becomes


def test_a_kernel_for_bgr_is_turned_once():
    kernel = np.arange(7 * 7 * 3 * 2, dtype=np.float32).reshape(7, 7, 3, 2)
    bias = np.zeros(2, np.float32)
    ours = convert("resnet50", {"conv1_conv": [kernel, bias]})
    np.testing.assert_array_equal(ours["conv1_conv_rgb"][0], kernel[:, :, ::-1])
    assert ours["conv1_conv_rgb"][1] is bias
    again = convert("resnet50", ours)
    assert list(again) == ["conv1_conv_rgb"]
    np.testing.assert_array_equal(again["conv1_conv_rgb"][0], ours["conv1_conv_rgb"][0])


def test_layers_without_names_are_matched_in_the_order_of_their_numbers():
    arrays = {f"conv2d_{number}": [np.full((1, 1, 2, 2), number, np.float32)] for number in (188, 95, 110)}
    ours = convert("inception_v3", arrays)
    values = {name: int(np.asarray(held[0]).flat[0]) for name, held in ours.items()}
    assert values == {
        "inception_v3_conv2d_2": 188,
        "inception_v3_conv2d_0": 95,
        "inception_v3_conv2d_1": 110,
    }


def test_preprocessing_in_a_file_is_left_out():
    assert not convert("efficientnet_b0", {"normalization_3": [np.zeros(3), np.ones(3), np.int64(1)]})


def test_parameters_of_pytorch_are_left_to_others():
    assert convert("resnet50", {"conv1.weight": [np.zeros((2, 3, 7, 7))]}) is None


# The table


def test_every_network_of_tf_keras_is_offered_or_excluded():
    offered = {application_of(spec.name).name for spec in SPECS}
    theirs = {
        name
        for name, function in vars(keras.applications).items()
        if inspect.isfunction(function) and name[0].isupper()
    }
    assert offered | set(EXCLUDED) == theirs
    assert not offered & set(EXCLUDED)
    assert all(EXCLUDED.values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_addresses_and_hashes_are_those_of_tf_keras(spec):
    function = getattr(keras.applications, application_of(spec.name).name)
    source = "".join(
        inspect.getsource(inspect.getmodule(each)) for each in (function, keras.applications.ResNet50)
    )
    for handle in spec.weights.values():
        address, _, digest = handle.partition("#")
        assert re.fullmatch(r"https://storage\.googleapis\.com/[\w./-]+\.h5", address)
        if spec.name not in ("mobilenet", "mobilenet_v2"):  # tf-keras states no hash of theirs
            assert digest.partition("=")[2] in source
        folder = address.rpartition("/")[0].rpartition("/")[2]
        assert folder in source or folder == "keras-applications"


def test_specifications_are_complete():
    assert len(SPECS) == 71
    assert {application_of(spec.name).family.title for spec in SPECS} == {f.title for f in FAMILIES.values()}
    for spec in SPECS:
        assert spec.parameters > 900_000
        assert spec.macs > 10**8
        assert spec.license
        assert spec.paper.startswith("https://arxiv.org/abs/")
        assert "imagenet" in spec.weights


@pytest.mark.parametrize("variant", ["vgg16", "mobilenet_v3_small", "regnet_y002"])
def test_parameters_channels_and_arithmetic_are_as_stated(variant):
    model, spec = encoder(variant), BY_NAME[variant]
    assert model.count_params() == spec.parameters
    assert {level: tensor.shape[-1] for level, tensor in model.output.items()} == spec.channels_for()
    assert count_macs(model, (512, 512)) == spec.macs


@pytest.mark.sampled(4)
@pytest.mark.parametrize("variant", [*SHALLOW, "vgg16", "mobilenet", "xception"])
def test_every_size_gives_that_size_over_the_stride_rounded_up(variant, shallow):
    output_stride = 8
    model = encoder(variant, output_stride)
    for size in ((64, 96), (100, 131)):
        for level, shape in model.compute_output_shape((1, *size, 3)).items():
            stride = reported_stride(level, output_stride)
            assert tuple(shape[1:3]) == tuple(-(-side // stride) for side in size)


def test_layers_are_named_alike_whatever_was_built_before():
    undilated.cache_clear()
    first = [layer.name for layer in encoder("mobilenet_v3_small").layers[1:]]
    undilated.cache_clear()
    assert [layer.name for layer in encoder("mobilenet_v3_small").layers[1:]] == first
    assert all(name.startswith(("mobilenet_v3_small_", "Conv", "expanded_conv")) for name in first)


def test_what_is_remembered_is_not_dilated():
    """What is remembered of a network serves every output stride."""
    expected = [layer.get_config() for layer in encoder("mobilenet_v3_small", 32).layers[1:]]
    encoder("mobilenet_v3_small", 8)
    assert [layer.get_config() for layer in encoder("mobilenet_v3_small", 32).layers[1:]] == expected
