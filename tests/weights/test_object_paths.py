"""Checkpoints of TensorFlow 2: names are paths through objects, and TF Model Garden's become our layers or are refused."""

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.errors import WeightsFormatError, WeightsMismatchError
from registry.weights.checkpoints import OBJECT_GRAPH, read_checkpoint
from registry.weights.object_paths import children, is_object_layout, numbered_layers, object_layers, under
from registry_deeplab.config import DeepLabV3PlusConfig
from registry_deeplab.model_garden import garden_weights
from registry_resnet.model_garden import garden_layers

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
PLAIN = DeepLabV3PlusConfig(name="deeplab_v3_plus")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def variables(*paths):
    """A checkpoint's names; the arrays tell them apart by their length."""
    return {f"{path}{VALUE}": [np.zeros(length)] for length, path in enumerate(paths, start=1)}


def test_variables_come_by_layer_in_keras_s_order_and_without_what_training_keeps():
    arrays = variables(
        "head/conv/bias",
        "head/conv/kernel",
        "head/norm/moving_variance",
        "head/norm/beta",
        "head/norm/gamma",
        "head/norm/moving_mean",
        "head/conv/kernel/.OPTIMIZER_SLOT/optimizer/average",
        "optimizer/iter",
        "optimizer/_variables/3",
        "model/keras_api/metrics/0/total",
        "save_counter",
    )
    arrays[OBJECT_GRAPH] = [np.zeros(9, np.uint8)]
    assert is_object_layout(arrays)
    assert not is_object_layout(["conv1/weights"])
    layers = object_layers(arrays)
    lengths = {path: [array.shape[0] for array in held] for path, held in layers.items()}
    assert lengths == {"head/conv": [2, 1], "head/norm": [5, 4, 6, 3]}
    assert list(under(arrays, "head/conv")) == [
        f"bias{VALUE}",
        f"kernel{VALUE}",
        f"kernel/.OPTIMIZER_SLOT/optimizer/average{VALUE}",
    ]


@pytest.mark.parametrize(
    "place", ["backbone", "model/backbone", "model/layer_with_weights-0", "layer_with_weights-0", "model", ""]
)
def test_a_backbone_is_found_wherever_it_stands(place):
    within = f"{place}/" if place else ""
    arrays = variables(
        *(f"{within}layer_with_weights-{number}/_conv1/kernel" for number in (10, 9, 0)),
        f"{within}layer_with_weights-2/kernel",
        "head/_classifier/kernel",
    )
    found = numbered_layers(arrays)
    assert [path for path, _ in found] == [f"{within}layer_with_weights-{number}" for number in (0, 2, 9, 10)]
    assert [list(parts) for _, parts in found] == [["_conv1"], [""], ["_conv1"], ["_conv1"]]
    assert numbered_layers(variables("head/_classifier/kernel")) is None
    assert numbered_layers({"conv1": [np.zeros(1)]}) is None


def pooled(*, window):
    """ASPP's branch of pooled features as Model Garden stacks it."""
    layers = keras.layers
    first = [layers.AveragePooling2D(window)] if window else [layers.GlobalAveragePooling2D()]
    branch = keras.Sequential(first if window else [*first, layers.Reshape((1, 1, 4))])
    branch.add(keras.Sequential([layers.Conv2D(2, 1)]))
    branch.build((None, 8, 8, 4))
    return branch


@pytest.fixture(scope="module", params=[None, 4], ids=["global", "windows"])
def checkpoint(request, tmp_path_factory):
    """Whether it pools over windows, and what a checkpoint of a network with that branch holds."""
    holder = {"decoder": tf.train.Checkpoint(aspp=tf.train.Checkpoint())}
    holder["decoder"].aspp.aspp_layers = [pooled(window=request.param)]
    holder["head"] = tf.train.Checkpoint(_classifier=keras.layers.Conv2D(3, 1))
    holder["head"]._classifier.build((None, 8, 8, 2))
    root = tf.train.Checkpoint(**holder)
    prefix = root.write(str(tmp_path_factory.mktemp("objects") / "ckpt"))
    return request.param is not None, prefix


def test_the_graph_of_objects_is_read_as_tensorflow_reads_it(checkpoint, tmp_path):
    _, prefix = checkpoint
    read = read_checkpoint(type(tmp_path)(prefix))
    text = tf.train.load_checkpoint(prefix).get_tensor(OBJECT_GRAPH)
    assert np.asarray(read[OBJECT_GRAPH][0]).tobytes() == text
    assert children(read, "") >= {"decoder", "head"}
    assert children(read, "decoder/absent") == frozenset()
    assert children({}, "decoder") == frozenset()


