"""TensorFlow's checkpoints: read without TensorFlow as TensorFlow reads them, and DeepLab's names become our layers."""

import copy
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import write_checkpoint
from small_networks import SMALL_PRESET

import registry
from registry.backend import tf
from registry.errors import WeightsError, WeightsFormatError
from registry.weights.checkpoints import checkpoint_prefix, read_checkpoint
from registry.weights.opening import open_weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    rng = np.random.default_rng(0)
    arrays = {
        f"scope_{number}/BatchNorm/gamma": rng.normal(size=8).astype(np.float32) for number in range(300)
    }
    arrays |= {
        "a/weights": rng.normal(size=(3, 3, 4, 8)).astype(np.float32),
        "half": np.array([1.5, -2], np.float16),
        "global_step": np.array(30_000, np.int64),
        "empty": np.zeros((0, 4), np.float32),
        "text": np.array([b"graph"]),
    }
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "model.ckpt-30000", arrays), arrays


def test_every_array_as_tensorflow_reads_it(checkpoint):
    prefix, arrays = checkpoint
    read = read_checkpoint(prefix)
    reader = tf.train.load_checkpoint(str(prefix))
    assert set(read) == set(arrays) - {"text"}
    for name, (array,) in read.items():
        np.testing.assert_array_equal(np.asarray(array), reader.get_tensor(name))
        assert array.dtype == arrays[name].dtype


def test_any_of_its_files_names_it(checkpoint, tmp_path):
    prefix, _ = checkpoint
    for suffix in ("", ".index", ".meta", ".data-00000-of-00001"):
        assert checkpoint_prefix(f"{prefix}{suffix}") == prefix
    assert open_weights(f"{prefix}.index").kind == "checkpoint"
    assert checkpoint_prefix(tmp_path / "absent") is None


@pytest.mark.parametrize("part", [".index", ".data-00000-of-00001"])
def test_damage_anywhere_is_an_error_or_harmless(checkpoint, tmp_path, damaged, part):
    prefix, arrays = checkpoint
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(f"{prefix}{suffix}", tmp_path / f"x{suffix}")
    content, refused = Path(f"{prefix}{part}").read_bytes(), 0
    for seed in range(60):
        (tmp_path / f"x{part}").write_bytes(damaged(content, seed))
        try:
            read = read_checkpoint(tmp_path / "x")
            # The texts are passed over, so that damage there goes unseen.
            assert all(np.array_equal(np.asarray(array), arrays[name]) for name, (array,) in read.items())
        except WeightsError as error:
            assert str(tmp_path) in str(error)
            refused += 1
    assert refused > 45


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda index, data: (index[:-1], data), "does not end as a table"),
        (lambda index, data: (b"", data), "0 bytes"),
        (lambda index, data: (index[:-48] + b"\xff" * 40 + index[-8:], data), "ten bytes|beyond its end"),
        (lambda index, data: (index[:20] + b"\xff" + index[21:], data), "checksum of a block"),
        (lambda index, data: (index, data[:1000]), "not what lies in"),
        (lambda index, data: (index, None), "there is no"),
        (lambda index, data: (index, bytes(len(data))), "checksum of"),
    ],
)
def test_damage_is_named(checkpoint, tmp_path, change, reason):
    prefix, _ = checkpoint
    index, data = change(
        *(Path(f"{prefix}{suffix}").read_bytes() for suffix in (".index", ".data-00000-of-00001"))
    )
    (tmp_path / "x.index").write_bytes(index)
    if data is not None:
        (tmp_path / "x.data-00000-of-00001").write_bytes(data)
    with pytest.raises(WeightsFormatError, match=reason) as caught:
        read_checkpoint(tmp_path / "x")
    assert "repair:" in str(caught.value)


def test_a_table_within_a_table_ends(tmp_path):
    """Blocks that name themselves are read once for each entry, not without end."""
    footer = bytes([0, 0, 0, 0]).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    (tmp_path / "x.index").write_bytes(footer)
    with pytest.raises(WeightsFormatError):
        read_checkpoint(tmp_path / "x")


# --- DeepLab's names ---------------------------------------------------------------------------------------------------


