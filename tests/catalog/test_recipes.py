"""Recipes: as located and as strict as presets, and resolved together with the preset that they train."""

import json

import pytest

import registry
from registry.catalog import resolve_recipe, roots
from registry.errors import CatalogError, ConfigError, UnknownRecipeError

MINIMAL = {
    "preset": "deeplab_v3_plus_resnet50_os16_pascalvoc",
    "crop": [64, 64],
    "steps": 10,
    "data": {"train": {"reader": "digits", "split": "train", "count": 8}},
}


def changed(**values):
    return {**MINIMAL, **values}


def test_a_recipe_carries_its_whole_preset():
    resolved = resolve_recipe(MINIMAL)
    assert resolved.config.preset["encoder"]["variant"] == "resnet_50"
    assert resolved.preset.config.num_classes == 21
    assert resolved.preset.name == MINIMAL["preset"]
    assert resolved.origins["preset", "num_classes"].file.name == "pascal_voc.yaml"
    again = resolve_recipe(resolved.config.model_dump(mode="json"))
    assert again.config == resolved.config
    assert again.preset.config == resolved.preset.config


def test_a_recipe_file_trains_the_preset_beside_it(write):
    write("mine.yaml", "extends: deeplab_v3_plus_resnet50_os16_pascalvoc\nnum_classes: 3")
    recipe = """
        preset: {preset}
        crop: [64, 64]
        epochs: 2.5
        data:
          train: {{reader: folder, root: pictures}}
    """
    by_path = write("a.yaml", recipe.format(preset="./mine.yaml"))
    by_name = write("b.yaml", recipe.format(preset="mine"))
    inline = write("c.yaml", recipe.format(preset="{extends: mine, num_classes: 4}"))
    assert resolve_recipe(by_path).preset.config.num_classes == 3
    assert resolve_recipe(str(by_name)).preset.config.num_classes == 3
    resolved = resolve_recipe(inline)
    assert resolved.preset.config.num_classes == 4
    assert resolved.config.epochs == 2.5
    assert resolved.origins["preset", "num_classes"].line == 2
    assert [path.name for path in resolved.files][:2] == ["c.yaml", "mine.yaml"]


def test_another_optimizer_or_reader_replaces_the_inherited_section(write):
    write(
        "base.yaml",
        """
        preset: deeplab_v3_plus_resnet50_os16_pascalvoc
        crop: [64, 64]
        steps: 5
        optimizer: {name: sgd, nesterov: true}
        learning_rate: {peak: 0.1, warmup: 2}
        data:
          train: {reader: pascal_voc, root: voc, split: train}
        """,
    )
    own = write(
        "own.yaml",
        """
        extends: base
        optimizer: {name: adamw}
        learning_rate: {peak: 0.2}
        data:
          train: {reader: folder, root: mine}
        """,
    )
    config = resolve_recipe(own).config
    assert config.optimizer.name == "adamw"
    assert (config.learning_rate.peak, config.learning_rate.warmup) == (0.2, 2)
    assert config.data.train.reader == "folder"
    assert config.data.train.split is None


def test_overrides_reach_recipe_and_preset():
    overrides = {"optimizer.momentum": 0.5, "peak": 0.02, "preset.output_stride": 8, "preset.num_classes": 4}
    resolved = resolve_recipe(MINIMAL, overrides=overrides)
    assert resolved.config.optimizer.momentum == 0.5
    assert resolved.config.learning_rate.peak == 0.02
    assert resolved.preset.config.encoder.output_stride == 8
    assert resolved.preset.config.labels == ()  # of 21 classes
    assert resolved.origins["learning_rate", "peak"].kind == "override"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": None}, r"`preset` must be a name, a path or a mapping\n  received: null"),
        ({"preset": "deeplab_v4"}, r"`extends` must name a preset or part that exists"),
        ({"preset": {"extends": "_base/resnet_50"}}, r"`architecture` is required"),
        ({"crop": [64]}, r"`crop` must be a list of 2 values"),
        ({"steps": None}, r"the length of a run is given by `steps` or by `epochs`"),
        ({"epochs": 2.0}, r"the length of a run is given by `steps` or by `epochs`"),
        ({"optimiser": {}}, r"a recipe has no key `optimiser`\n.*\n.*did you mean 'optimizer'"),
        ({"optimizer": {"name": "adam"}}, r"`optimizer.name` must be one of .*\n.*\n.*'adamw'"),
        ({"losses": []}, r"`losses` names at least one loss"),
        ({"losses": [{"name": "dice", "gamma": 2.0}]}, r"`losses\[0\]` has no key `gamma`"),
        ({"early_stopping": {"patience": 3}}, r"`early_stopping` needs `data.validation`"),
        (
            {"optimizer": {"name": "adamw"}, "learning_rate": {"head_factor": 10.0}},
            r"`head_factor` scales gradients, which `adamw` normalizes away",
        ),
        ({"augmentation": {"scale": [2.0, 0.5]}}, r"`scale` is a range, smallest factor first"),
        ({"data": {"train": {"reader": "voc"}}}, r"`data.train.reader` must be one of"),
        (
            {"data": {"train": {"reader": "ade20k", "root": "x", "split": "test"}}},
            r"`data.train.split` must be one of `train`, `val`",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_rule(values, message):
    with pytest.raises(ConfigError, match=message):
        resolve_recipe(changed(**values))


def test_a_wrong_value_is_told_with_its_line(write):
    path = write(
        "mine.yaml",
        """
        preset: deeplab_v3_plus_resnet50_os16_pascalvoc
        crop: [64, 64]
        steps: many
        data: {train: {reader: digits, split: train, count: 1}}
        """,
    )
    with pytest.raises(ConfigError, match=r"mine.yaml:4:8: `steps` must be a positive integer or null"):
        resolve_recipe(path)
    write("mine.yaml", "preset: [1]\nstep: 3")
    with pytest.raises(ConfigError, match=r"mine.yaml:1:9: `preset` must be"):
        resolve_recipe(path)


def test_unknown_recipes_and_files_are_called_recipes(write):
    with pytest.raises(UnknownRecipeError, match="did you mean 'deeplab_v3_plus_resnet50_os16_pascalvoc'"):
        resolve_recipe("deeplab_v3_plus_resnet50_pascal")
    with pytest.raises(CatalogError, match="a recipe file must exist"):
        resolve_recipe("./nowhere.yaml")
    with pytest.raises(CatalogError, match=r"list_recipes\(\)"):
        resolve_recipe(3)
    with pytest.raises(ConfigError, match=r"a recipe file must hold a mapping(.|\n)*write `preset:`"):
        resolve_recipe(write("empty.yaml", ""))


def test_roots_hold_recipes_in_a_folder_of_their_own(environment_root):
    (environment_root / "recipes").mkdir()
    recipe = environment_root / "recipes" / "mine.yaml"
    recipe.write_text(json.dumps({**MINIMAL, "preset": "tiny"}))
    (environment_root / "tiny.yaml").write_text(
        "extends: deeplab_v3_plus_resnet50_os16_pascalvoc\nnum_classes: 2"
    )
    assert "mine" in registry.list_recipes()
    assert "mine" not in registry.list_presets()
    assert resolve_recipe("mine").preset.config.num_classes == 2


@pytest.mark.parametrize("name", registry.list_recipes())
def test_shipped_recipes_are_valid(name):
    resolved = resolve_recipe(name)
    assert resolved.config.description
    multiple = resolved.preset.config.encoder.output_stride
    assert all(side % multiple == 0 for side in resolved.config.crop)


def test_the_builtin_root_of_recipes_exists():
    assert roots.builtin_root("recipe").path.is_dir()
