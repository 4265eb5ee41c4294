"""The Mix Transformer plugin: its sizes, maps of any shape, KerasHub's arrays, training, TFLite."""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small_networks import randomize

import registry
from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.arithmetic import count_macs
from registry.pyramid import NoOptions
from registry_mit import registry_convert_weights
from registry_mit.graph import mit_pyramid
from registry_mit.layers import AttendValues, AttentionScores, MergeHeads, SplitHeads
from registry_mit.variants import SPECS, CustomMiTOptions, architecture_of

NAMED = [spec for spec in SPECS if spec.parameters is not None]
SMALL = {
    "hidden_dims": (4, 8, 15, 16),
    "layerwise_depths": (1, 2, 1, 1),
    "layerwise_num_heads": (1, 2, 3, 4),
    "layerwise_sr_ratios": (8, 4, 2, 1),
    "layerwise_patch_sizes": (7, 3, 3, 3),
    "max_drop_path_rate": 0.3,
}


def encoder(image_shape=(None, None, 3)):
    inputs = keras.layers.Input(image_shape)
    return keras.Model(inputs, mit_pyramid(inputs, CustomMiTOptions(**SMALL).architecture()))


@pytest.fixture(scope="module")
def small():
    return randomize(encoder())


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).normal(size=(2, 64, 96, 3)).astype(np.float32)


def test_rows_and_columns_are_treated_alike(small, image):
    """KerasHub knows square images only, so for others: a transposed image through transposed kernels."""
    transposed = encoder()
    for ours, theirs in zip(transposed.weights, small.weights, strict=True):
        spatial = len(theirs.shape) == 4
        ours.assign(tf.transpose(theirs, (1, 0, 2, 3)) if spatial else theirs)
    expected = small(image, training=False)
    received = transposed(image.transpose(0, 2, 1, 3), training=False)
    for level, tensor in expected.items():
        np.testing.assert_allclose(
            received[level].numpy().transpose(0, 2, 1, 3), tensor, atol=1e-4 * float(np.std(tensor))
        )


@pytest.mark.parametrize("shape", [(64, 96, 3), (64, None, 3)], ids=["fixed", "half open"])
def test_fixed_and_open_sizes_compute_the_same(small, image, shape):
    other = encoder(shape)
    other.set_weights(small.get_weights())
    expected, received = small.predict(image, verbose=0), other.predict(image, verbose=0)
    for level, array in expected.items():
        np.testing.assert_allclose(received[level], array, atol=1e-4 * array.std())


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (51, 45)])
def test_every_level_has_its_stride(small, size):
    outputs = small(np.zeros((1, *size, 3), np.float32), training=False)
    for stage, channels in enumerate(SMALL["hidden_dims"], start=2):
        expected = (1, -(-size[0] // 2**stage), -(-size[1] // 2**stage), channels)
        assert tuple(outputs[f"P{stage}"].shape) == expected
        assert tuple(small.compute_output_shape((1, *size, 3))[f"P{stage}"]) == expected


def test_attention_is_the_papers_formula():
    """softmax(q kᵀ / √depth) v per head, written out."""
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, 4, 3, 6)).astype(np.float32)
    k, v = rng.normal(size=(2, 2, 2, 2, 6)).astype(np.float32)
    heads = 3
    split = SplitHeads(heads)
    scores = AttentionScores()([SplitHeads(heads, 2**-0.5)(q), split(k)])
    received = MergeHeads()([AttendValues()([tf.nn.softmax(scores), split(v)]), q])
    expected = np.empty_like(q)
    for head in range(heads):
        part = slice(2 * head, 2 * head + 2)
        logits = np.einsum("bhwd,bijd->bhwij", q[..., part], k[..., part]) / np.sqrt(2)
        weights = np.exp(logits) / np.exp(logits).sum((-2, -1), keepdims=True)
        expected[..., part] = np.einsum("bhwij,bijd->bhwd", weights, v[..., part])
    np.testing.assert_allclose(received, expected, atol=1e-5)


def measured(architecture):
    """Parameters and MACs at 512×512 of a network that is built for it."""
    inputs = keras.layers.Input((None, None, 3))
    model = keras.Model(inputs, mit_pyramid(inputs, architecture))
    sizes = np.array([model.count_params(), count_macs(model, (512, 512))])
    channels = {level: tensor.shape[-1] for level, tensor in model.output.items()}
    keras.backend.clear_session()
    return sizes, channels


def test_the_smallest_variant_has_the_sizes_that_it_states():
    spec = NAMED[0]
    sizes, channels = measured(architecture_of(spec.name, spec.options()))
    assert sizes.tolist() == [spec.parameters, spec.macs]
    assert channels == spec.channels_for()


@pytest.mark.sweep
def test_the_other_variants_have_the_sizes_that_they_state():
    """Those differ in the number of blocks only, and all blocks of a stage are alike."""
    widest = architecture_of("mit_b5", NoOptions())
    shallow = dataclasses.replace(widest, layerwise_depths=(1, 1, 1, 1))
    base, channels = measured(shallow)
    per_block = [
        measured(dataclasses.replace(shallow, layerwise_depths=tuple(1 + (i == stage) for i in range(4))))[0]
        - base
        for stage in range(4)
    ]
    for spec in NAMED[1:]:
        architecture = architecture_of(spec.name, spec.options())
        extra = sum(
            (depth - 1) * sizes for depth, sizes in zip(architecture.layerwise_depths, per_block, strict=True)
        )
        assert dataclasses.replace(architecture, layerwise_depths=(1, 1, 1, 1)) == shallow
        assert (base + extra).tolist() == [spec.parameters, spec.macs]
        assert spec.channels_for() == channels