def slim_convolution(rng, scope, shape, *, depthwise=False, norm=True):
    """Variables of one convolution of TF-Slim under its published names."""
    fan_in = int(np.prod(shape[:2] if depthwise else shape[:3]))
    channels = shape[2] if depthwise else shape[3]
    arrays = {
        f"{scope}/{'depthwise_' if depthwise else ''}weights": rng.normal(
            0, np.sqrt(2 / fan_in), shape
        ).astype("f4")
    }
    if not norm:
        return arrays | {f"{scope}/biases": rng.normal(size=channels).astype("f4")}
    for name, low in (("gamma", 0.5), ("beta", -0.5), ("moving_mean", -0.5), ("moving_variance", 0.5)):
        arrays[f"{scope}/BatchNorm/{name}"] = rng.uniform(low, low + 1, channels).astype("f4")
    arrays |= {f"{name}/Momentum": value for name, value in arrays.items()}
    return arrays


def slim_layer(arrays, x, scope, *, rate=1, depthwise=False, epsilon=1e-5):
    """That convolution, its normalization and ReLU in plain TensorFlow."""
    if depthwise:
        x = tf.nn.depthwise_conv2d(
            x, arrays[f"{scope}/depthwise_weights"], [1, 1, 1, 1], "SAME", dilations=[rate, rate]
        )
    else:
        x = tf.nn.convolution(x, arrays[f"{scope}/weights"], padding="SAME", dilations=[rate, rate])
    norm = [
        arrays[f"{scope}/BatchNorm/{name}"] for name in ("moving_mean", "moving_variance", "beta", "gamma")
    ]
    return tf.nn.relu(tf.nn.batch_normalization(x, *norm, epsilon))


def slim_separable(arrays, x, scope, rate=1):
    x = slim_layer(arrays, x, f"{scope}_depthwise", rate=rate, depthwise=True)
    return slim_layer(arrays, x, f"{scope}_pointwise")


def deeplab_head(rng, deep, low, width, classes):
    """Variables of ASPP, decoder and classifier as published checkpoints have them."""
    arrays = slim_convolution(rng, "image_pooling", (1, 1, deep, width))
    arrays |= slim_convolution(rng, "aspp0", (1, 1, deep, width))
    for number in (1, 2, 3):
        arrays |= slim_convolution(rng, f"aspp{number}_depthwise", (3, 3, deep, 1), depthwise=True)
        arrays |= slim_convolution(rng, f"aspp{number}_pointwise", (1, 1, deep, width))
    arrays |= slim_convolution(rng, "concat_projection", (1, 1, 5 * width, width))
    arrays |= slim_convolution(rng, "decoder/feature_projection0", (1, 1, low, 48))
    for number, channels in enumerate((width + 48, width)):
        arrays |= slim_convolution(
            rng, f"decoder/decoder_conv{number}_depthwise", (3, 3, channels, 1), depthwise=True
        )
        arrays |= slim_convolution(rng, f"decoder/decoder_conv{number}_pointwise", (1, 1, channels, width))
    return arrays | slim_convolution(rng, "logits/semantic", (1, 1, width, classes), norm=False)


def aligned(x, size):
    return tf.compat.v1.image.resize_bilinear(x, size, align_corners=True)


# With half-pixel centres, the features have one size: what DeepLab resizes in between aligns corners.
@pytest.mark.parametrize(
    ("align_corners", "level", "resize"), [(True, "P2", aligned), (False, "P4", tf.image.resize)]
)
def test_the_head_computes_what_deeplabs_does(small_preset, align_corners, level, resize):
    """Logits of ASPP, decoder and classifier against the network written in plain TensorFlow."""
    from registry.weights.assignment import assign
    from registry_deeplab.conversion import segmenter_weights

    small_preset["architecture"] = {
        "name": "deeplab_v3_plus",
        "low_level_feature_key": level,
        "align_corners": align_corners,
        "dilation_rates": [2, 3, 4],
        "aspp": {"filters": 16, "separable": True},
        "decoder": {"filters": 16, "separable": True},
        "classifier_bias": True,
        "batch_norm": {"epsilon": 1e-5},
    }
    model = registry.build(small_preset, weights=None)
    channels = model.encoder.pyramid_outputs[level].shape[-1]
    arrays = deeplab_head(np.random.default_rng(0), 16, channels, 16, 5)
    parts = segmenter_weights(
        model.preset_config.architecture, {name: [value] for name, value in arrays.items()}
    )
    assert (parts.encoder, parts.unused) == ({}, ())
    encoder = {layer.name for layer in model.encoder.layers}
    assign([layer for layer in model.layers if layer.name not in encoder], parts.head, source="here")

    image = np.random.default_rng(1).normal(size=(1, 64, 96, 3)).astype("f4")
    pyramid = model.encoder(image, training=False)
    deep, low = pyramid["P5"], pyramid[level]
    pooled = slim_layer(arrays, tf.reduce_mean(deep, [1, 2], keepdims=True), "image_pooling")
    branches = [tf.broadcast_to(pooled, [*deep.shape[:3], 16]), slim_layer(arrays, deep, "aspp0")]
    branches += [
        slim_separable(arrays, deep, f"aspp{number}", rate) for number, rate in ((1, 2), (2, 3), (3, 4))
    ]
    x = slim_layer(arrays, tf.concat(branches, 3), "concat_projection")
    x = resize(x, low.shape[1:3])
    x = tf.concat([x, slim_layer(arrays, low, "decoder/feature_projection0")], 3)
    x = slim_separable(arrays, slim_separable(arrays, x, "decoder/decoder_conv0"), "decoder/decoder_conv1")
    x = tf.nn.conv2d(x, arrays["logits/semantic/weights"], 1, "SAME") + arrays["logits/semantic/biases"]
    expected = resize(x, image.shape[1:3])
    output = model(image, training=False)
    np.testing.assert_allclose(output, expected, atol=1e-4 * np.std(expected))


