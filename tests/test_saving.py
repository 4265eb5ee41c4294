"""A model becomes a folder and comes back from it: the same bits, the same outputs, the same file for a phone."""

import copy
import errno
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_networks import SMALL_PRESET, randomize

import registry
from registry.backend import keras
from registry.discovery import find_encoder
from registry.errors import (
    ConfigError,
    ModelError,
    OutputPathError,
    RegistryWarning,
    WeightsError,
    WeightsFormatError,
    WeightsMismatchError,
    WeightsUnavailableError,
)
from registry.models.segmenter import PyramidSegmenter
from registry.weights.opening import open_weights

LABELS = [
    {"name": name, "color": [40 * index, 0, 255]}
    for index, name in enumerate(["wald", "see", "haus|hof", "himmel", "ö"])
]
PRESET = SMALL_PRESET | {
    "description": "Five classes.\nOf nothing.",
    "license": "CC-BY-4.0",
    "paper": "arXiv:1802.02611",
    "labels": LABELS,
    "input": {"size": [64, 96], "normalization": {"scale": [1 / 58.395, 1 / 57.12, 0.1], "offset": [-2.1, -2, 1e-7]}},
    "evaluation": [{"dataset": "of the base", "mean_iou": 0.9, "source": "its authors"}],
    "weights": {"segmentation": "elsewhere.h5", "encoder": "imagenet"},
}  # fmt: skip
METRICS = {
    "dataset": "held out",
    "mean_iou": np.float32(0.5),
    "pixel_accuracy": 0.75,
    "iou": [1, None, 0.25, 0.5, 0.25],
    "pixels": np.int64(1234),
}


def images(*size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, *size, 3)).astype(np.uint8)


def build(preset, **arguments):
    return registry.build(copy.deepcopy(preset), weights=None, **arguments)


def assert_same_weights(loaded, model):
    assert [variable.name for variable in loaded.weights] == [variable.name for variable in model.weights]
    for variable, other in zip(loaded.weights, model.weights, strict=True):
        assert variable.numpy().tobytes() == other.numpy().tobytes()


def assert_same(loaded, model):
    assert_same_weights(loaded, model)
    assert loaded.predict(images(64, 96)).tobytes() == model.predict(images(64, 96)).tobytes()


def by_hand(model, classes=5):
    """Another segmenter on the backbone of a model, with that model's preset: cheap, and free to be changed."""
    other = registry.DeepLabV3ImageSegmenter(model.backbone, num_classes=classes)
    other.set_preset_config(model.preset_config)
    return other


@pytest.fixture(scope="module")
def model():
    return randomize(build(PRESET))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The folder; not to be changed."""
    return registry.save_preset(
        model, tmp_path_factory.mktemp("my presets") / "Wald und Höfe", metrics=METRICS
    )


@pytest.fixture
def copied(saved, tmp_path):
    """The folder, to be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "copied"))


