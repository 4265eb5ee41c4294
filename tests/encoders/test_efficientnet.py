"""EfficientNets against tf_keras.applications, timm and KerasHub; atrous rates against strides; the table."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
from tf_keras.applications import efficientnet, efficientnet_v2

import registry
import registry_efficientnet as plugin
from registry.backend import keras
from registry.errors import WeightsMismatchError
from registry.inspection import inspect_delegates, inspect_model
from registry.inspection.graph import read_graph
from registry.models.arithmetic import count_macs
from registry.weights.assignment import assign
from registry_efficientnet.architecture import Architecture, Stage
from registry_efficientnet.graph import efficientnet_pyramid
from registry_efficientnet.variants import ARCHITECTURES, SPECS, EfficientNetOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
import efficientnet_features

SPEC = {spec.name: spec for spec in SPECS}
LEVELS = ("P1", "P2", "P3", "P4", "P5")


@functools.lru_cache(maxsize=8)
def encoder_of(variant):
    """The variant undilated; tests that share it set every weight."""
    return encoder(ARCHITECTURES[variant])


def encoder(architecture, output_stride=32, **options):
    inputs = keras.layers.Input((None, None, 3))
    return keras.Model(
        inputs, efficientnet_pyramid(inputs, architecture, output_stride=output_stride, **options)
    )


def randomize(model, seed=0):
    """Weights and statistics of an ordinary network of many residual sums: nothing dies, nothing explodes."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "moving_variance" in variable.name or "gamma" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif "kernel" in variable.name:
            fan_in = np.prod(shape[:2] if "depthwise" in variable.name else shape[:3])
            variable.assign(rng.normal(0, np.sqrt(1 / fan_in), shape))
        else:
            variable.assign(rng.normal(0, 0.3, shape))
    return model


def level_layers(model):
    """Name of the layer whose output is each level."""
    return {
        level: tensor._keras_history.layer.name for level, tensor in zip(LEVELS, model.outputs, strict=True)
    }


def assert_equal_pyramids(received, expected):
    assert set(received) == set(expected)
    for level in expected:
        features, wanted = np.asarray(received[level]), np.asarray(expected[level])
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(features, wanted, atol=1e-4 * wanted.std(), rtol=0)


def normalized(pixels, normalization):
    return (pixels * np.array(normalization.scale) + np.array(normalization.offset)).astype(np.float32)


# --- tf_keras.applications -------------------------------------------------------------------------------------


def source_b(builder, shape, path, monkeypatch):
    """The source's network as `weights="imagenet"` builds it, from a file as it was published.

    That file holds standard deviations where the layer expects variances; the graph then divides by their root.
    """
    written = randomize(builder(include_top=False, weights=None, input_shape=shape))
    preprocessing = next(layer for layer in written.layers if isinstance(layer, keras.layers.Normalization))
    preprocessing.set_weights(
        [np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]), np.int64(0)]
    )
    written.save_weights(path)
    monkeypatch.setattr(builder.__globals__["data_utils"], "get_file", lambda *a, **k: str(path))
    return builder(include_top=False, weights="imagenet", input_shape=shape)


def source_v2(builder, shape, path, monkeypatch):
    source = randomize(builder(include_top=False, weights=None, input_shape=shape))
    source.save_weights(path)
    return source