@pytest.fixture(scope="module")
def mobilenet_preset():
    preset = copy.deepcopy(SMALL_PRESET)
    preset["encoder"] = {
        "plugin": "mobilenet",
        "variant": "mobilenet_v2_custom",
        "output_stride": 16,
        "options": {"alpha": 0.35},
    }
    preset["architecture"] = {
        "name": "deeplab_v3",
        "aspp": {"filters": 8, "atrous": False},
        "classifier_bias": True,
    }
    return preset


def slim_mobilenet(rng, model):
    """The variables of a MobileNetV2 under TF-Slim's scopes, in the shapes of the model's layers."""
    scopes = {"Conv1": "MobilenetV2/Conv", "expanded_conv_": "MobilenetV2/expanded_conv/"}
    scopes |= {f"block_{number}_": f"MobilenetV2/expanded_conv_{number}/" for number in range(1, 17)}
    arrays = slim_convolution(rng, "MobilenetV2/Conv_1", (1, 1, 112, 1280))
    for layer in model.encoder.layers:
        prefix = max((prefix for prefix in scopes if layer.name.startswith(prefix)), key=len, default=None)
        if prefix is None or not layer.weights or "BN" in layer.name:
            continue
        shape = tuple(layer.weights[0].shape)
        scope = scopes[prefix] + layer.name.removeprefix(prefix)
        arrays |= slim_convolution(rng, scope, shape, depthwise="depthwise" in layer.name)
    return arrays


def test_a_mobilenet_checkpoint_loads_whole(mobilenet_preset, tmp_path):
    model = registry.build(mobilenet_preset, weights=None)
    rng = np.random.default_rng(0)
    head = {
        name: value
        for name, value in deeplab_head(rng, 112, 24, 8, 5).items()
        if not name.startswith("decoder/") and "_depthwise" not in name and "_pointwise" not in name
    }
    # As published: the first branch and the pooled features are all that there is.
    head |= slim_convolution(rng, "concat_projection", (1, 1, 2 * 8, 8))
    arrays = slim_mobilenet(rng, model) | head | {"global_step": np.array(7, np.int64)}
    loaded = registry.build(mobilenet_preset, weights=write_checkpoint(tmp_path / "model.ckpt-7", arrays))
    report = loaded.weights_report
    assert set(report.loaded) == {layer.name for layer in model.layers if layer.weights}
    assert set(report.unused) == {"Conv_1", "Conv_1_bn"}
    np.testing.assert_array_equal(
        loaded.get_layer("block_3_depthwise").get_weights()[0],
        arrays["MobilenetV2/expanded_conv_3/depthwise/depthwise_weights"],
    )
    np.testing.assert_array_equal(
        loaded.get_layer("bn_Conv1").get_weights()[2], arrays["MobilenetV2/Conv/BatchNorm/moving_mean"]
    )
    other = registry.build(mobilenet_preset, num_classes=9, weights=tmp_path / "model.ckpt-7.index")
    assert other.weights_report.fresh == ("segmentation_output",)
    lent = registry.build(mobilenet_preset, encoder_weights=tmp_path / "model.ckpt-7")
    assert set(lent.weights_report.loaded) == {layer.name for layer in lent.encoder.layers if layer.weights}
    assert {"conv_projection", "segmentation_output", "Conv_1"} <= set(lent.weights_report.unused)