class TestRoundTrip:
    def test_every_bit_of_weights_and_outputs(self, model, saved):
        loaded = registry.load(saved)
        assert type(loaded) is type(model)
        assert loaded.name == model.name
        assert_same(loaded, model)
        report = loaded.weights_report
        assert report.source == str(saved / "model.safetensors")
        assert (report.fresh, report.unused) == ((), ())
        assert set(report.loaded) == {layer.name for layer in model.layers if layer.weights}
        assert (loaded.labels[2], loaded.palette[1]) == ("haus|hof", (40, 0, 255))

    def test_exporting_it_makes_the_same_file(self, tmp_path):
        """Names that Keras counts up start anew for each, as in a process that builds nothing else."""
        contents = []
        for step in ("original", "loaded"):
            keras.backend.clear_session()
            if step == "original":
                model = randomize(build(PRESET))
                registry.save_preset(model, tmp_path / "saved")
            else:
                model = registry.load(tmp_path / "saved")
            registry.export(model, tmp_path / "model.tflite")
            contents.append((tmp_path / "model.tflite").read_bytes())
        assert contents[0] == contents[1]

    def test_saving_what_was_loaded_writes_the_same_files(self, saved, tmp_path):
        again = registry.save_preset(registry.load(saved), tmp_path / saved.name, metrics=METRICS)
        for name in ("preset.yaml", "model.safetensors", "README.md"):
            assert (again / name).read_bytes() == (saved / name).read_bytes()

    @pytest.mark.parametrize(
        ("plugin", "variant"),
        [
            ("cspnet", "cspnet_custom"),
            ("densenet", "densenet_custom"),
            ("mit", "mit_custom"),
        ],
    )
    def test_other_encoders(self, plugin, variant, tmp_path):
        options = find_encoder(plugin, variant)[1].options.model_config.get("json_schema_extra") or {}
        preset = {
            "encoder": {"plugin": plugin, "variant": variant, "options": options.get("examples", [{}])[0]},
            "architecture": {"name": "lr_aspp", "filters": 8},
            "num_classes": 3,
            "activation": "softmax",
        }
        model = randomize(build(preset))
        assert_same(registry.build(registry.save_preset(model, tmp_path / variant)), model)

    def test_other_classes_leave_the_classifier_fresh(self, model, saved):
        loaded = registry.load(saved, num_classes=3)
        assert loaded.weights_report.fresh == ("segmentation_output",)
        assert loaded.labels == ()
        np.testing.assert_array_equal(
            loaded.get_layer("conv1_conv").get_weights()[0], model.get_layer("conv1_conv").get_weights()[0]
        )

    def test_from_preset_gives_each_class(self, model, saved):
        assert_same_weights(registry.DeepLabV3ImageSegmenter.from_preset(saved), model)
        backbone = registry.DeepLabV3Backbone.from_preset(str(saved))
        x = np.zeros((1, 64, 96, 3), np.float32)
        np.testing.assert_array_equal(backbone(x), model.backbone(x))
        with pytest.raises(ModelError, match=r"DeepLabV3ImageSegmenter\.from_preset"):
            registry.PyramidSegmenter.from_preset(saved, load_weights=False)

    def test_its_encoder_starts_another_model(self, model, saved):
        """A head of another kind on the encoder that was trained; what else the folder holds is said to be unused."""
        preset = SMALL_PRESET | {"architecture": {"name": "lr_aspp", "filters": 8}}
        other = registry.build(preset, encoder_weights=saved)
        assert "aspp_conv_1" in other.weights_report.unused
        assert any(name.startswith("segmentation_output") for name in other.weights_report.fresh)
        for layer in model.encoder.layers:
            for value, expected in zip(
                other.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            ):
                np.testing.assert_array_equal(value, expected)

    def test_its_weights_enter_any_preset_that_fits(self, model, saved):
        assert_same_weights(registry.build(PRESET, weights=saved), model)
        file = open_weights(saved / "model.safetensors")
        assert (file.kind, set(file.arrays)) == ("saved", set(open_weights(saved).arrays))
        with pytest.raises(WeightsMismatchError, match="segmentation_output/kernel"):
            registry.build(SMALL_PRESET | {"num_classes": 2}, weights=saved / "model.safetensors")

    def test_a_preset_that_extends_it_inherits_its_weights(self, model, saved, tmp_path):
        shutil.copytree(saved, tmp_path / "base")
        path = tmp_path / "mine.yaml"
        path.write_text("extends: base\ndescription: Mine.\n")
        loaded = registry.load(path)
        assert (loaded.name, loaded.preset_config.description) == ("mine", "Mine.")
        assert_same_weights(loaded, model)

    def test_a_preset_of_the_catalog_ships_its_weights(self, model, saved, tmp_path, monkeypatch):
        (tmp_path / "weights").mkdir()
        shutil.copy(saved / "model.safetensors", tmp_path / "weights" / "forest.safetensors")
        text = (saved / "preset.yaml").read_text(encoding="utf-8")
        text = text.replace("model.safetensors", "weights/forest.safetensors")
        (tmp_path / "forest.yaml").write_text(text, encoding="utf-8")
        monkeypatch.setenv("ATROUS_PRESET_PATH", str(tmp_path))
        loaded = registry.load("forest")
        assert loaded.name == "forest"
        assert_same_weights(loaded, model)

    def test_a_model_of_keras_hub_is_saved_as_ours(self, tmp_path):
        source = Path(__file__).parent / "parity" / "keras_hub_presets" / "resnet_v1_segmenter"
        model = registry.build(source)
        loaded = registry.load(registry.save_preset(model, tmp_path / "ours"))
        assert_same(loaded, model)
        assert loaded.preset_config.description == "KerasHub preset resnet_v1_segmenter"

    def test_where_it_lies_and_what_it_is_called_change_nothing(self, model, copied, monkeypatch):
        """Nor does a folder that cannot be written to."""
        for path in (*copied.iterdir(), copied):
            path.chmod(0o555)
        monkeypatch.chdir(copied.parent)
        try:
            loaded = registry.build("copied")
        finally:
            copied.chmod(0o755)
        assert loaded.name == model.name
        assert_same_weights(loaded, model)
        (copied / "model.safetensors").unlink()
        assert registry.build("copied", weights=None).name == "copied"

    def test_half_the_size(self, model, saved, tmp_path):
        small = registry.save_preset(model, tmp_path / "small", dtype="float16")
        sizes = [(folder / "model.safetensors").stat().st_size for folder in (small, saved)]
        assert 0.5 < sizes[0] / sizes[1] < 0.65  # vectors stay, and so does the header
        assert "11 significant bits" in (small / "README.md").read_text(encoding="utf-8")
        loaded = registry.load(small)
        for variable, other in zip(loaded.weights, model.weights, strict=True):
            np.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=2**-11, atol=2**-25)


