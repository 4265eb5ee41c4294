"""DeepLabV3 and V3+: the algebra of the head, KerasHub's meaning of each argument, and every wrong one refused."""

import numpy as np
import pytest
from small_networks import randomize

import registry
from registry.backend import keras, tf
from registry.errors import ModelError, PyramidContractError
from registry.models.aspp import PAPER_RATES
from registry.models.layers import AlignedUpSampling2D


def encoder_model(image_shape=(None, None, 3), attach=True):
    """Somebody's own encoder: strides 4 and 16, no plugin, no contract."""
    inputs = keras.layers.Input(image_shape, name="photo")
    low = keras.layers.Conv2D(6, 3, strides=4, padding="same", activation="relu", name="low")(inputs)
    deep = keras.layers.Conv2D(10, 3, strides=4, padding="same", activation="relu", name="deep")(low)
    model = keras.Model(inputs, deep, name="homemade")
    if attach:
        model.pyramid_outputs = {"P2": low, "P4": deep}
    return model


def backbone(**changes):
    arguments = {
        "image_encoder": encoder_model(),
        "spatial_pyramid_pooling_key": "P4",
        "upsampling_size": 4,
        "dilation_rates": [1, 2],
        "low_level_feature_key": "P2",
        "aspp_filters": 8,
        "decoder_filters": 8,
        "projection_filters": 4,
    }
    return registry.DeepLabV3Backbone(**arguments | changes)


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(2, 48, 64, 3)).astype(np.float32)


@pytest.mark.parametrize("low_level", ["P2", None], ids=["v3+", "v3"])
def test_classifier_before_upsampling_equals_classifier_after(image, low_level):
    features = backbone(low_level_feature_key=low_level)
    segmenter = registry.DeepLabV3ImageSegmenter(features, 5)
    kernel = segmenter.get_layer("segmentation_output").kernel
    expected = tf.nn.conv2d(features(image), kernel, 1, "SAME")
    np.testing.assert_allclose(segmenter(image), expected, atol=1e-5)


def test_activation_acts_on_the_upsampled_logits(image):
    features = backbone()
    logits = registry.DeepLabV3ImageSegmenter(features, 5)
    probabilities = registry.DeepLabV3ImageSegmenter(features, 5, activation="softmax")
    probabilities.set_weights(logits.get_weights())
    np.testing.assert_allclose(probabilities(image), tf.nn.softmax(logits(image)), atol=1e-6)


def test_graph_is_flat_and_continues_the_encoder():
    encoder = encoder_model()
    segmenter = registry.DeepLabV3ImageSegmenter(backbone(image_encoder=encoder), 5)
    assert not [layer for layer in segmenter.layers if isinstance(layer, keras.Model)]
    assert segmenter.get_layer("deep") is encoder.get_layer("deep")
    assert len(segmenter.weights) == len({id(weight) for weight in segmenter.weights})


def test_another_image_shape_shares_the_layers(image):
    encoder = encoder_model()
    free = backbone(image_encoder=encoder)
    fixed = backbone(image_encoder=encoder, image_shape=(48, 64, 3))
    fixed.set_weights(free.get_weights())
    assert fixed.input_shape == (None, 48, 64, 3)
    assert fixed.output_shape == (None, 48, 64, 8)
    assert fixed.get_layer("deep") is encoder.get_layer("deep")
    np.testing.assert_array_equal(fixed(image), free(image))


@pytest.mark.parametrize("size", [(16, 16), (48, 64), (80, 32)])
def test_output_has_the_size_of_the_input(size):
    for low_level, upsampling in (("P2", 4), (None, 1), (None, 8), (None, 16), (None, (2, 4))):
        model = backbone(low_level_feature_key=low_level, upsampling_size=upsampling)
        assert model(np.zeros((1, *size, 3), np.float32)).shape == (1, *size, 8)