SOURCES = [
    # odd sizes where `same` and the source's own padding could part
    pytest.param("efficientnet_b0", source_b, efficientnet.EfficientNetB0, (75, 98), id="b0"),
    pytest.param("efficientnet_b3", source_b, efficientnet.EfficientNetB3, (64, 64), id="b3"),
    pytest.param("efficientnet_v2_b0", source_v2, efficientnet_v2.EfficientNetV2B0, (75, 98), id="v2-b0"),
    pytest.param("efficientnet_v2_s", source_v2, efficientnet_v2.EfficientNetV2S, (64, 64), id="v2-s"),
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("variant", "make", "builder", "size"), SOURCES)
def test_equals_tf_keras_on_pixels(variant, make, builder, size, tmp_path, monkeypatch):
    path = tmp_path / "notop.h5"
    source = make(builder, (*size, 3), path, monkeypatch)
    ours = registry.build_encoder("efficientnet", variant, weights=path)
    assert set(ours.weights_report.unused) <= {"top_conv", "top_bn", "normalization"}

    pixels = np.random.default_rng(5).uniform(0, 255, (1, *size, 3)).astype(np.float32)
    names = {level: tensor._keras_history.layer.name for level, tensor in ours.pyramid_outputs.items()}
    reference = keras.Model(
        source.inputs, {level: source.get_layer(name).output for level, name in names.items()}
    )
    received = ours(normalized(pixels, SPEC[variant].normalization), training=False)
    assert_equal_pyramids(received, reference(pixels, training=False))

    # Stochastic depth has the source's rates.
    rates = [
        {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
        for model in (ours, source)
    ]
    assert rates[0] == rates[1]
    assert rates[0]


def test_levels_are_the_last_blocks_of_each_stride():
    assert level_layers(encoder_of("efficientnet_b0")) == {
        "P1": "block1a_project_bn",
        "P2": "block2b_add",
        "P3": "block3b_add",
        "P4": "block5c_add",
        "P5": "block7a_project_bn",
    }
    assert level_layers(encoder_of("efficientnet_v2_s")) == {
        "P1": "block1b_add",
        "P2": "block2d_add",
        "P3": "block3d_add",
        "P4": "block5i_add",
        "P5": "block6o_add",
    }


# --- timm and KerasHub -----------------------------------------------------------------------------------------

GOLDEN = sorted(efficientnet_features.GOLDEN.glob("*.npz"))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_equals_timm_and_keras_hub(path):
    assert max(efficientnet_features.compare(path).values()) <= 1e-4


def test_golden_files_cover_both_sources_and_both_paddings():
    assert {path.stem for path in GOLDEN} == {
        "timm_efficientnet_b0",
        "timm_efficientnet_v2_b1",
        "timm_efficientnet_lite1",
        "timm_efficientnet_b0_symmetric",
        "keras_hub_efficientnet_b0_symmetric",
        "keras_hub_efficientnet_lite0_symmetric",
    }


def test_a_renumbered_normalization_is_recognized_and_nothing_else_changes():
    arrays = {"normalization_3": [np.zeros(3)], "stem_conv": [np.ones((3, 3, 3, 32))]}
    converted = plugin.registry_convert_weights("efficientnet_b0", "imagenet", arrays)
    assert set(converted) == {"normalization", "stem_conv"}
    assert converted["stem_conv"] is arrays["stem_conv"]
    del arrays["normalization_3"]
    assert plugin.registry_convert_weights("efficientnet_b0", "imagenet", arrays) is None


def test_a_file_of_another_size_is_reported_not_cut():
    """Blocks that a variant does not have keep timm's names, so that the assignment names them."""
    names = [f"blocks.{stage}.{block}.bn1.weight" for stage, block in ((0, 0), (0, 1), (6, 0), (9, 0))]
    arrays = {name: [np.zeros(4, np.float32)] for name in names} | {"blocks.1.0.attn.weight": [np.zeros(4)]}
    converted = plugin.registry_convert_weights("efficientnet_b0", "in1k", arrays)
    assert set(converted) == {
        "block1a_bn",
        "blocks.0.1.bn1",
        "block7a_expand_bn",
        "blocks.9.0.bn1",
        "blocks.1.0.attn",
    }
    with pytest.raises(WeightsMismatchError, match=r"blocks\.0\.1\.bn1"):
        assign(encoder_of("efficientnet_b0").layers, converted, source="timm")


# --- Output stride ---------------------------------------------------------------------------------------------


def reduced(variant):
    """The variant with at most two blocks per stage and an eighth of its channels."""
    architecture = ARCHITECTURES[variant]
    stages = tuple(
        Stage(**vars(stage) | {"filters": max(4, stage.filters // 8), "repeats": min(stage.repeats, 2)})
        for stage in architecture.stages
    )
    return Architecture(**vars(architecture) | {"stem_filters": 8, "stages": stages})


@pytest.mark.sampled(3)
@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize(
    "variant", ["efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0", "efficientnet_b0_symmetric"]
)
def test_atrous_features_subsampled_equal_the_strided_ones(variant, output_stride):
    """At every position, borders included: a tap falls on padding in both networks or in neither.

    `same` centres a strided window on its second pixel, so the strided features are every step-th ones from the
    last of each group; symmetric padding centres it on the first. Squeeze-excite averages over the map, whose mean
    subsampling does not keep, so its gates are held constant here.
    """
    architecture = reduced(variant)
    strided = randomize(encoder(architecture))
    for layer in strided.layers:
        if layer.name.endswith("se_expand"):
            layer.kernel.assign(keras.backend.zeros_like(layer.kernel))
    atrous = encoder(architecture, output_stride)
    atrous.set_weights(strided.get_weights())
    image = np.random.default_rng(3).normal(size=(1, 128, 192, 3)).astype(np.float32)
    coarse, fine = strided(image, training=False), atrous(image, training=False)
    subsampled = {}
    for level, features in fine.items():
        step = features.shape[1] // coarse[level].shape[1]
        assert step == max(1, 2 ** int(level[1]) // output_stride)
        offset = 0 if architecture.symmetric_padding else step - 1
        subsampled[level] = features[:, offset::step, offset::step]
    assert_equal_pyramids(subsampled, coarse)


@pytest.mark.parametrize("variant", ["efficientnet_v2_b0", "efficientnet_lite0_symmetric"])
def test_strides_are_reported_and_dilated_graphs_hold_the_same_weights(variant):
    architecture = reduced(variant)
    shapes = []
    for output_stride in (32, 16, 8):
        model = encoder(architecture, output_stride)
        shapes.append([(v.name, tuple(v.shape)) for v in model.weights])
        for level, shape in model.compute_output_shape((1, 32, 96, 3)).items():
            stride = min(2 ** int(level[1]), output_stride)
            assert tuple(shape) == (1, 32 // stride, 96 // stride, architecture.channels()[level])
    assert shapes[0] == shapes[1] == shapes[2]


# --- The table -------------------------------------------------------------------------------------------------


def arithmetic(architecture, side=512):
    """Parameters and MACs of a network, counted on paper."""
    parameters = macs = 0

    def count(kernel, per_output, extent, *, bias=0, norm=0):
        nonlocal parameters, macs
        parameters += kernel + bias + 4 * norm
        macs += per_output * extent * extent

    channels = architecture.stem_filters
    side //= 2
    count(27 * channels, 27 * channels, side, norm=channels)
    for stage in architecture.stages:
        for repeat in range(stage.repeats):
            inner, area = channels * stage.expansion, stage.kernel_size**2
            outside, side = side, side // (stage.stride if repeat == 0 else 1)
            if stage.fused and stage.expansion == 1:
                kernel = area * channels * stage.filters
                count(kernel, kernel, side, norm=stage.filters)
            else:
                if stage.fused:
                    count(area * channels * inner, area * channels * inner, side, norm=inner)
                else:
                    if stage.expansion > 1:
                        count(channels * inner, channels * inner, outside, norm=inner)
                    count(area * inner, area * inner, side, norm=inner)
                if stage.squeeze_excite:
                    gate = inner * (channels // 4)
                    count(gate, gate, 1, bias=channels // 4)
                    count(gate, gate, 1, bias=inner)
                count(inner * stage.filters, inner * stage.filters, side, norm=stage.filters)
            channels = stage.filters
    return parameters, macs


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_table_states_the_numbers_of_each_variant(spec):
    assert (spec.parameters, spec.macs) == arithmetic(ARCHITECTURES[spec.name])
    assert spec.license == "Apache-2.0"
    assert "imagenet" in spec.weights


@pytest.mark.parametrize("variant", ["efficientnet_b0", "efficientnet_v2_b0", "efficientnet_lite0_symmetric"])
def test_the_arithmetic_is_that_of_the_graph(variant):
    model = encoder_of(variant)
    spec = SPEC[variant]
    assert model.count_params() == spec.parameters
    assert count_macs(model, (512, 512)) == spec.macs
    assert {level: shape[-1] for level, shape in model.output_shape.items()} == spec.channels_for()


def test_published_parameters():
    """Whole classifiers in thousands (arXiv:1905.11946 table 2, Lite's and KerasHub's lists): with head and classes."""
    published = {"efficientnet_b0": 5_288_548, "efficientnet_b4": 19_341_616, "efficientnet_lite0": 4_652_008}
    for variant, total in published.items():
        spec = SPEC[variant]
        last = spec.channels_for()["P5"]
        head = {"efficientnet_b4": 1792}.get(variant, 1280)
        statistics = 2 * sum(_normalized_channels(ARCHITECTURES[variant]))
        trainable = spec.parameters - statistics
        assert trainable + last * head + 2 * head + (head + 1) * 1000 == total


def _normalized_channels(architecture):
    yield architecture.stem_filters
    channels = architecture.stem_filters
    for stage in architecture.stages:
        for _ in range(stage.repeats):
            inner = channels * stage.expansion
            yield from ([inner] if stage.expansion > 1 else []) + [inner, stage.filters]
            channels = stage.filters


def test_md5_sums_are_those_that_tf_keras_knows():
    known = efficientnet.EfficientNetB0.__globals__["WEIGHTS_HASHES"]
    known_v2 = efficientnet_v2.EfficientNetV2B0.__globals__["WEIGHTS_HASHES"]
    files = {
        f"efficientnet_{size}": f"efficientnet{size}_notop.h5#md5={md5}" for size, (_, md5) in known.items()
    }
    for key, (_, md5) in known_v2.items():
        size = key.removeprefix("-")
        files[f"efficientnet_v2_{size}"] = f"efficientnetv2-{size}_notop.h5#md5={md5}"
    assert len(files) == 15
    for name, file in files.items():
        assert SPEC[name].weights["imagenet"].rpartition("/")[2] == file


# --- Building --------------------------------------------------------------------------------------------------


def test_the_graph_is_flat_and_of_layers_that_quantization_knows():
    allowed = {
        "Activation", "Add", "AtrousDepthwiseConv2D", "BatchNormalization", "Conv2D", "DepthwiseConv2D", "Dropout",
        "GlobalAveragePooling2D", "InputLayer", "Multiply", "ReLU", "Swish", "ZeroPadding2D",
    }  # fmt: skip
    for variant in (
        "efficientnet_b0",
        "efficientnet_v2_s",
        "efficientnet_lite0",
        "efficientnet_b0_symmetric",
    ):
        model = encoder(reduced(variant), 8)
        kinds = {type(layer).__name__ for layer in model.layers}
        assert kinds <= allowed
        if variant == "efficientnet_lite0":
            assert not kinds & {"Swish", "Multiply", "GlobalAveragePooling2D", "Activation", "ZeroPadding2D"}


def test_training_drops_whole_branches_and_inference_none():
    images = np.random.default_rng(1).normal(size=(8, 32, 32, 3)).astype(np.float32)
    model = randomize(encoder(reduced("efficientnet_lite0"), drop_connect_rate=0.5))
    dropout = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    features = dropout[-1](np.ones((64, 2, 2, 3), np.float32), training=True).numpy()
    per_image = features.reshape(64, -1)
    assert (per_image == per_image[:, :1]).all()
    assert 0 < (per_image[:, 0] == 0).sum() < 64
    plain = encoder(reduced("efficientnet_lite0"), drop_connect_rate=0)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in plain.layers)
    plain.set_weights(model.get_weights())
    assert_equal_pyramids(plain(images, training=False), model(images, training=False))


@pytest.mark.parametrize(
    "options", [{"drop_connect_rate": 0.6}, {"drop_connect_rate": -0.1}, {"dropout": 0.1}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="drop"):
        EfficientNetOptions(**options)


def test_a_saved_encoder_is_the_same(tmp_path):
    model = randomize(encoder(reduced("efficientnet_b0"), 16))
    model.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    image = np.random.default_rng(2).normal(size=(1, 32, 64, 3)).astype(np.float32)
    assert_equal_pyramids(loaded(image, training=False), model(image, training=False))


@pytest.mark.slow
def test_lite_is_integer_throughout_and_one_piece_for_xnnpack(tmp_path):
    preset = {
        "encoder": {"plugin": "efficientnet", "variant": "efficientnet_lite0", "output_stride": 16},
        "architecture": {"name": "deeplab_v3", "aspp": {"filters": 8}},
        "num_classes": 3,
    }
    model = randomize(registry.build(preset, weights=None))
    images = np.random.default_rng(4).integers(0, 256, (10, 64, 64, 3), np.uint8)
    report = registry.export(
        model,
        tmp_path / "lite.tflite",
        size=64,
        quantization="int8",
        input_dtype="int8",
        calibration=images,
        progress=False,
    )
    (graph,) = read_graph(report.path.read_bytes()).subgraphs
    assert {tensor.dtype for tensor in graph.tensors} == {"int8", "int32"}
    assert not {"MUL", "LOGISTIC", "QUANTIZE", "DEQUANTIZE", "PAD"} & set(report.operations)
    delegates = inspect_delegates(report.path, inspect_model(report.path))
    assert (delegates.xnnpack_operations, delegates.xnnpack_partitions) == (delegates.operations, 1)