class TestPreset:
    def test_it_says_all_and_extends_nothing(self, model, saved):
        config = registry.describe(saved).config
        original = model.preset_config
        assert config.encoder.options["stackwise_num_strides"] is None  # a default, written out
        assert config.input.normalization.model_dump() == {
            "scale": (1 / 58.395, 1 / 57.12, 0.1), "offset": (-2.1, -2.0, 1e-7)
        }  # fmt: skip
        assert config.weights.model_dump() == {"segmentation": "model.safetensors", "encoder": None}
        assert [entry.model_dump() for entry in config.evaluation] == [
            {"dataset": "held out", "mean_iou": 0.5, "source": "as given to registry.save_preset"}
        ]
        changed = {"encoder", "input", "weights", "evaluation"}
        assert config.model_dump(exclude=changed) == original.model_dump(exclude=changed)
        assert config.encoder.model_dump(exclude={"options"}) == original.encoder.model_dump(
            exclude={"options"}
        )
        assert config.input.size == original.input.size
        assert registry.describe(saved).files == (saved / "preset.yaml",)

    def test_other_yaml_readers_see_the_same(self, saved):
        plain = yaml.safe_load((saved / "preset.yaml").read_text(encoding="utf-8"))
        assert plain == registry.describe(saved).config.model_dump(mode="json")

    def test_the_encoders_normalization_is_written_in_numbers(self, tmp_path, small_model):
        folder = registry.save_preset(small_model, tmp_path / "a")
        assert registry.describe(folder).config.input.normalization.model_dump() == {
            "scale": small_model.preprocessor.scale, "offset": small_model.preprocessor.offset
        }  # fmt: skip

    def test_what_is_said_of_the_weights_can_be_replaced(self, model, tmp_path):
        registry.save_preset(model, tmp_path / "a", description="Trained.", license="", metrics=[])
        config = registry.describe(tmp_path / "a").config
        assert (config.description, config.license, config.evaluation) == ("Trained.", "", ())

    def test_what_training_left_in_the_preprocessor_is_kept(self, small_model, tmp_path):
        model = by_hand(small_model)
        for scale, preprocessor in ((0.25, registry.SegmentationPreprocessor(scale=0.25)), (1.0, None)):
            model.preprocessor = preprocessor
            registry.save_preset(model, tmp_path / str(scale))
            stated = registry.describe(tmp_path / str(scale)).config.input.normalization
            assert (stated.scale, stated.offset) == (scale, 0.0)


class TestCard:
    @pytest.fixture
    def card(self, saved):
        return (saved / "README.md").read_text(encoding="utf-8")

    def test_front_matter_is_what_hubs_expect(self, card):
        _, front, _ = card.split("---\n", 2)
        assert yaml.safe_load(front) == {
            "library_name": "atrous",
            "license": "cc-by-4.0",
            "pipeline_tag": "image-segmentation",
            "tags": [
                "image-segmentation", "semantic-segmentation", "tensorflow", "tf-keras", "tflite",
                "deeplab_v3_plus", "resnet_custom",
            ],
            "metrics": ["mean_iou"],
        }  # fmt: skip

    def test_it_says_what_the_model_is(self, card, model):
        for text in (
            "# Wald und Höfe",
            "Five classes.",
            "[arXiv:1802.02611](https://arxiv.org/abs/1802.02611)",
            "'resnet_custom' of plugin 'resnet' (atrous ",
            f"| Parameters | {model.count_params():,} |",
            "made for 64×96 pixels (height × width); the graph takes multiples of 16×16",
            "pixel × [0.0171248, 0.017507, 0.1] + [-2.1, -2, 1e-07]",
            'registry.load("Wald und Höfe")',
            "| 2 | haus\\|hof | 80, 0, 255 | 0.2500 |",
            "| 1 | see | 40, 0, 255 | – |",
            "| held out | 0.5000 | 0.7500 | 1,234 | as given to registry.save_preset |",
        ):
            assert text in card
        assert "of the base" not in card

    def test_its_python_uses_public_names(self, card):
        (block,) = [part.split("```")[0] for part in card.split("```python\n")[1:]]
        compile(block, "README.md", "exec")
        assert "registry.load(" in block

    def test_words_and_notes_are_added_and_nothing_is_claimed(self, small_model, tmp_path):
        folder = registry.save_preset(
            small_model,
            tmp_path / "a",
            license="LicenseRef-Mine",
            tags=["drone"],
            notes="## Training\n\nBy hand.",
        )
        card = (folder / "README.md").read_text(encoding="utf-8")
        front = yaml.safe_load(card.split("---\n")[1])
        assert (front["license"], front["license_name"]) == ("other", "LicenseRef-Mine")
        assert front["tags"][-1] == "drone"
        assert card.endswith("## Training\n\nBy hand.\n")
        assert "## Metrics" not in card
        assert "| 0 | not stated |" in card


