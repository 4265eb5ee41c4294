"""The in-place kernels compute what tf-keras's formulas say."""

from __future__ import annotations

import numpy as np
import pytest

from registry.backend import keras, tf
from registry.training.optimizers import AdamW, MomentumSGD

SHAPES = [(3, 3, 2, 4), (4,)]
PAIRS = {
    "sgd": (MomentumSGD, keras.optimizers.SGD, {"momentum": 0.0}),
    "momentum": (MomentumSGD, keras.optimizers.SGD, {"momentum": 0.9}),
    "nesterov": (MomentumSGD, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    "adamw": (AdamW, keras.optimizers.AdamW, {"weight_decay": 0.1, "beta_2": 0.99, "epsilon": 1e-6}),
}


def variables() -> list[tf.Variable]:
    generator = np.random.default_rng(0)
    return [
        tf.Variable(generator.normal(size=shape).astype(np.float32), name=f"weight_{number}")
        for number, shape in enumerate(SHAPES)
    ]


def schedule() -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.PolynomialDecay(0.1, 10)


@pytest.mark.parametrize("name", PAIRS)
def test_updates_are_those_of_tf_keras(name: str) -> None:
    ours, theirs, options = PAIRS[name]
    results = []
    for kind in (ours, theirs):
        optimizer, weights = kind(schedule(), **options), variables()
        if name == "adamw":
            optimizer.exclude_from_weight_decay(var_list=weights[1:])
        optimizer.build(weights)
        step = tf.function(lambda *gradients: optimizer.apply_gradients(zip(gradients, weights, strict=True)))  # noqa: B023
        generator = np.random.default_rng(1)
        for _ in range(6):
            step(*(tf.constant(generator.normal(size=shape), tf.float32) for shape in SHAPES))
        results.append((weights, optimizer))
    (weights, optimizer), (expected, reference) = results
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-6, atol=2e-7)
    assert [variable.name for variable in optimizer.variables] == [
        variable.name for variable in reference.variables
    ]
    for one, other in zip(optimizer.variables, reference.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_updates_work_in_place(name: str) -> None:
    kind, _, options = PAIRS[name]
    optimizer, weights = kind(0.1, **options), variables()
    optimizer.build(weights)
    step = tf.function(lambda *gradients: optimizer.apply_gradients(zip(gradients, weights, strict=True)))
    graph = step.get_concrete_function(*(tf.TensorSpec(shape) for shape in SHAPES)).graph
    kernels = [operation.type for operation in graph.get_operations()]
    assert sum(kernel.startswith("ResourceApply") for kernel in kernels) == len(SHAPES)