def test_sources_are_ade20k_first_and_only_stride_32_is_offered():
    for spec in NAMED:
        assert list(spec.weights) == ["ade20k", "cityscapes"]
        assert all(spec.name in handle for handle in spec.weights.values())
    with pytest.raises(ModelError, match="supports the output strides 32"):
        registry.build_encoder("mit", "mit_b0", output_stride=16)


def keras_hub_names(layers):
    """The arrays of an encoder as KerasHub's file has them: paths, dense kernels, unnamed normalizations."""
    arrays = {}
    for layer in layers:
        values = layer.get_weights()
        if not values:
            continue
        if layer.name.startswith("output_level_"):
            # Numbered with all others that the process has made: 9 comes before 11.
            arrays[f"layer_normalization_{9 + 2 * int(layer.name.split('_')[2])}"] = values
            continue
        words = layer.name.split("_")
        path = "/".join(["_".join(words[:4]), *words[4:]])
        dense = path.endswith(("/q", "/k", "/v", "attn/proj", "/fc1", "/fc2"))
        arrays[path] = [v[0, 0] if dense and v.ndim == 4 else v for v in values]
    return dict(reversed(arrays.items()))


def test_a_file_of_keras_hub_converts_array_by_array(small):
    arrays = keras_hub_names(small.layers)
    assert {"patch_and_embed_0/proj", "hierarchical_encoder_1_1/attn/sr", "layer_normalization_15"} <= set(
        arrays
    )
    converted = registry_convert_weights("mit_custom", "ade20k", arrays)
    assert set(converted) == {layer.name for layer in small.layers if layer.weights}
    for layer in small.layers:
        for ours, theirs in zip(layer.get_weights(), converted.get(layer.name, []), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_arrays_in_our_own_names_need_no_conversion(small):
    arrays = {layer.name: layer.get_weights() for layer in small.layers if layer.weights}
    assert registry_convert_weights("mit_custom", "ade20k", arrays) is None


def test_stochastic_depth_grows_and_leaves_inference_alone(small, image):
    rates = {layer.name: layer.rate for layer in small.layers if layer.name.endswith("_drop_path")}
    blocks = ["1_0", "1_1", "2_0", "3_0"]  # the very first block is never left out
    assert set(rates) == {f"hierarchical_encoder_{b}_{p}_drop_path" for b in blocks for p in ("attn", "mlp")}
    assert [rates[f"hierarchical_encoder_{block}_mlp_drop_path"] for block in blocks] == pytest.approx(
        [0.075, 0.15, 0.225, 0.3]
    )
    layer = small.get_layer("hierarchical_encoder_3_0_mlp_drop_path")
    kept = layer(tf.ones((4000, 2, 3, 5)), training=True).numpy()
    per_image = kept[:, :1, :1, :1]
    assert (kept == per_image).all()
    assert set(np.unique(per_image.round(4))) == {0.0, np.float32(round(1 / 0.7, 4))}
    assert per_image.mean() == pytest.approx(1.0, abs=0.05)
    first, second = (small(image, training=False)["P5"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_every_weight_receives_a_gradient(small, image):
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_mean(x**3) for x in small(image, training=True).values()])
    gradients = tape.gradient(loss, small.trainable_weights)
    assert all(g is not None and np.isfinite(g).all() for g in gradients)


def run(content, image):
    interpreter = Interpreter(model_content=content)
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], image.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return operations, interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("shape", [(64, 96, 3), (None, None, 3)], ids=["fixed", "open"])
def test_tflite_needs_builtin_operations_only(small, image, shape):
    model = encoder(shape)
    model.set_weights(small.get_weights())
    deepest = keras.Model(model.input, model.output["P5"])
    operations, received = run(tf.lite.TFLiteConverter.from_keras_model(deepest).convert(), image[:1])
    expected = small(image[:1], training=False)["P5"]
    np.testing.assert_allclose(received, expected, atol=1e-4 * float(np.std(expected)))
    assert {"BATCH_MATMUL", "SOFTMAX", "GELU"} <= operations
    assert not any(name.startswith("Flex") for name in operations)
    if shape[0] is not None:
        assert not operations & {
            "SHAPE",
            "STRIDED_SLICE",
            "PACK",
            "FULLY_CONNECTED",
            "GATHER",
            "BROADCAST_TO",
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layerwise_depths": (1, 1)}, "same length"),
        ({"num_layers": 3}, "number of stages, 4"),
        ({"layerwise_strides": (4, 2, 2, 1)}, r"must be \[4, 2, 2, 2\]"),
        ({"layerwise_patch_sizes": (7, 4, 3, 3)}, "must be odd"),
        ({"layerwise_num_heads": (1, 3, 3, 4)}, "leaves a rest"),
        ({"layerwise_sr_ratios": (8, 8, 2, 1)}, "is at most 4"),
        ({"max_drop_path_rate": 1.0}, "less than 1"),
        ({"blocks": 3}, "Extra inputs"),
    ],
)
def test_contradictory_custom_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CustomMiTOptions(**{**SMALL, **change})


def test_keras_hubs_own_arguments_are_options():
    options = CustomMiTOptions(**SMALL, num_layers=4, layerwise_strides=[4, 2, 2, 2])
    assert options.architecture() == CustomMiTOptions(**SMALL).architecture()