class TestFolder:
    def test_nothing_else_is_written(self, saved):
        assert sorted(path.name for path in saved.iterdir()) == [
            "README.md",
            "model.safetensors",
            "preset.yaml",
        ]
        assert [path.name for path in saved.parent.iterdir()] == [saved.name]

    def test_a_saved_preset_is_replaced_only_if_that_is_asked_for(self, small_model, copied):
        before = (copied / "preset.yaml").read_bytes()
        with pytest.raises(OutputPathError, match="overwrite=True"):
            registry.save_preset(small_model, copied)
        assert (copied / "preset.yaml").read_bytes() == before
        registry.save_preset(small_model, copied, overwrite=True)
        assert registry.describe(copied).config.labels == ()

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_another_folder_is_never_replaced(self, small_model, copied, tmp_path, overwrite):
        (copied / "notes.txt").write_text("mine")
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "a.jpg").write_bytes(b"jpg")
        (tmp_path / "link").symlink_to(copied)
        (tmp_path / "file").write_bytes(b"kept")
        for name in ("copied", "photos", "link", "file"):
            with pytest.raises(OutputPathError):
                registry.save_preset(small_model, tmp_path / name, overwrite=overwrite)
        assert (copied / "notes.txt").read_text() == "mine"
        assert (tmp_path / "photos" / "a.jpg").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copied", "file", "link", "photos"]

    def test_an_empty_folder_is_filled(self, small_model, tmp_path):
        (tmp_path / "a").mkdir()
        assert registry.save_preset(small_model, tmp_path / "a") == tmp_path / "a"
        with pytest.raises(OutputPathError, match="must exist"):
            registry.save_preset(small_model, tmp_path / "absent" / "a")

    def test_a_full_disk_leaves_nothing(self, small_model, tmp_path):
        """A limit on the size of files, which the system itself holds us to."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, limits[1]))
        try:
            with pytest.raises(OutputPathError, match="must have room"):
                registry.save_preset(small_model, tmp_path / "a")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["preset.yaml", "model.safetensors", "README.md"])
    def test_a_failure_at_any_file_leaves_what_was_there(self, small_model, copied, monkeypatch, name):
        before = {path.name: path.read_bytes() for path in copied.iterdir()}
        for method in ("write_text", "write_bytes"):
            original = getattr(Path, method)

            def write(path, *arguments, original=original, **options):
                if path.name == name:
                    raise PermissionError(errno.EACCES, "Permission denied")
                return original(path, *arguments, **options)

            monkeypatch.setattr(Path, method, write)
        with pytest.raises(PermissionError):
            registry.save_preset(small_model, copied, overwrite=True)
        assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
        assert [path.name for path in copied.parent.iterdir()] == ["copied"]


class TestRefusals:
    def test_models_built_by_hand(self, small_model, tmp_path):
        backbone = small_model.backbone
        bare = registry.DeepLabV3ImageSegmenter(backbone, num_classes=5)
        for model in (bare, backbone, keras.Model(small_model.inputs, small_model.outputs), "model"):
            with pytest.raises(ModelError, match=r"set_preset_config\(registry\.describe"):
                registry.save_preset(model, tmp_path / "a")
        bare.set_preset_config(small_model.preset_config)
        assert_same_weights(registry.load(registry.save_preset(bare, tmp_path / "a")), bare)

    def test_a_model_that_no_longer_is_what_its_preset_says(self, small_model, tmp_path):
        model = by_hand(small_model, classes=3)
        with pytest.raises(ModelError, match="still be the one that its preset describes"):
            registry.save_preset(model, tmp_path / "a")

    @pytest.mark.parametrize(
        "preprocessor", [lambda x, *rest: x, registry.SegmentationPreprocessor(image_size=(32, 32))]
    )
    def test_a_preprocessor_that_no_preset_can_say(self, small_model, tmp_path, preprocessor):
        model = by_hand(small_model)
        model.preprocessor = preprocessor
        with pytest.raises(ModelError, match="how pixels are scaled, and nothing else"):
            registry.save_preset(model, tmp_path / "a")

    def test_weights_that_are_not_finite(self, small_model, tmp_path):
        model = by_hand(small_model)
        (classifier,) = model.classifier
        classifier.set_weights([np.full_like(classifier.get_weights()[0], np.nan)])
        with pytest.raises(WeightsError, match="segmentation_output/kernel"):
            registry.save_preset(model, tmp_path / "a")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "error", "words"),
        [
            ({"dtype": "int8"}, ModelError, "float32, float16"),
            ({"tags": "drone"}, ModelError, "list of words"),
            ({"tags": [""]}, ModelError, "list of words"),
            ({"description": 3}, ConfigError, "`description` must be a string"),
            ({"license": 3}, ConfigError, "`license` must be a string"),
            ({"metrics": 0.5}, ModelError, "`metrics` must be a mapping"),
            ({"metrics": [0.5]}, ModelError, "must be a mapping"),
            ({"metrics": {"mean_iou": 0.5}}, ModelError, "`dataset` of `metrics` must be text"),
            ({"metrics": {"dataset": "a"}}, ModelError, "`mean_iou` of `metrics` must be a finite number"),
            ({"metrics": {"dataset": "a", "mean_iou": 50}}, ModelError, "from 0 to 1"),
            ({"metrics": {"dataset": "a", "mean_iou": 0.5, "iou": [1]}}, ModelError, "each of 5 classes"),
            ({"metrics": {"dataset": "a", "mean_iou": 0.5, "loss": np.nan}}, ModelError, "`loss` of"),
            ({"metrics": {"dataset": "a", "mean_iou": 0.5, "note": "x"}}, ModelError, "`note` of"),
        ],
    )
    def test_wrong_arguments(self, small_model, tmp_path, arguments, error, words):
        with pytest.raises(error, match=words) as caught:
            registry.save_preset(small_model, tmp_path / "a", **arguments)
        assert "received:" in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_without_its_weights(self, copied):
        (copied / "model.safetensors").unlink()
        with pytest.raises(
            WeightsUnavailableError, match=r"preset\.yaml:\d+:\d+: .*a file beside that preset file"
        ):
            registry.load(copied)
        with pytest.raises(WeightsUnavailableError, match=r"must hold model\.safetensors"):
            open_weights(copied)

    def test_weights_that_are_truncated(self, copied):
        path = copied / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(WeightsFormatError, match=r"model\.safetensors"):
            registry.load(copied)

    @pytest.mark.parametrize("value", ["../model.safetensors", "/etc/passwd", "~/model.safetensors"])
    def test_weights_elsewhere(self, copied, value):
        shutil.copy(copied / "model.safetensors", copied.parent)
        path = copied / "preset.yaml"
        path.write_text(
            path.read_text(encoding="utf-8").replace("model.safetensors", value), encoding="utf-8"
        )
        with pytest.raises(
            ConfigError, match=r"preset\.yaml:\d+:\d+: `weights\.segmentation` in a preset file"
        ):
            registry.load(copied)

    def test_weights_behind_a_link(self, copied):
        (copied / "model.safetensors").rename(copied.parent / "model.safetensors")
        (copied / "model.safetensors").symlink_to("../model.safetensors")
        with pytest.raises(ConfigError, match="must stay within"):
            registry.load(copied)


def test_parts_that_the_network_was_built_of_by_hand(small_model):
    """The other class of segmenters refuses as clearly."""
    from registry.architecture import SegmenterArguments

    logits = keras.layers.Conv2D(2, 1)(small_model.encoder.pyramid_outputs["P3"])
    model = PyramidSegmenter(small_model.encoder, logits, SegmenterArguments(num_classes=2))
    with pytest.raises(ModelError, match="built by hand"):
        registry.save_preset(model, "unused")


def test_a_derived_preset_with_other_classes_warns(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "base")
    (tmp_path / "mine.yaml").write_text("extends: base\nnum_classes: 2\n")
    with pytest.warns(RegistryWarning, match="other classes than its weights"):
        registry.load(tmp_path / "mine.yaml")
