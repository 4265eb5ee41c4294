"""A name becomes a model: sizes, overrides, weights rules and what goes wrong on the way."""

from pathlib import Path

import numpy as np
import pytest

import registry
from registry.backend import keras
from registry.errors import (
    ConfigError,
    ModelError,
    RegistryError,
    RegistryWarning,
    UnknownEncoderError,
    UnknownPluginError,
    UnknownPresetError,
    WeightsFormatError,
    WeightsMismatchError,
)
from registry.models.aspp import PAPER_RATES

KERAS_HUB = "deeplab_v3_plus_resnet50_pascalvoc"


@pytest.fixture(autouse=True)
def fresh_session():
    yield
    keras.backend.clear_session()


def aspp_rates(model):
    return [
        model.get_layer(f"aspp_conv_{number}").dilation_rate[0]
        for number in range(2, 2 + len(model.backbone.dilation_rates))
    ]


def test_the_keras_hub_preset_has_keras_hubs_parameters():
    model = registry.build(KERAS_HUB, weights=None)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.backbone.trainable_weights)
    assert model.backbone.count_params() == 39_190_656
    assert trainable == 39_133_856
    assert model.count_params() == 39_196_032
    assert len(model.backbone.weights) == 305
    assert len(model.weights) == 306
    assert model.backbone.upsampling_size == 8
    assert aspp_rates(model) == [6, 12, 18]
    assert model.preprocessor.is_identity


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", registry.list_presets("deeplab_v3*resnet*_pascalvoc"))
def test_output_stride_decides_on_rates_and_changes_no_weight(name):
    """What every other preset builds and gives: test_preset_models."""
    model = registry.build(name, weights=None)
    config = model.preset_config
    if config.architecture.dilation_rates == "auto":
        assert tuple(aspp_rates(model)) == PAPER_RATES[config.encoder.output_stride]
    reference = registry.build(name, weights=None, output_stride=32, upsampling_size="auto")
    assert reference.count_params() == model.count_params()


def test_paper_presets_are_the_papers_models():
    v3 = registry.build("deeplab_v3_resnet50_os16_pascalvoc", weights=None)
    assert aspp_rates(v3) == [6, 12, 18]
    # Multi-grid (1, 2, 4) on the last stack, whose later blocks run at rate 2.
    assert v3.get_layer("stack3_block1_2_conv").dilation_rate == (4, 4)
    assert v3.get_layer("stack3_block2_2_conv").dilation_rate == (8, 8)
    assert v3.backbone.decoder_features.name.startswith("dropout")
    v3_plus = registry.build("deeplab_v3_plus_resnet50_os8_pascalvoc", weights=None)
    assert aspp_rates(v3_plus) == [12, 24, 36]
    kernels = [v3_plus.get_layer(f"segmentation_head_conv{suffix}").kernel_size for suffix in ("", "_2")]
    assert kernels == [(3, 3), (3, 3)]
    assert v3_plus.get_layer("decoder_conv").filters == 48


def test_one_key_changes_the_output_stride(small_preset):
    for stride, factor in ((32, 8), (16, 4), (8, 2)):
        model = registry.build(small_preset, weights=None, output_stride=stride)
        assert model.size_multiple == (stride, stride)
        assert model.backbone.upsampling_size == factor
        assert tuple(aspp_rates(model)) == PAPER_RATES[stride]


def test_overrides_reach_the_graph(small_preset):
    model = registry.build(
        small_preset,
        weights=None,
        num_classes=9,
        image_shape=(64, 96, 3),
        dilation_rates=[2],
        activation="softmax",
        **{"architecture.aspp.image_pooling": False},
    )
    assert model.input_shape == (None, 64, 96, 3)
    assert model.output_shape == (None, 64, 96, 9)
    assert aspp_rates(model) == [2]
    assert "average_pooling" not in {layer.name for layer in model.layers}
    assert model.preset_config.num_classes == 9
    probabilities = model(np.ones((1, 64, 96, 3), np.float32))
    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1, atol=1e-5)


