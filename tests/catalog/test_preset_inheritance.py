import pytest
from preset_samples import MINIMAL

from registry.catalog import resolve
from registry.errors import ConfigError


def config(path):
    return resolve(path).config


def test_mappings_merge_and_own_values_win(write):
    write("base.yaml", MINIMAL + "license: MIT\ninput: {size: [64, 64], image_shape: [32, 32, 3]}\n")
    path = write("child.yaml", "extends: base\ninput: {size: [128, 96]}\n")
    resolved = config(path)
    assert resolved.input.size == (128, 96)
    assert resolved.input.image_shape == (32, 32, 3)
    assert resolved.license == "MIT"


def test_later_bases_win_over_earlier_ones(write):
    write("_base/a.yaml", "license: A\npaper: A\ndescription: A\n")
    write("_base/b.yaml", "license: B\npaper: B\n")
    path = write("child.yaml", MINIMAL + "extends: [_base/a, _base/b]\npaper: own\n")
    resolved = config(path)
    assert (resolved.description, resolved.license, resolved.paper) == ("A", "B", "own")


def test_lists_replace(write):
    write("base.yaml", MINIMAL.replace("plus}", "plus, dilation_rates: [1, 2, 3]}"))
    path = write("child.yaml", "extends: base\narchitecture: {dilation_rates: [4]}\n")
    assert config(path).architecture.dilation_rates == (4,)


def test_null_is_a_value_like_any_other(write):
    write("base.yaml", MINIMAL + "activation: softmax\n")
    assert config(write("child.yaml", "extends: base\nactivation: null\n")).activation is None


def test_an_inherited_section_cannot_be_nulled_by_accident(write):
    write("base.yaml", MINIMAL)
    with pytest.raises(ConfigError, match=r"child.yaml:2:9: `weights` must be a mapping"):
        resolve(write("child.yaml", "extends: base\nweights:\n"))


def test_a_file_inherits_from_built_in_presets_and_parts(write):
    path = write("mine.yaml", "extends: [deeplab_v3_plus_resnet50_pascalvoc, _base/output_stride_16]\n")
    assert config(path).encoder.output_stride == 16


def test_a_sibling_hides_a_built_in_preset(write):
    write("_base/resnet_50.yaml", MINIMAL.replace("resnet_50", "resnet_34"))
    assert config(write("mine.yaml", "extends: _base/resnet_50\n")).encoder.variant == "resnet_34"


def test_a_mapping_inherits_too():
    resolved = resolve({"extends": "deeplab_v3_plus_resnet50_pascalvoc", "encoder": {"output_stride": 8}})
    assert resolved.name == "inline"
    assert resolved.config.encoder.output_stride == 8
    assert resolved.origins["encoder", "output_stride"].kind == "inline"
    assert resolved.origins["encoder", "plugin"].kind == "file"


def test_a_preset_of_another_root_can_be_a_base(write, environment_root):
    (environment_root / "theirs.yaml").write_text(MINIMAL)
    assert config(write("mine.yaml", "extends: theirs\n")).num_classes == 2


def test_a_preset_of_a_plugin_can_be_a_base(write, plugins, tmp_path):
    from registry.catalog.roots import Root

    write("plugin/theirs.yaml", MINIMAL)
    plugins.append(Root(tmp_path / "plugin", "plugin 'x' of y", installed=True))
    assert config(write("mine.yaml", "extends: theirs\n")).num_classes == 2


def test_a_part_that_does_not_exist_asks_no_plugin(write, plugins):
    with pytest.raises(ConfigError, match="must name a preset or part that exists"):
        resolve(write("mine.yaml", "extends: _base/nothing\n"))
    assert plugins.asked == 0


def test_a_cycle_is_reported_with_its_chain(write):
    path = write("a.yaml", "extends: b\n")
    write("b.yaml", "extends: [_base/ok, c]\n")
    write("_base/ok.yaml", "license: MIT\n")
    write("c.yaml", "description: x\nextends: a\n")
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    assert "a → b → c → a" in str(caught.value)
    assert str(caught.value).startswith("c.yaml:2:10: ")


def test_a_cycle_below_the_preset_is_reported_without_it(write):
    path = write("top.yaml", "extends: a\n")
    write("a.yaml", "extends: b\n")
    write("b.yaml", "extends: a\n")
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    assert caught.value.received == "a → b → a"


def test_a_diamond_is_no_cycle_and_reads_its_base_once(write):
    write("base.yaml", MINIMAL)
    write("left.yaml", "extends: base\nlicense: L\n")
    write("right.yaml", "extends: base\npaper: R\n")
    resolved = resolve(write("top.yaml", "extends: [left, right]\n"))
    assert (resolved.config.license, resolved.config.paper) == ("L", "R")
    assert [path.stem for path in resolved.files] == ["top", "left", "base", "right"]


def test_a_wide_and_deep_lattice_costs_one_reading_per_file(write):
    write("p0.yaml", MINIMAL)
    for level in range(1, 15):
        write(f"p{level}.yaml", f"extends: [{', '.join([f'p{level - 1}'] * 16)}]\n")
    assert len(resolve(write("top.yaml", "extends: p14\n")).files) == 16


