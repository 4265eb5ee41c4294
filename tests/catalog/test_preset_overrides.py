import pytest

from registry.catalog import describe, resolve
from registry.errors import ConfigError

PRESET = "deeplab_v3_plus_resnet50_pascalvoc"


def config(**overrides):
    return resolve(PRESET, overrides=overrides).config


def test_a_unique_name_reaches_its_key():
    changed = config(output_stride=8, dilation_rates=(12, 24, 36), variant="resnet_101", dropout=0.1)
    assert (changed.encoder.output_stride, changed.encoder.variant) == (8, "resnet_101")
    assert changed.architecture.dilation_rates == (12, 24, 36)
    assert changed.architecture.aspp.dropout == 0.1


def test_a_dotted_path_reaches_its_key():
    changed = config(**{"encoder.output_stride": 8, "architecture.decoder.filters": 64})
    assert changed.encoder.output_stride == 8
    assert changed.architecture.decoder.filters == 64
    assert changed.architecture.decoder.kernel_size == 1


def test_a_section_merges():
    changed = config(encoder={"output_stride": 8}, aspp={"filters": 64})
    assert (changed.encoder.output_stride, changed.encoder.variant) == (8, "resnet_50")
    assert (changed.architecture.aspp.filters, changed.architecture.aspp.image_pooling) == (64, True)


def test_a_top_level_key_comes_before_a_leaf_of_that_name():
    # `encoder` is also the last name of `weights.encoder`.
    with pytest.raises(ConfigError, match="override encoder: `encoder` must be a mapping"):
        config(encoder="imagenet")
    assert config(**{"weights.encoder": "imagenet21k"}).weights.encoder == "imagenet21k"


def test_options_of_the_encoder_are_free_until_the_plugin_sees_them():
    assert config(**{"encoder.options.multi_grid": (1, 2, 4)}).encoder.options == {"multi_grid": [1, 2, 4]}
    assert config(options={"any": {"thing": [1]}}).encoder.options == {"any": {"thing": [1]}}


def test_none_is_a_value():
    assert resolve(PRESET, overrides={"activation": "softmax"}).config.activation == "softmax"
    assert config(activation=None).activation is None


def test_no_overrides_change_nothing():
    assert (
        resolve(PRESET, overrides={}).config
        == resolve(PRESET, overrides=None).config
        == resolve(PRESET).config
    )


def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    changed = config(num_classes=numpy.int64(5), dropout=numpy.float32(0.5))
    assert (changed.num_classes, changed.architecture.aspp.dropout) == (5, 0.5)
    assert type(changed.num_classes) is int


def test_another_number_of_classes_drops_the_labels():
    changed = config(num_classes=5)
    assert (changed.num_classes, changed.labels) == (5, ())
    assert len(config(num_classes=21).labels) == 21


def test_labels_that_are_given_too_stay_whatever_the_order():
    labels = [{"name": "a", "color": (0, 0, 0)}, {"name": "b", "color": (1, 1, 1)}]
    for overrides in ({"num_classes": 2, "labels": labels}, {"labels": labels, "num_classes": 2}):
        assert len(resolve(PRESET, overrides=overrides).config.labels) == 2


def test_labels_of_another_number_are_an_error_of_the_override():
    with pytest.raises(
        ConfigError, match=r"^override labels: `labels` names 1 classes, but `num_classes` is 21"
    ):
        config(labels=[{"name": "a", "color": (0, 0, 0)}])


def test_another_architecture_drops_inherited_keys_but_not_overrides():
    assert config(architecture={"name": "deeplab_v3"}).architecture.name == "deeplab_v3"
    for overrides in (
        {"architecture.name": "deeplab_v3", "projection_filters": 4},
        {"projection_filters": 4, "architecture.name": "deeplab_v3"},
    ):
        with pytest.raises(ConfigError, match=r"^override projection_filters: `architecture` has no key"):
            resolve(PRESET, overrides=overrides)


def test_origins_say_override_and_its_name():
    origins = describe(PRESET, output_stride=8, aspp={"filters": 64}).origins
    assert str(origins["encoder", "output_stride"]) == "override output_stride"
    assert str(origins["architecture", "aspp", "filters"]) == "override aspp"
    assert origins["architecture", "aspp", "image_pooling"].kind == "file"


WRONG = [
    (
        {"output_stride": 7},
        "override output_stride: `encoder.output_stride` must be one of 4, 8, 16, 32",
        "7",
    ),
    ({"num_classes": 0}, "override num_classes: `num_classes` must be a positive integer", "0"),
    ({"num_classes": 2.0}, "override num_classes: `num_classes` must be a positive integer", "write 2"),
    ({"num_classes": True}, "override num_classes: `num_classes` must be a positive integer", "true"),
    (
        {"dilation_rates": [6, 0]},
        "override dilation_rates: `architecture.dilation_rates[1]` must be a positive",
        "0",
    ),
    ({"filters": 3}, "`architecture.aspp.filters` or `architecture.decoder.filters`", "write the full path"),
    ({"separable": True}, "`architecture.aspp.separable` or `architecture.decoder.separable`", "full path"),
    ({"outputstride": 8}, "must name a key of the schema", "did you mean 'output_stride'"),
    ({"multi_grid": [1]}, "must name a key of the schema", "encoder.options.multi_grid"),
    ({"encoder.outputstride": 8}, "`encoder` has no key `outputstride`", "did you mean 'output_stride'?"),
    ({"encodr.output_stride": 8}, "a preset has no key `encodr`", "did you mean 'encoder'"),
    ({"encoder..plugin": "x"}, "`encoder` has no key ``", "choose one of"),
    ({"labels.0.name": "x"}, "`labels` has no key `0`", "as a whole"),
    ({"num_classes.x": 1}, "`num_classes` has no key `x`", "as a whole"),
    ({"extends": "x"}, "`extends` cannot be overridden", "as the preset"),
    ({"": 1}, "must be a string", "''"),
    ({3: 1}, "must be a string", "3"),
    ({"dropout": float("nan")}, "a number must be finite", "NaN"),
    ({"epsilon": float("inf")}, "a number must be finite", "Infinity"),
    ({"num_classes": 2**70}, "64 bits", str(2**70)),
    ({"dropout": object()}, "must be a string, number, boolean, None, list or mapping", "object: <object"),
    ({"encoder": {1: 2}}, "every key of `encoder` must be a string", "1"),
    ({"labels": {"a": 1}}, "`labels` must be a list, each value a mapping", '{"a": 1}'),
    ({"size": {512, 513}}, "must be a string, number, boolean, None, list or mapping", "set: "),
]


@pytest.mark.parametrize(("overrides", "rule", "phrase"), WRONG)
def test_a_wrong_override_is_named(overrides, rule, phrase):
    with pytest.raises(ConfigError) as caught:
        resolve(PRESET, overrides=overrides)
    message = str(caught.value)
    assert message.startswith("override ")
    assert rule in message
    assert phrase in message
    assert "repair:" in message


def test_a_structure_that_contains_itself_is_refused():
    endless = {}
    endless["options"] = endless
    with pytest.raises(ConfigError, match="32 levels"):
        config(encoder=endless)


def test_a_structure_that_grows_when_written_out_is_refused():
    grown = [1]
    for _ in range(20):
        grown = [grown] * 9
    with pytest.raises(ConfigError, match="10,000 values"):
        config(**{"encoder.options.x": grown})


def test_inline_presets_name_themselves():
    with pytest.raises(ConfigError, match=r"^inline preset: `num_classes` must be a positive integer"):
        resolve({"extends": PRESET, "num_classes": -1})
