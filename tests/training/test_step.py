"""One update of the weights against the formula, whatever the batch is divided into."""

import numpy as np
import pytest

import registry
from registry.backend import keras, tf
from registry.errors import ModelError
from registry.training.losses import make_loss
from registry.training.step import TrainingStep, decayed_variables, freeze_batch_norm

SIZE = (32, 32)


@pytest.fixture
def model(small_preset):
    keras.utils.set_random_seed(0)
    return registry.build(small_preset, weights=None, image_shape=(*SIZE, 3))


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 5, (4, *SIZE)).astype(np.uint8)
    masks[:, :5] = 255
    return tf.constant(rng.uniform(0, 255, (4, *SIZE, 3)), tf.float32), tf.constant(masks)


def sgd(rate=0.1):
    return keras.optimizers.SGD(rate)


def test_a_step_of_sgd_is_the_gradient_of_the_mean_loss_and_of_the_penalty(model, batch):
    freeze_batch_norm(model)  # its statistics would move
    images, masks = batch
    before = [variable.numpy() for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        logits = model(model.preprocessor(images), training=True)
        labels = tf.where(masks == 255, tf.zeros_like(masks), masks)
        pixels = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        counted = tf.cast(masks != 255, tf.float32)
        loss = tf.reduce_mean(tf.reduce_sum(pixels * counted, (1, 2)) / tf.reduce_sum(counted, (1, 2)))
        decayed = decayed_variables(model)
        penalty = 0.5 * 0.01 * tf.add_n([tf.reduce_sum(variable**2) for variable in decayed])
        total = loss + penalty
    gradients = tape.gradient(total, model.trainable_variables)
    step = TrainingStep(model, sgd(), [(1.0, make_loss("cross_entropy"))], batch_size=4, weight_decay=0.01)
    assert float(step(images, masks)) == pytest.approx(float(loss), rel=1e-5)
    for variable, old, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        np.testing.assert_allclose(variable, old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_the_penalty_spares_biases_and_normalizations(model):
    names = {variable.name for variable in decayed_variables(model)}
    assert names == {
        weight.name
        for layer in model.layers
        for weight in layer.trainable_weights
        if weight.name.endswith("kernel:0")
    }


def test_parts_of_a_batch_add_up_to_its_loss(model, batch):
    freeze_batch_norm(model)
    images, masks = batch
    step = TrainingStep(model, sgd(1e-12), [(1.0, make_loss("dice"))], batch_size=4)
    whole = float(step(images, masks))
    parts = float(step(images[:1], masks[:1])) + float(step(images[1:], masks[1:]))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_gradients_are_clipped_together(model, batch):
    freeze_batch_norm(model)
    before = [variable.numpy() for variable in model.trainable_variables]
    TrainingStep(model, sgd(1.0), [(1.0, make_loss("cross_entropy"))], batch_size=4, clip_norm=0.01)(*batch)
    moved = [variable - old for variable, old in zip(model.trainable_variables, before, strict=True)]
    assert float(tf.linalg.global_norm(moved)) == pytest.approx(0.01, rel=1e-3)


def test_frozen_statistics_do_not_move(model, batch):
    count = freeze_batch_norm(model)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert count == len(norms) > 0
    before = [weight.numpy() for layer in norms for weight in layer.weights]
    TrainingStep(model, sgd(), [(1.0, make_loss("cross_entropy"))], batch_size=4)(*batch)
    after = [weight.numpy() for layer in norms for weight in layer.weights]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)


def test_learning_lowers_the_loss_in_a_graph(model, batch):
    images, masks = batch
    masks = tf.where(masks == 255, masks, tf.ones_like(masks))
    step = tf.function(
        TrainingStep(
            model,
            keras.optimizers.SGD(0.05, momentum=0.9),
            [(1.0, make_loss("cross_entropy")), (0.5, make_loss("lovasz_softmax"))],
            batch_size=4,
        )
    )
    losses = [float(step(images, masks)) for _ in range(12)]
    assert losses[-1] < 0.5 * losses[0]


def test_probabilities_are_refused(small_preset):
    model = registry.build({**small_preset, "activation": "softmax"}, weights=None)
    with pytest.raises(ModelError, match="needs logits"):
        TrainingStep(model, sgd(), [(1.0, make_loss("cross_entropy"))], batch_size=4)
