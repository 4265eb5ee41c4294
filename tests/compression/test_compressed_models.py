"""From a trained model to files: zeros and shared values survive each step of the way."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import registry
from registry.backend import keras, tf
from registry.compression import ClusteredSegmenter, kernel_facts
from registry.config import CompressionConfig
from registry.config.compression import ClusteringConfig, PruningConfig
from registry.errors import CompressionError, ModelError, QuantizationError
from registry.quantization import QuantizedSegmenter
from registry.rewrites import inference_form

SIZE = (64, 64)
CLUSTERS = 8
_NUMPY = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
}


def kernels_in(path):
    """Kernels of the convolutions of a file, (output, rows, columns, input channels), each with its number of scales."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    (graph,) = model.subgraphs
    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.CONV_2D:
            # Of float16, the kernel is what is dequantized.
            given = {other.outputs[0]: other.inputs[0] for other in graph.operators}
            tensor = graph.tensors[given.get(operator.inputs[1], operator.inputs[1])]
            data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes()
            values = np.frombuffer(data, _NUMPY[tensor.type]).reshape(tensor.shape)
            scale = None if tensor.quantization is None else tensor.quantization.scale
            found.append((values, 0 if scale is None else len(scale)))
    return found


def train(model, images, steps=2):
    """Steps of momentum on random labels, as a loop of one's own makes them."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pixels = model.preprocessor(tf.constant(images[:2], tf.float32))
    labels = np.random.default_rng(0).integers(0, 5, (2, *SIZE))
    for _ in range(steps):
        with tf.GradientTape() as tape:
            value = loss(labels, model(pixels, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        with model.compression.held():
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return model


def sparsities(model):
    return {facts.layer: facts.sparsity for facts in kernel_facts(model)}


def assert_sparse(model, least=0.79):
    found = sparsities(model)
    assert found.pop("segmentation_output") == 0
    assert found
    assert min(found.values()) > least


def assert_clustered(model, most=CLUSTERS):
    assert max(facts.values for facts in model.compression.kernels) <= most


def test_a_pruned_model_is_the_model_with_zeros(float_model, pruned_model, images):
    assert type(pruned_model) is type(float_model)
    assert kernel_facts(float_model)[0].sparsity == 0
    for facts in pruned_model.compression.kernels:
        asked = 0.0 if facts.layer == "segmentation_output" else 0.8
        assert facts.sparsity * np.prod(facts.shape) == np.round(asked * np.prod(facts.shape))
    for before, after in zip(float_model.weights, pruned_model.weights, strict=True):
        lives = after.numpy() != 0
        np.testing.assert_array_equal(after.numpy()[lives], before.numpy()[lives])
    section = CompressionConfig(pruning=PruningConfig(sparsity=0.8, exclude=("segmentation_output",)))
    assert pruned_model.preset_config.compression == section
    assert float_model.compression is None


@pytest.fixture(scope="module")
def trained(pruned_model, images):
    """The pruned model after some training."""
    model = train(registry.prune(pruned_model, 0.8, exclude=["segmentation_output"]), images)
    assert sparsities(model) == sparsities(pruned_model)
    moved = model.get_layer("aspp_conv_2").kernel - pruned_model.get_layer("aspp_conv_2").kernel
    assert float(tf.reduce_max(tf.abs(moved))) > 0
    return model


@pytest.fixture(scope="module")
def clustered(trained, images):
    """That model, clustered, after some training."""
    model = registry.cluster(trained, CLUSTERS, exclude=["conv_pooling"])
    assert isinstance(model, ClusteredSegmenter)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return train(model, images)


@pytest.fixture(scope="module")
def rounded(clustered, images):
    """And quantized, after some training."""
    model = registry.quantize(clustered, calibration=images, size=SIZE, progress=False)
    return train(model, images)


def test_zeros_survive_clustering_and_quantization(trained, clustered, rounded):
    for model in (trained, clustered, rounded):
        assert_sparse(model)
    facts = {one.layer: one for one in clustered.compression.kernels}
    assert facts.pop("conv_pooling").values > CLUSTERS
    assert max(one.values for one in facts.values()) == CLUSTERS
    assert isinstance(rounded, QuantizedSegmenter)
    facts = {one.layer: one.values for one in rounded.compression.kernels}
    assert facts.pop("conv_pooling") > CLUSTERS
    assert max(facts.values()) == CLUSTERS


def assert_compressed(path, most_free=1):
    found = kernels_in(path)
    assert len(found) == 24
    assert sum(np.unique(values).size > CLUSTERS for values, _ in found) == most_free  # the excluded one
    assert sum(np.mean(values == 0) > 0.75 for values, _ in found) == 23  # all but the classifier
    return found


def test_zeros_and_shared_values_are_in_the_files(clustered, rounded, tmp_path):
    path = tmp_path / "int8.tflite"
    registry.export(rounded, path, size=SIZE, quantization="int8", progress=False)
    # One scale for each kernel, but for each channel of the free one.
    assert sorted({scales for _, scales in assert_compressed(path)}) == [1, 16]
    report = registry.export(clustered, tmp_path / "float32.tflite", size=SIZE, progress=False)
    assert report.parity.mask_agreement > 0.999
    assert_compressed(report.path)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["float16", "int8"])
def test_zeros_and_shared_values_survive_other_modes(clustered, images, tmp_path, mode):
    path = tmp_path / "m.tflite"
    calibration = images if mode == "int8" else None
    registry.export(clustered, path, size=SIZE, quantization=mode, calibration=calibration, progress=False)
    assert_compressed(path)


@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["float16", "dynamic", "int8", "int16x8"])
def test_zeros_survive_every_precision(trained, images, tmp_path, mode):
    path = tmp_path / "m.tflite"
    calibration = images if mode.startswith("int") else None
    registry.export(trained, path, size=SIZE, quantization=mode, calibration=calibration, progress=False)
    assert sum(np.mean(values == 0) > 0.75 for values, _ in kernels_in(path)) == 23


def assert_held_again(model, images, folder):
    registry.save_preset(model, folder)
    again = registry.load(folder)
    assert type(again) is type(model)
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    before = kernel_facts(again)
    assert kernel_facts(train(again, images, steps=1)) == before


def test_saved_and_built_again_it_is_held_to_the_same(rounded, images, tmp_path):
    assert_held_again(rounded, images, tmp_path / "rounded")


@pytest.mark.sweep
def test_what_is_saved_is_the_model_and_nothing_more(trained, clustered, images, tmp_path):
    assert_held_again(trained, images, tmp_path / "pruned")
    assert_held_again(clustered, images, tmp_path / "clustered")
    trained.save(tmp_path / "pruned.keras")
    assert kernel_facts(registry.load_model(tmp_path / "pruned.keras")) == kernel_facts(trained)
    # What a pruned model's preset says beside its weights can be left out: there is nothing to strip.
    plain = registry.load(tmp_path / "pruned", compression=None)
    assert plain.compression is None
    assert kernel_facts(plain) == kernel_facts(trained)


@pytest.fixture(scope="module")
def two_in_four(float_model, images):
    model = registry.prune(float_model, pattern="2:4", exclude=["conv1_conv", "segmentation_head_conv"])
    return train(model, images, steps=1)


def assert_two_in_four(kernels):
    """Kernels as a file has them, but for the stem and a decoder of 22 channels."""
    groups = [values.reshape(-1, 4) for values in kernels if values.shape[-1] % 4 == 0]
    assert len(groups) == 22
    assert all(((group != 0).sum(1) <= 2).all() for group in groups)


def test_two_in_four_holds_in_what_is_converted(two_in_four):
    form, rewrites = inference_form(two_in_four, SIZE)
    assert rewrites["split_image_pooling"]
    kernels = [layer.kernel.numpy() for layer in form.layers if isinstance(layer, keras.layers.Conv2D)]
    assert_two_in_four([np.moveaxis(kernel, -1, 0) for kernel in kernels])


@pytest.mark.sweep
def test_two_in_four_holds_in_the_file(two_in_four, tmp_path):
    path = tmp_path / "m.tflite"
    registry.export(two_in_four, path, size=SIZE, progress=False)
    assert_two_in_four([values for values, _ in kernels_in(path)])


def test_fit_holds_kernels_and_counts_steps(network):
    from registry.compression import Compression
    from registry.compression.kernels import kernels_of
    from registry.config.compression import PruningTraining
    from registry.models.base import ImageSegmenter

    class Bare(ImageSegmenter):
        @classmethod
        def from_config(cls, config, custom_objects=None):
            return keras.Model.from_config(config)

    model = Bare(network.inputs, network.outputs)
    config = CompressionConfig(pruning=PruningConfig())
    model.set_compression(Compression(config, model, kernels_of(model, ()), PruningTraining(begin=3)))
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (4, 8, 8, 4)), rng.normal(0, 1, (4, 8, 8, 3))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=2, epochs=1, verbose=0)
    assert max(sparsities(model).values()) == 0
    model.fit(x, y, batch_size=2, epochs=2, verbose=0)
    assert list(sparsities(model).values()) == [0.5, 0.5]
    assert int(model.compression.step.numpy()) == 6
    assert [name for name in (variable.name for variable in model.weights) if "compression" in name] == []


class Mixing(keras.layers.Layer):
    """A layer with a matrix that nobody knows."""

    def build(self, input_shape):
        self.matrix = self.add_weight("matrix", (input_shape[-1], input_shape[-1]))

    def call(self, inputs):
        return inputs @ self.matrix


def test_layers_that_nobody_knows_are_named(float_model):
    from registry.compression.kernels import kernels_of

    inputs = keras.layers.Input((6, 6, 4))
    model = keras.Model(inputs, keras.layers.Dense(2)(Mixing(name="mixing")(inputs)))
    with pytest.raises(CompressionError, match=r"received: mixing: Mixing\n.*exclude=\['mixing'\]"):
        kernels_of(model, ())
    assert len(kernels_of(model, ("mix*",))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 1.0}, r"`sparsity`: .*less than 1\n  received: 1.0"),
        ({"sparsity": 0.0}, r"`sparsity`: .*greater than 0"),
        ({"pattern": "4:2"}, r"`pattern`: .*'unstructured', '2:4' or 'block'\n  received: 4:2"),
        ({"pattern": "2:4", "sparsity": 0.7}, "two zeros in four"),
        ({"pattern": "2:4", "schedule": "polynomial", "end": 9}, "has one sparsity"),
        ({"schedule": "polynomial", "initial_sparsity": 0.6, "end": 9}, "at most `sparsity`"),
        ({"schedule": "polynomial", "begin": 9, "end": 9}, "comes after"),
        ({"block": (0, 1)}, "`block`"),
        ({"schedule": "cubic"}, "`schedule`"),
    ],
)
def test_what_pruning_cannot_be_is_refused(float_model, arguments, message):
    with pytest.raises(ModelError, match=message):
        registry.prune(float_model, **arguments)


def test_what_cannot_be_done_is_refused(float_model, clustered, rounded, images):
    with pytest.raises(CompressionError, match=r"received: aspp_cnv_1\n.*did you mean 'aspp_conv_1'"):
        registry.prune(float_model, exclude=["aspp_cnv_1"])
    with pytest.raises(CompressionError, match=r"conv1_conv: 3 channels; .*\n.*exclude=\["):
        registry.prune(float_model, pattern="2:4")
    with pytest.raises(CompressionError, match="end=1000"):
        registry.prune(float_model, schedule="polynomial")
    for model in (clustered, rounded):
        with pytest.raises(CompressionError, match="pruned first"):
            registry.prune(model)
        with pytest.raises(CompressionError, match="clustered once"):
            registry.cluster(model)
    for clusters in (1, 257):
        with pytest.raises(ModelError, match="`clusters`"):
            registry.cluster(float_model, clusters)
    with pytest.raises(ModelError, match="`initialization`"):
        registry.cluster(float_model, initialization="kmeans")
    with pytest.raises(QuantizationError, match="already"):
        registry.quantize(rounded, calibration=images, size=SIZE)
    assert clustered.preset_config.compression.clustering == ClusteringConfig(
        clusters=CLUSTERS, exclude=("conv_pooling",)
    )