def test_pooling_over_windows_is_seen_in_the_graph(checkpoint, tmp_path):
    is_windowed, prefix = checkpoint
    arrays = read_checkpoint(type(tmp_path)(prefix))
    if is_windowed:
        assert "pools over windows" in str(garden_weights(PLAIN, arrays).refusal)
    else:
        parts = garden_weights(PLAIN, arrays)
        assert parts.refusal is None
        assert set(parts.head) == {"conv_pooling", "segmentation_output"}
        assert parts.encoder == {}


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"", "out of range"),
        (b"\x0a\x05\x0a", "beyond its message"),
        (b"\x0a\x07\x0a\x05\x08\x07\x12\x01a", "out of range"),  # a child without a node
        (b"\x0a\x05\x0a\x03\x12\x01\xff", "decode"),
        (b"\x0a\x00" * 200_001, "more than 200,000 fields"),
    ],
)
def test_a_damaged_graph_is_an_error(graph, reason):
    arrays = {OBJECT_GRAPH: [np.frombuffer(graph, np.uint8)]}
    with pytest.raises(WeightsFormatError, match=reason):
        children(arrays, "a")


HEAD = ("head/_classifier/kernel", "decoder/aspp/aspp_layers/0/0/kernel")


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (
            ("head/_classifier/kernel", "decoder/_output_conv/0/kernel"),
            "without ASPP: its decoder holds _output",
        ),
        (("head/_classifier/kernel",), "its decoder holds nothing"),
        (
            (*HEAD, "decoder/aspp/aspp_layers/1/0/depthwise_kernel"),
            "aspp.separable: true, aspp.depthwise_norm: false",
        ),
        ((*HEAD, "decoder/aspp/aspp_layers/1/1/kernel"), "over windows"),
        ((*HEAD, "head/_panoptic_fpn_fusion/a/kernel"), "fuses a pyramid"),
    ],
)
@pytest.mark.parametrize("root", ["", "model/"])
def test_networks_that_cannot_be_expressed_are_refused_by_name(paths, reason, root):
    refusal = garden_weights(PLAIN, variables(*(f"{root}{path}" for path in paths))).refusal
    assert reason in str(refusal)
    assert "encoder_weights" in refusal.repair


def test_other_checkpoints_are_left_to_others():
    assert garden_weights(PLAIN, variables("layer_with_weights-0/kernel")) is None
    assert garden_weights(PLAIN, {"aspp0/weights": [np.zeros(1)]}) is None
    assert garden_layers({"conv1_conv": [np.zeros(1)]}, None) is None


def resnet(*, stem=1, extra=()):
    """Names of a ResNet with one block, after so many convolutions."""
    names = []
    for number in range(0, 2 * stem, 2):
        names.append(f"layer_with_weights-{number}/kernel")
        names += [f"layer_with_weights-{number + 1}/{name}" for name in NORM]
    block = f"layer_with_weights-{2 * stem}"
    names += [f"{block}/_conv1/kernel", *(f"{block}/_norm1/{name}" for name in NORM)]
    return variables(*names, *(f"{block}/{name}" for name in extra))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (resnet(extra=["_squeeze_excitation/_se_reduce/kernel"]), "squeeze-and-excitation"),
        (resnet(extra=["_shortcut1/kernel"]), "resnetd_shortcut"),
        (resnet(stem=2), "replace_stem_max_pool"),
        (resnet(stem=4), "replace_stem_max_pool"),
    ],
)
def test_resnets_that_cannot_be_expressed_are_refused_by_name(arrays, reason):
    with pytest.raises(WeightsMismatchError, match=reason):
        garden_layers(arrays, None)


def test_blocks_are_counted_from_the_convolution_in_the_shortcut():
    arrays = resnet(stem=3, extra=["_shortcut/kernel", "_norm0/gamma", "_new/kernel"])
    arrays |= variables("layer_with_weights-7/_conv3/kernel", "layer_with_weights-8/_shortcut/kernel")
    assert set(garden_layers(arrays, None)) == {
        *(f"conv{number}_{kind}" for number in (1, 2, 3) for kind in ("conv", "bn")),
        *(f"stack0_block0_{part}" for part in ("0_conv", "0_bn", "1_conv", "1_bn")),
        "layer_with_weights-6/_new",
        "stack0_block1_3_conv",
        "stack1_block0_0_conv",
    }