def test_a_chain_of_bases_has_a_bound(write):
    write("p0.yaml", MINIMAL)
    for level in range(1, 20):
        write(f"p{level}.yaml", f"extends: p{level - 1}\n")
    assert resolve("./p15.yaml").config.num_classes == 2
    with pytest.raises(ConfigError, match="at most 16 files deep"):
        resolve("./p16.yaml")


@pytest.mark.parametrize(
    "name", ["/etc/x", "a/../../x", "..", "~/x", "C:/x", "a\\b", "a//b", "./a", "a/", "", "a\n"]
)
def test_names_cannot_leave_the_root(name):
    with pytest.raises(ConfigError, match="name of a preset or part within a preset root"):
        resolve({"extends": name})


def test_links_cannot_leave_the_root(write, tmp_path):
    outside = write("outside/secret.yaml", MINIMAL)
    path = write("root/mine.yaml", "extends: link\n")
    (tmp_path / "root/link.yaml").symlink_to(outside)
    with pytest.raises(ConfigError, match=r"root/mine.yaml:1:10: `extends` must stay within"):
        resolve(path)


def test_linked_folders_cannot_leave_the_root(write, tmp_path):
    write("outside/secret.yaml", MINIMAL)
    path = write("root/mine.yaml", "extends: link/secret\n")
    (tmp_path / "root/link").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(ConfigError, match="must stay within"):
        resolve(path)


def test_links_within_the_root_are_fine(write, tmp_path):
    write("root/base.yaml", MINIMAL)
    path = write("root/mine.yaml", "extends: link\n")
    (tmp_path / "root/link.yaml").symlink_to(tmp_path / "root/base.yaml")
    assert config(path).num_classes == 2


class TestAChangedMeaningDropsWhatDependedOnIt:
    def test_architecture(self, write):
        path = write(
            "mine.yaml",
            """
            extends: deeplab_v3_plus_resnet50_pascalvoc
            architecture: {name: deeplab_v3}
            """,
        )
        architecture = config(path).architecture
        assert architecture.name == "deeplab_v3"
        assert architecture.dilation_rates == (6, 12, 18)
        assert not hasattr(architecture, "projection_filters")

    def test_own_keys_are_never_dropped(self, write):
        text = "extends: deeplab_v3_plus_resnet50_pascalvoc\narchitecture: {name: deeplab_v3, projection_filters: 3}\n"
        with pytest.raises(
            ConfigError, match=r"mine.yaml:2:\d+: `architecture` has no key `projection_filters`"
        ):
            resolve(write("mine.yaml", text))

    def test_an_unknown_architecture_is_an_error_about_its_name(self, write):
        text = "extends: deeplab_v3_plus_resnet50_pascalvoc\narchitecture: {name: deeplab}\n"
        with pytest.raises(ConfigError, match=r"mine.yaml:2:22: `architecture.name` must be one of"):
            resolve(write("mine.yaml", text))

    def test_encoder_plugin(self, write):
        base = "extends: deeplab_v3_resnet50_os16_pascalvoc\n"
        path = write("mine.yaml", base + "encoder: {plugin: mobilenet, variant: small}\n")
        encoder = config(path).encoder
        assert (encoder.plugin, encoder.variant, encoder.options) == ("mobilenet", "small", {})
        assert encoder.output_stride == 16

    def test_a_variant_does_not_survive_its_plugin(self, write):
        base = "extends: deeplab_v3_resnet50_os16_pascalvoc\n"
        with pytest.raises(ConfigError, match=r"`encoder.variant` is required"):
            resolve(write("mine.yaml", base + "encoder: {plugin: mobilenet}\n"))

    def test_another_variant_keeps_the_options(self, write):
        base = "extends: deeplab_v3_resnet50_os16_pascalvoc\n"
        path = write("mine.yaml", base + "encoder: {variant: resnet_101}\n")
        assert config(path).encoder.options == {"multi_grid": [1, 2, 4]}

    def test_number_of_classes(self, write):
        path = write("mine.yaml", "extends: deeplab_v3_resnet50_os16_pascalvoc\nnum_classes: 3\n")
        assert config(path).labels == ()

    def test_the_same_number_of_classes_keeps_the_labels(self, write):
        path = write("mine.yaml", "extends: deeplab_v3_resnet50_os16_pascalvoc\nnum_classes: 21\n")
        assert len(config(path).labels) == 21

    def test_own_labels_of_another_number_are_an_error(self, write):
        base = "extends: deeplab_v3_resnet50_os16_pascalvoc\n"
        with pytest.raises(ConfigError, match=r"mine.yaml:2:9: `labels` names 1 classes"):
            resolve(write("mine.yaml", base + "labels: [{name: a, color: [1, 2, 3]}]\n"))


def test_a_partial_decoder_keeps_the_defaults_of_its_architecture():
    v3 = {
        "encoder": {"plugin": "p", "variant": "v"},
        "architecture": {"name": "deeplab_v3"},
        "num_classes": 2,
    }
    v3["architecture"]["decoder"] = {"filters": 64}
    assert resolve(v3).config.architecture.decoder.convolutions == 0
    v3["architecture"]["name"] = "deeplab_v3_plus"
    decoder = resolve(v3).config.architecture.decoder
    assert (decoder.convolutions, decoder.kernel_size, decoder.filters) == (2, 3, 64)
