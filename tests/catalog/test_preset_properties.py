"""Properties that hold for any preset and any damage."""

import warnings

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.catalog import resolve
from registry.catalog.inheritance import inherit
from registry.catalog.origin import Origin
from registry.catalog.roots import builtin_root
from registry.catalog.source import parse
from registry.catalog.tree import deep_merge, from_python
from registry.errors import ConfigError, RegistryError

ANYWHERE = Origin("inline", line=1, column=1)
FILES = [path.read_bytes() for path in sorted(builtin_root().path.rglob("*.yaml"))]
LIGHT = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

keys = st.sampled_from(["a", "b", "c", "extends", "encoder", "name"])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
mappings = st.dictionaries(keys, values, max_size=4)
# As under a schema: a key holds either mappings or something else, never one here and the other there.
leaves = scalars | st.lists(scalars, max_size=2)
sections = st.recursive(
    st.dictionaries(st.sampled_from(["x", "y"]), leaves, max_size=2),
    lambda inner: st.builds(
        lambda flat, deep: {**flat, **deep},
        st.dictionaries(st.sampled_from(["x", "y"]), leaves, max_size=2),
        st.dictionaries(st.sampled_from(["section", "other"]), inner, max_size=2),
    ),
    max_leaves=8,
)

positive = st.integers(1, 64)
text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
word = text.filter(bool)
decoders = st.fixed_dictionaries(
    {},
    optional={
        "filters": positive,
        "convolutions": st.integers(0, 8),
        "kernel_size": st.sampled_from([1, 3, 5]),
    },
)
shared = {
    "upsampling_size": st.just("auto") | positive | st.tuples(positive, positive).map(list),
    "dilation_rates": st.just("auto") | st.lists(positive, min_size=1, max_size=4),
    "decoder": decoders,
    "batch_norm": st.fixed_dictionaries(
        {}, optional={"epsilon": st.floats(1e-9, 1.0), "momentum": st.floats(0, 0.999)}
    ),
}
architectures = st.fixed_dictionaries(
    {"name": st.just("deeplab_v3")}, optional=shared
) | st.fixed_dictionaries(
    {"name": st.just("deeplab_v3_plus")}, optional={**shared, "projection_filters": positive}
)
configs = st.fixed_dictionaries(
    {
        "encoder": st.fixed_dictionaries(
            {"plugin": word, "variant": word},
            optional={
                "output_stride": st.sampled_from([4, 8, 16, 32]),
                "options": st.dictionaries(text, scalars | st.lists(scalars, max_size=2), max_size=3),
            },
        ),
        "architecture": architectures,
        "num_classes": positive,
    },
    optional={
        "description": text,
        "activation": st.sampled_from(["softmax", "sigmoid", None]),
        "ignore_label": st.integers(0, 255),
    },
)


def tree(value):
    return from_python(value, ANYWHERE)


def merged(*layers):
    result = tree(layers[0])
    for layer in layers[1:]:
        result = deep_merge(result, tree(layer))
    return result.plain()


@given(sections, sections, sections)
@LIGHT
def test_merging_is_associative(a, b, c):
    assert (
        deep_merge(deep_merge(tree(a), tree(b)), tree(c)).plain()
        == deep_merge(tree(a), deep_merge(tree(b), tree(c))).plain()
    )


@given(mappings)
@LIGHT
def test_the_empty_preset_changes_nothing_and_merging_repeats(a):
    assert merged(a, {}) == merged({}, a) == merged(a, a) == a


@given(mappings, mappings)
@LIGHT
def test_own_values_win_and_the_rest_is_inherited(base, own):
    def check(result, base, own):
        for key in {*base, *own}:
            if key in own and key in base and isinstance(own[key], dict) and isinstance(base[key], dict):
                check(result[key], base[key], own[key])
            else:
                assert result[key] == (own[key] if key in own else base[key])
        assert set(result) == {*base, *own}

    check(merged(base, own), base, own)


@given(configs, configs)
@LIGHT
def test_a_config_laid_over_any_other_keeps_all_it_says(base, own):
    result = inherit(tree(base), tree(own)).plain()
    assert deep_merge(tree(result), tree(own)).plain() == result
    resolve(result)  # a valid preset over a valid preset is a valid preset


@given(configs)
@LIGHT
def test_a_mapping_its_yaml_and_its_printed_form_are_one_preset(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("round_trip")
    direct = resolve(config)
    written = folder / "written.yaml"
    written.write_text(yaml.safe_dump(config), encoding="utf-8")
    printed = folder / "printed.yaml"
    printed.write_text(str(direct), encoding="utf-8")
    assert resolve(written).config == direct.config
    assert resolve(printed).config == direct.config
    assert resolve(direct.to_dict()["config"]).config == direct.config


@given(mappings)
@LIGHT
def test_any_mapping_is_a_preset_or_an_error_of_ours(value):
    try:
        resolve(value)
    except RegistryError as error:
        assert str(error)


@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4), st.integers(0, 6)), max_size=6),
)
@LIGHT
def test_any_damage_to_a_file_is_an_error_of_ours(tmp_path_factory, data, damages):
    for position, inserted, removed in damages:
        at = position % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    path = tmp_path_factory.mktemp("damaged") / "damaged.yaml"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            resolve(path)
        except RegistryError as error:
            assert "received:" in str(error)


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@, \n\t?~<=.0123456789"), max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_tree_or_a_located_error(source):
    try:
        parse(source, ANYWHERE)
    except ConfigError as error:
        assert "repair:" in str(error)
