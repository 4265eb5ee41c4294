"""Hard-swish as sum and product: exact, and the sixth in the next kernels wherever all readers are linear."""

import numpy as np
import pytest
from small_networks import randomize

from registry.backend import keras, tf
from registry.inspection import inspect_delegates, inspect_model
from registry.models.activations import HardGate, HardSwish, Scale
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D, squeeze_excite
from registry.rewrites import INTEGER_REWRITES, Graph, inference_form
from registry.rewrites.hard_swish import factor_hard_swish

layers = keras.layers
SE = {part: f"se_{part}" for part in ("pool", "reduce", "activation", "expand", "gate", "scale")}


def swish(x):
    return HardSwish(name="swish")(layers.Conv2D(6, 1, name="before")(x))


def convolved(y):
    return layers.Conv2D(4, 3, padding="same", activation="relu", name="after")(y)


def depthwise(y):
    y = layers.ZeroPadding2D(2)(y)
    return AtrousDepthwiseConv2D(3, dilation_rate=2, name="after")(y)


def excited(y):
    return layers.Conv2D(4, 1, name="after")(squeeze_excite(y, 3, gate="hard_sigmoid", names=SE))


def several(y):
    pooled = layers.Conv2D(4, 1)(layers.GlobalAveragePooling2D(keepdims=True)(y))
    return layers.Multiply()([AtrousConv2D(4, 3, dilation_rate=2, padding="same")(y), pooled])


def added(y):
    return layers.Add()([y, layers.Conv2D(6, 1)(y)])


def squared(y):
    return layers.Conv2D(4, 1)(layers.Multiply()([y, y]))


def gated_by_itself(y):
    return layers.Conv2D(4, 1)(layers.Multiply()([y, layers.GlobalAveragePooling2D(keepdims=True)(y)]))


def output(y):
    return y


def output_and_read(y):
    return [y, convolved(y)]


def activated(y):
    return convolved(layers.ReLU()(y))


@pytest.mark.parametrize(
    ("rest", "absorbed"),
    [
        (convolved, True),
        (depthwise, True),
        (excited, True),
        (several, True),
        (added, False),
        (squared, False),
        (gated_by_itself, False),
        (output, False),
        (output_and_read, False),
        (activated, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_rewrite_is_exact(rest, absorbed):
    inputs = layers.Input((9, 12, 5))
    model = randomize(keras.Model(inputs, rest(swish(inputs))))
    # Values on both sides of the kinks at −3 and 3.
    pixels = np.random.default_rng(1).normal(0, 3, (2, 9, 12, 5)).astype(np.float32)
    graph = Graph.of(model)
    assert factor_hard_swish(graph) == 1
    rewritten = graph.to_keras()
    kinds = [type(layer) for layer in rewritten.layers]
    assert HardSwish not in kinds
    assert kinds.count(HardGate) == 1
    assert kinds.count(Scale) == (0 if absorbed else 1)
    for wanted, got in zip(_listed(model(pixels)), _listed(rewritten(pixels)), strict=True):
        assert wanted.std() > 0.01
        np.testing.assert_allclose(got, wanted, atol=2e-6 * np.abs(wanted).max(), rtol=0)
    assert factor_hard_swish(Graph.of(rewritten)) == 0


def _listed(outputs):
    return [value.numpy() for value in (outputs if isinstance(outputs, list) else [outputs])]


def test_two_in_a_row_each_give_their_sixth():
    inputs = layers.Input((9, 12, 5))
    y = layers.Conv2D(4, 1)(HardSwish()(layers.DepthwiseConv2D(3)(swish(inputs))))
    model = randomize(keras.Model(inputs, y))
    pixels = np.random.default_rng(1).normal(0, 3, (2, 9, 12, 5)).astype(np.float32)
    rewritten, applied = inference_form(model, activations="int8")
    assert applied["factor_hard_swish"] == 2
    wanted = model(pixels).numpy()
    np.testing.assert_allclose(rewritten(pixels), wanted, atol=2e-6 * np.abs(wanted).max(), rtol=0)


def test_only_integer_networks_are_rewritten():
    assert [kind for kind, rewrites in INTEGER_REWRITES.items() if factor_hard_swish in rewrites] == [
        "int8",
        "int16",
    ]
    inputs = layers.Input((9, 12, 5))
    model, applied = inference_form(keras.Model(inputs, convolved(swish(inputs))))
    assert "factor_hard_swish" not in applied
    assert any(isinstance(layer, HardSwish) for layer in model.layers)


def test_the_new_layers_can_be_saved():
    for layer in (HardGate(), Scale(0.25)):
        again = type(layer).from_config(layer.get_config())
        np.testing.assert_array_equal(again(np.float32([-4, 0, 1, 9])), layer(np.float32([-4, 0, 1, 9])))
    np.testing.assert_allclose(HardGate()(np.float32([-4, 0, 9])), [0, 3, 6])
    np.testing.assert_allclose(Scale(0.5)(np.float32([-4, 0, 9])), [-2, 0, 4.5])


def test_an_integer_file_stays_in_the_delegate(tmp_path):
    """With HARD_SWISH it would leave XNNPACK at each one."""
    inputs = layers.Input((16, 16, 5), batch_size=1)
    model = randomize(keras.Model(inputs, excited(swish(inputs))))
    rng = np.random.default_rng(2)
    outside = {}
    for activations in ("float32", "int8"):
        form, _ = inference_form(model, activations=activations)
        function = tf.function(lambda x, form=form: form(x, training=False))
        concrete = function.get_concrete_function(tf.TensorSpec((1, 16, 16, 5)))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], form)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.normal(0, 2, (1, 16, 16, 5)).astype(np.float32)] for _ in range(2)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        path = tmp_path / f"{activations}.tflite"
        path.write_bytes(converter.convert())
        report = inspect_delegates(path, inspect_model(path))
        outside[activations] = [operation.name for operation in report.outside]
        assert report.xnnpack_partitions == (1 if activations == "int8" else 2)
    assert outside == {"float32": ["HARD_SWISH"], "int8": []}