def test_a_saved_model_keeps_its_preset(tmp_path, small_preset):
    model = registry.build(small_preset, weights=None)
    model.save(tmp_path / "model.keras")
    loaded = registry.load_model(tmp_path / "model.keras")
    assert loaded.preset_config == model.preset_config
    image = np.random.default_rng(0).normal(size=(1, 32, 48, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(image), model(image))
    assert type(loaded.backbone.image_encoder) is registry.PyramidEncoder
    rebuilt = registry.build(model.preset_config.model_dump(mode="json"), weights=None)
    assert [w.shape for w in rebuilt.weights] == [w.shape for w in model.weights]


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_file_that_is_no_saved_model(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsFormatError, match=r"model\.keras"):
        registry.load_model(path)


def test_encoders_build_alone():
    encoder = registry.build_encoder("resnet", "resnet_18", output_stride=8, multi_grid=[1, 2])
    assert list(encoder.pyramid_outputs) == ["P1", "P2", "P3", "P4", "P5"]
    shapes = {level: tuple(tensor.shape) for level, tensor in encoder(np.zeros((1, 64, 64, 3))).items()}
    assert shapes["P5"] == (1, 8, 8, 512)
    assert encoder.output_stride == 8
    clone = registry.PyramidEncoder.from_config(encoder.get_config())
    assert clone.get_layer("stack3_block1_2_conv").dilation_rate == (8, 8)


def test_undeclared_default_weights_warn(small_preset):
    with pytest.warns(RegistryWarning, match="declares no weights"):
        registry.build(small_preset)


def test_encoder_weights_enter_by_name(tmp_path, small_preset):
    """A KerasHub ResNet directory fills the encoder; ASPP, decoder and classifier stay fresh and are listed."""
    from test_encoder_directory import write_encoder_directory

    source = registry.build(small_preset, weights=None)
    write_encoder_directory(tmp_path, source.backbone.image_encoder)
    small_preset["weights"] = {"encoder": str(tmp_path)}
    model = registry.build(small_preset)
    for layer in source.backbone.image_encoder.layers:
        for loaded, expected in zip(
            model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(loaded, expected)
    assert "segmentation_output" in model.weights_report.fresh
    assert "conv1_conv" in model.weights_report.loaded
    encoder = registry.build_encoder(
        "resnet", "resnet_custom", weights=tmp_path, **small_preset["encoder"]["options"]
    )
    assert encoder.weights_report.unused == ()
    with pytest.raises(ModelError, match="a handle, or the path of a file"):
        registry.build_encoder("resnet", "resnet_18", weights="imagenett")


def test_a_derived_preset_with_other_classes_keeps_the_backbone(small_preset):
    directory = Path(__file__).parent / "parity" / "keras_hub_presets" / "resnet_v1_segmenter"
    preset = registry.build(directory, weights=None).preset_config.model_dump(mode="json")
    preset |= {"num_classes": 2, "weights": {"segmentation": str(directory)}}
    with pytest.warns(RegistryWarning, match="other classes than its weights"):
        model = registry.build(preset)
    assert model.weights_report.fresh == ("segmentation_output",)
    assert registry.build(preset, num_classes=2).weights_report.fresh == ("segmentation_output",)
    with pytest.raises(WeightsMismatchError, match="segmentation_output"):
        registry.build(preset, weights=directory)


WRONG = [
    (KERAS_HUB.replace("pascal", "pascla"), {}, UnknownPresetError, KERAS_HUB),
    ({"encoder": {"plugin": "resnett"}}, {}, UnknownPluginError, "resnet"),
    ({"encoder": {"variant": "resnet_5O"}}, {}, UnknownEncoderError, "resnet_50"),
    ({"encoder": {"output_stride": 4}}, {}, ModelError, "8, 16, 32"),
    ({"encoder": {"output_stride": 12}}, {}, ConfigError, "4, 8, 16"),
    ({"encoder": {"options": {"multigrid": [1]}}}, {}, ConfigError, "multi_grid"),
    ({"architecture": {"dilation_rates": []}}, {}, ConfigError, "dilation_rates"),
    ({"architecture": {"dilation_rates": [-1]}}, {}, ConfigError, "dilation_rates"),
    ({"architecture": {"dilation_rates": [6.5]}}, {}, ConfigError, "dilation_rates"),
    ({"architecture": {"upsampling_size": 3}}, {}, ModelError, "16 ÷ 4"),
    ({"architecture": {"low_level_feature_key": "P7"}}, {}, ConfigError, "low_level_feature_key"),
    ({"architecture": {"projection_filter": 3}}, {}, ConfigError, "projection_filters"),
    ({}, {"num_classes": 0}, ConfigError, "num_classes"),
    ({}, {"num_classes": -1}, ConfigError, "num_classes"),
    ({}, {"num_classes": 2.0}, ConfigError, "num_classes"),
    ({}, {"num_classes": True}, ConfigError, "num_classes"),
    ({}, {"image_shape": (16, 16, 3)}, ModelError, "at least 32"),
    ({}, {"image_shape": (72, 64, 3)}, ModelError, "multiple of 16"),
    ({}, {"image_shape": (64, 0, 3)}, ConfigError, "image_shape"),
    ({}, {"image_shape": (64, 64, 1)}, ConfigError, "image_shape"),
    ({}, {"image_shape": (64, 64)}, ConfigError, "image_shape"),
    ({}, {"output_strides": 8}, ConfigError, "output_stride"),
]


def merged(base, change):
    return {
        **base,
        **{
            key: merged(base.get(key, {}), value) if isinstance(value, dict) else value
            for key, value in change.items()
        },
    }


@pytest.mark.parametrize(("change", "arguments", "error", "hint"), WRONG, ids=[str(row[:2]) for row in WRONG])
def test_wrong_presets_and_arguments(small_preset, change, arguments, error, hint):
    preset = merged(small_preset, change) if isinstance(change, dict) else change
    with pytest.raises(error) as caught:
        registry.build(preset, weights=None, **arguments)
    assert isinstance(caught.value, RegistryError)
    assert hint in str(caught.value)
    assert "received:" in str(caught.value)


def test_from_preset_refuses_another_class(small_preset):
    with pytest.raises(ModelError, match=r"DeepLabV3ImageSegmenter\.from_preset"):
        registry.PyramidEncoder.from_preset(small_preset, load_weights=False)


def test_presets_are_listed_on_each_class():
    assert KERAS_HUB in registry.DeepLabV3Backbone.presets
    assert set(registry.ImageSegmenter.presets) == set(registry.list_presets())