def test_what_the_papers_have_beyond_keras_hub(image):
    model = backbone(
        aspp_separable=True,
        aspp_dropout=0.5,
        image_pooling=False,
        decoder_convolutions=2,
        decoder_kernel_size=3,
        decoder_separable=True,
        batch_norm_momentum=0.9,
        batch_norm_epsilon=1e-5,
    )
    names = {layer.name for layer in model.layers}
    assert {
        "aspp_conv_2_depthwise",
        "segmentation_head_conv_2_depthwise",
        "segmentation_head_relu_2",
    } <= names
    assert not {"average_pooling", "conv_pooling"} & names
    assert model.get_layer("conv_projection").input_shape[-1] == 3 * 8
    assert model.get_layer("aspp_bn_1").epsilon == 1e-5
    assert model.get_layer("dropout").rate == 0.5
    assert model.get_layer("aspp_conv_3_depthwise").dilation_rate == (2, 2)
    assert model(image).shape == (2, 48, 64, 8)


def test_what_other_libraries_have_beyond_the_papers(image, tmp_path):
    model = registry.DeepLabV3ImageSegmenter(
        backbone(
            aspp_separable=True,
            aspp_depthwise_norm=False,
            aspp_output_convolution="separable",
            decoder_separable=True,
            decoder_depthwise_norm=False,
            align_corners=True,
        ),
        5,
    )
    names = {layer.name for layer in model.layers}
    assert {"aspp_conv_2_depthwise", "segmentation_head_conv_depthwise", "aspp_conv_output"} <= names
    assert not [name for name in names if name.endswith("_depthwise") and "conv" not in name]
    assert model.get_layer("aspp_conv_output_depthwise").input.name.startswith("dropout")
    upsamplings = [layer for layer in model.layers if isinstance(layer, keras.layers.UpSampling2D)]
    assert [type(layer) for layer in upsamplings] == [AlignedUpSampling2D] * 2
    randomize(model)
    coarse = keras.Model(model.inputs, upsamplings[-1].input)(image)
    full = model(image)
    corners = ([0, 0, -1, -1], [0, -1, 0, -1])
    for one, other in zip(full.numpy(), coarse.numpy(), strict=True):
        np.testing.assert_allclose(one[corners], other[corners], rtol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(registry.load_model(tmp_path / "model.keras")(image), full)


def test_zero_decoder_convolutions_leave_the_aspp_output():
    model = backbone(low_level_feature_key=None, upsampling_size=1, decoder_convolutions=0)
    assert model.decoder_features.shape[-1] == 8
    assert model.final_upsampling == (16, 16)


def test_paper_rates_keep_the_field_of_view():
    views = {stride: tuple(rate * stride for rate in rates) for stride, rates in PAPER_RATES.items()}
    assert len(set(views.values())) == 1


@pytest.mark.parametrize("suffix", [".keras", ""], ids=["keras", "saved-model"])
def test_saving_keeps_outputs_configuration_and_class(tmp_path, image, suffix):
    preprocessor = registry.SegmentationPreprocessor(scale=0.5, offset=(1.0, 2.0, 3.0))
    model = registry.DeepLabV3ImageSegmenter(backbone(), 5, activation="softmax", preprocessor=preprocessor)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    loaded = registry.load_model(path)
    assert type(loaded) is registry.DeepLabV3ImageSegmenter
    np.testing.assert_array_equal(loaded(image), model(image))
    assert loaded.preprocessor.get_config() == preprocessor.get_config()
    assert loaded.backbone.dilation_rates == [1, 2]
    np.testing.assert_allclose(loaded.predict(image, verbose=0), model(image * 0.5 + [1, 2, 3]), atol=1e-6)


def test_from_config_rebuilds_the_same_graph():
    model = registry.DeepLabV3ImageSegmenter(backbone(), 5)
    clone = registry.DeepLabV3ImageSegmenter.from_config(model.get_config())
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
    assert clone.get_config()["num_classes"] == 5
    assert clone.backbone.get_config()["projection_filters"] == 4


def test_arguments_read_as_attributes():
    model = backbone()
    assert model.spatial_pyramid_pooling_key == "P4"
    assert model.low_level_feature_key == "P2"
    assert model.upsampling_size == 4
    assert model.projection_filters == 4
    assert set(model.pyramid_outputs) == {"P2", "P4"}
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.no_such_thing


def test_fit_trains_every_weight_and_preprocesses(image):
    model = registry.DeepLabV3ImageSegmenter(
        backbone(), 3, preprocessor=registry.SegmentationPreprocessor(image_size=(32, 32), scale=0.1)
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.random.default_rng(1).integers(0, 3, image.shape[:3])
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(image, labels, batch_size=2, epochs=1, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.name
    assert model.predict(image, verbose=0).shape == (2, 32, 32, 3)
    assert np.isfinite(model.evaluate(image, labels, verbose=0))
    dataset = tf.data.Dataset.from_tensor_slices((image, labels)).batch(1)
    assert np.isfinite(model.evaluate(dataset, verbose=0))


@pytest.mark.parametrize("scale", [None, 0.1])
def test_one_batch_takes_a_short_way_to_the_same_result(image, scale):
    preprocessor = scale and registry.SegmentationPreprocessor(image_size=(32, 48), scale=scale)
    model = registry.DeepLabV3ImageSegmenter(backbone(), 3, preprocessor=preprocessor)
    pixels = (image * 40 + 128).clip(0, 255)
    for x in (pixels, pixels.astype(np.float64), pixels.astype(np.uint8), tf.constant(pixels), pixels[:1]):
        # Callbacks are for Keras's own loop, so this goes through it.
        expected = model.predict(x, verbose=0, callbacks=[])
        result = model.predict(x, verbose=0)
        assert isinstance(result, np.ndarray)
        np.testing.assert_allclose(result, expected, atol=1e-5 * expected.std())
        np.testing.assert_allclose(
            model.predict(x, batch_size=1, verbose=0), expected, atol=1e-5 * expected.std()
        )
    for size in ((16, 16), (64, 32), (32, 16)):
        assert model.predict(np.zeros((1, *size, 3), np.float32)).shape[-1] == 3


def test_training_changes_what_is_predicted_and_saving_keeps_it(tmp_path, image):
    model = registry.DeepLabV3ImageSegmenter(backbone(), 3)
    before = model.predict(image, verbose=0)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(image, np.ones(image.shape[:3]), epochs=1, verbose=0)
    after = model.predict(image, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    for name in ("model.keras", "saved_model"):
        model.save(tmp_path / name)
        np.testing.assert_allclose(
            registry.load_model(tmp_path / name).predict(image, verbose=0), after, atol=1e-6
        )


WRONG = [
    ({"spatial_pyramid_pooling_key": "P6"}, "must be a level of the encoder, which has P2, P4"),
    ({"spatial_pyramid_pooling_key": None}, "must be a level"),
    ({"low_level_feature_key": "P1"}, "`low_level_feature_key` must be a level"),
    ({"dilation_rates": []}, "non-empty sequence of positive integers"),
    ({"dilation_rates": [6, -12]}, "positive integers"),
    ({"dilation_rates": [6.0, 12]}, "positive integers"),
    ({"dilation_rates": [True]}, "positive integers"),
    ({"dilation_rates": 6}, "non-empty sequence"),
    ({"dilation_rates": "6"}, "non-empty sequence"),
    ({"dilation_rates": None}, "non-empty sequence"),
    ({"upsampling_size": 3}, "16 ÷ 4"),
    ({"upsampling_size": 16}, "16 ÷ 4"),
    ({"upsampling_size": 0}, "positive integer or two"),
    ({"upsampling_size": 2.0}, "positive integer or two"),
    ({"upsampling_size": (4, 4, 4)}, "positive integer or two"),
    ({"upsampling_size": (4, 2)}, "16 ÷ 4"),
    ({"upsampling_size": "auto"}, "positive integer or two"),
    ({"upsampling_size": 3, "low_level_feature_key": None}, "must divide the stride"),
    ({"upsampling_size": 32, "low_level_feature_key": None}, "must divide the stride"),
    ({"projection_filters": 0}, "`projection_filters` must be a positive integer"),
    ({"projection_filters": 48.0}, "`projection_filters` must be a positive integer"),
    ({"aspp_filters": -1}, "`aspp_filters` must be a positive integer"),
    ({"decoder_filters": None}, "`decoder_filters` must be a positive integer"),
    ({"decoder_convolutions": -1}, "`decoder_convolutions`"),
    ({"aspp_output_convolution": "3x3"}, "none, plain or separable"),
    ({"aspp_dropout": 1.0}, "`aspp_dropout`"),
    ({"aspp_dropout": -0.1}, "`aspp_dropout`"),
    ({"image_shape": (48, 64)}, "`image_shape` must be"),
    ({"image_shape": (48, 64, 4)}, "`image_shape` must be"),
    ({"image_shape": (48.0, 64, 3)}, "`image_shape` must be"),
    ({"image_shape": (0, 64, 3)}, "`image_shape` must be"),
    ({"image_shape": None}, "`image_shape` must be"),
    ({"image_shape": (50, 64, 3)}, "multiple of 16"),
    ({"image_encoder": "resnet"}, "must be a `tf_keras.Model`"),
    ({"image_encoder": None}, "must be a `tf_keras.Model`"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_wrong_arguments_state_rule_value_and_repair(change, message):
    with pytest.raises(ModelError) as caught:
        backbone(**change)
    assert message in str(caught.value)
    assert "received:" in str(caught.value)
    assert "repair:" in str(caught.value)


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, "21", None, True])
def test_wrong_number_of_classes(num_classes):
    with pytest.raises(ModelError, match="`num_classes` must be a positive integer"):
        registry.DeepLabV3ImageSegmenter(backbone(), num_classes)


def test_a_foreign_backbone_or_preprocessor_is_refused():
    with pytest.raises(ModelError, match=r"must be a registry\.DeepLabV3Backbone"):
        registry.DeepLabV3ImageSegmenter(encoder_model(), 3)
    with pytest.raises(ModelError, match="`preprocessor` must be callable"):
        registry.DeepLabV3ImageSegmenter(backbone(), 3, preprocessor="scale")


def test_an_encoder_without_a_usable_pyramid_is_refused():
    bare = encoder_model(attach=False)
    with pytest.raises(ModelError, match="must have `pyramid_outputs`"):
        backbone(image_encoder=bare)
    bare.pyramid_outputs = {"P4": np.zeros(3)}
    with pytest.raises(ModelError, match="KerasTensor"):
        backbone(image_encoder=bare)
    bare.pyramid_outputs = {"deep": bare.output}
    with pytest.raises(PyramidContractError, match="P1 … P5"):
        backbone(image_encoder=bare)

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ModelError, match="functional"):
        backbone(image_encoder=Subclassed())


def test_a_keras_3_model_is_named_as_such():
    keras3 = pytest.importorskip("keras", reason="Keras 3 comes with TensorFlow")
    inputs = keras3.Input((32, 32, 3))
    model = keras3.Model(inputs, keras3.layers.Conv2D(2, 1)(inputs))
    with pytest.raises(ModelError, match="belongs to Keras 3"):
        backbone(image_encoder=model)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 50, 64, 3), "height must be a multiple of 16"),
        ((1, 48, 70, 3), "width must be a multiple of 16"),
        ((1, 8, 8, 3), "resize or pad to 16"),
        ((1, 48, 64, 4), r"must be \(batch, height, width, 3\)"),
        ((48, 64, 3), r"must be \(batch, height, width, 3\)"),
    ],
)
def test_inputs_that_do_not_fit(shape, message):
    model = registry.DeepLabV3ImageSegmenter(backbone(), 3)
    for run in (model, lambda x: model.predict(x, verbose=0)):
        with pytest.raises(ModelError, match=message):
            run(np.zeros(shape, np.float32))
