"""What holds for every architecture on a real encoder: sizes, strides, saving, inference form, levels, contract."""

from typing import ClassVar

import numpy as np
import pytest
from small_networks import randomize

import registry
import registry_heads.fpn
from registry import discovery
from registry.architecture import SegmenterArguments
from registry.backend import keras, tf
from registry.errors import ModelError, SegmenterContractError
from registry.models.segmenter import CLASSIFIER, PyramidSegmenter
from registry.rewrites import inference_form


def images(*size, seed=0):
    return np.random.default_rng(seed).normal(size=(1, *size, 3)).astype(np.float32)


@pytest.mark.parametrize("output_stride", [8, 32])
def test_other_output_strides(small_head, output_stride):
    model = registry.build(small_head, weights=None, output_stride=output_stride)
    assert isinstance(model, registry.ImageSegmenter)
    assert model.size_multiple == (output_stride, output_stride)
    assert model(images(64, 96)).shape == (1, 64, 96, 5)


def test_the_inference_form_gives_the_same_logits(small_head):
    model = randomize(registry.build(small_head, weights=None))
    x = images(64, 96)
    logits = model(x).numpy()
    assert logits.shape == (1, 64, 96, 5)
    rewritten, applied = inference_form(model, (64, 96))
    np.testing.assert_allclose(rewritten(x), logits, atol=1e-4 * logits.std())
    assert applied["fold_batch_normalization"]
    assert not [layer for layer in rewritten.layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.mark.sampled(3)
def test_a_fixed_size_changes_nothing_but_the_shape(small_head):
    model = registry.build(small_head, weights=None, activation="softmax")
    fixed = registry.build(small_head, weights=None, activation="softmax", image_shape=(64, 96, 3))
    randomize(model)
    fixed.set_weights(model.get_weights())
    assert fixed.output_shape == (None, 64, 96, 5)
    x = images(64, 96)
    np.testing.assert_allclose(fixed(x), model(x), atol=1e-5)
    np.testing.assert_allclose(np.sum(fixed(x), axis=-1), 1, atol=1e-5)
    with pytest.raises(ModelError, match="multiple of 16"):
        model(images(72, 64))
    with pytest.raises(ModelError, match="multiple of 16"):
        registry.build(small_head, weights=None, image_shape=(72, 64, 3))


def saved_and_loaded(preset, path):
    model = randomize(registry.build(preset, weights=None))
    model.preprocessor = registry.SegmentationPreprocessor(scale=0.5)
    model.save(path)
    loaded = registry.load_model(path)
    assert type(loaded) is type(model)
    assert loaded.preset_config == model.preset_config
    assert (loaded.name, loaded.preprocessor.scale) == (model.name, 0.5)
    x = images(32, 48)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    return model, loaded


@pytest.mark.sampled(2)
def test_saving_and_loading(small_head, tmp_path):
    model, loaded = saved_and_loaded(small_head, tmp_path / "model.keras")
    preset = registry.build(registry.save_preset(loaded, tmp_path / "preset"))
    assert preset.name == model.name
    for variable, other in zip(preset.weights, model.weights, strict=True):
        assert (variable.name, variable.numpy().tobytes()) == (other.name, other.numpy().tobytes())
    np.testing.assert_array_equal(preset(images(32, 48)), model(images(32, 48)))


@pytest.mark.slow
@pytest.mark.sweep
def test_saving_and_loading_as_saved_model(small_preset, tmp_path):
    small_preset["architecture"] = {"name": "pspnet", "filters": 8}
    saved_and_loaded(small_preset, tmp_path / "saved_model")


@pytest.mark.sampled(3)
def test_the_encoder_is_a_view_and_the_classifier_makes_the_classes(small_head):
    model = registry.build(small_head, weights=None)
    other = registry.build(small_head, weights=None, num_classes=3)
    assert type(model.encoder) is registry.PyramidEncoder
    own = {id(layer) for layer in model.layers}
    assert all(id(layer) in own for layer in model.encoder.layers)
    differing = {
        layer.name
        for layer, twin in zip(model.layers, other.layers, strict=True)
        if [w.shape for w in layer.weights] != [w.shape for w in twin.weights]
    }
    assert differing == {layer.name for layer in model.classifier}


@pytest.mark.sampled(3)
def test_gradients_reach_every_weight(small_head):
    model = registry.build(small_head, weights=None)
    missing = []

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_weights)
        missing.extend(w.name for w, g in zip(model.trainable_weights, gradients, strict=True) if g is None)

    step.get_concrete_function(tf.TensorSpec((1, 64, 64, 3)))  # traced, not run
    assert missing == []


def test_levels_that_the_encoder_lacks_are_refused_before_it_is_built(small_preset):
    small_preset["architecture"] = {"name": "unet"}
    spec = discovery.load_architecture("unet").spec
    config = spec.section.model_validate({"name": "unet"})
    with pytest.raises(
        ModelError, match=r"'unet' reads P1, P2, P3, P4 and P5.*\n.*'mit_b0', which has P2, P3"
    ):
        spec.check_levels(config, ["P2", "P3", "P4", "P5"], "mit_b0")


def test_levels_in_the_wrong_order(small_preset):
    small_preset["architecture"] = {
        "name": "lr_aspp",
        "high_level_feature_key": "P2",
        "low_level_feature_key": "P4",
    }
    with pytest.raises(ModelError, match=r"P2 at stride 4 to P4 at stride 16"):
        registry.build(small_preset, weights=None)


def test_a_head_on_shallow_levels_needs_no_deeper_multiple_and_no_deeper_layers(small_preset):
    small_preset["architecture"] = {"name": "fpn", "feature_keys": ["P2", "P3"], "filters": 8}
    model = registry.build(small_preset, weights=None)
    assert model.size_multiple == (8, 8)
    assert model(images(40, 24)).shape == (1, 40, 24, 5)
    assert not any(layer.name.startswith("stack3") for layer in model.layers)


class TestContract:
    """What a plugin may get wrong is said with its name."""

    @pytest.fixture
    def build(self, monkeypatch, small_preset):
        """Build with a head in place of that of `fpn`."""

        def build(answer):
            small_preset["architecture"] = {"name": "fpn"}
            monkeypatch.setattr(registry_heads.fpn, "logits", answer)
            return registry.build(small_preset, weights=None)

        return build

    @staticmethod
    def classified(encoder, classes, level="P3"):
        return keras.layers.Conv2D(classes, 1, name=CLASSIFIER)(encoder.pyramid_outputs[level])

    def test_the_smallest_head(self, build):
        model = build(lambda encoder, config, classes: self.classified(encoder, classes))
        assert isinstance(model, PyramidSegmenter)
        assert model.size_multiple == (8, 8)

    WRONG: ClassVar = {
        "channels": (lambda c, e, n: c(e, n + 1), r"\(batch, height, width, 5 classes\)"),
        "no tensor": (lambda c, e, n: None, "NoneType"),
        "no integer stride": (lambda c, e, n: keras.layers.Cropping2D(1)(c(e, n)), "an integer stride"),
        "nested": (
            lambda c, e, n: keras.Sequential([keras.layers.Conv2D(n, 1)], name="inner")(e.pyramid_outputs["P3"]),
            "model nested in it: inner",
        ),
    }  # fmt: skip

    @pytest.mark.parametrize("case", WRONG)
    def test_a_violation_names_the_architecture_and_its_distribution(self, build, case):
        answer, phrase = self.WRONG[case]
        with pytest.raises(SegmenterContractError, match=phrase) as caught:
            build(lambda encoder, config, classes: answer(self.classified, encoder, classes))
        assert "architecture 'fpn' (atrous " in str(caught.value)
        assert "repair:" in str(caught.value)

    def test_another_model_is_refused(self, monkeypatch, small_preset):
        monkeypatch.setattr(
            discovery.LoadedArchitecture, "build", lambda self, encoder, config, arguments: encoder
        )
        with pytest.raises(SegmenterContractError, match=r"registry\.ImageSegmenter\n.*PyramidEncoder"):
            registry.build(small_preset, weights=None)

    def test_a_model_built_by_hand_is_not_saved_with_a_preset_that_it_has_not(self, small_preset):
        encoder = registry.build_encoder("resnet", "resnet_custom", **small_preset["encoder"]["options"])
        arguments = SegmenterArguments(num_classes=2)
        model = PyramidSegmenter(encoder, self.classified(encoder, 2), arguments)
        assert model(images(32, 32)).shape == (1, 32, 32, 2)
        with pytest.raises(ModelError, match="built by hand"):
            model.get_config()
